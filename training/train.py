"""Train the recurrent networks and keep everything that a run needs to be repeated or resumed."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from swerve.domain.network_input import FEATURES
from swerve.errors import SwerveError

from training import data
from training.log import Log
from training.model import Recurrent, likelihoods, loss
from training.panels import split_users
from training.progress import Progress
from training.streams import OUTCOMES, Streams, streams_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from torch import Tensor

    from training.config import Config

_COLUMN = {name: number for number, name in enumerate(FEATURES)}
_VALID = OUTCOMES.index("valid")
_NO_CLOCK = 0.3  # of the batches are made to look like a source with dates only
_NO_ITEMS = 0.3  # to look like a source that names no items
_ANY_SEASON = 0.5  # of the batches get another time of the year: one year cannot teach seasons
_SPREAD_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained cell and how well it forecasts the users kept aside for early stopping."""

    model: Recurrent
    held_out_loss: float
    epochs: int


def train(config: Config, out: Path) -> dict[str, Trained]:
    """Train every cell of the configuration on the training split; resume what was begun.

    Writes `out/<cell>.pt` after each epoch and `out/run.json` at the end.
    """
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    told = split_of(config.source, "train")
    zone = data.SOURCES[config.source].zone
    streams = [streams_of(told, days, zone) for days in config.window_days]
    trained = {cell: train_cell(config, cell, streams, out / f"{cell}.pt") for cell in config.cells}
    run = {
        "config": asdict(config),
        "data": {
            "source": config.source,
            "split": "train",
            "users": int(told["user_id"].nunique()),
            "events": len(told),
            "sha256": data.fingerprint(told),
        },
        "versions": {name: version(name) for name in ("torch", "numpy", "pandas")}
        | {"python": platform.python_version()},
        "commit": _commit(),
        "seconds": round(time.time() - started, 1),
        "cells": {
            cell: {"held_out_loss": round(one.held_out_loss, 5), "epochs": one.epochs}
            for cell, one in trained.items()
        },
    }
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    return trained


def split_of(source: str, split: str) -> pd.DataFrame:
    """Events of the users of one split, as a shop of its own."""
    events = data.load(source)
    users = split_users(Log.of(events))[split]
    return events[events["user_id"].isin(users)].reset_index(drop=True)


def train_cell(config: Config, cell: str, streams: Sequence[Streams], kept: Path) -> Trained:
    """Train one cell with early stopping on users held out of the training split."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = Recurrent(cell, config.state)
    learning, resting = _parted(streams, config.held_out, rng)
    _fit_scale(model, learning)
    optimiser = torch.optim.Adam(model.parameters(), config.learning_rate)
    best, best_loss, since, first = model.state_dict(), float("inf"), 0, 0
    digest = _digest(config)
    if kept.exists():
        saved = torch.load(kept, weights_only=True)
        if saved["config"] == digest:
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
            best, best_loss = saved["best"], saved["best_loss"]
            since, first = saved["since"], saved["epoch"]
    with Progress(f"train {cell}", config.epochs, first) as progress:
        for epoch in range(first, config.epochs):
            if since >= config.patience:
                break
            order = np.random.default_rng([config.seed, epoch])
            _one_epoch(model, optimiser, learning, config, order)
            scored = mean_loss(model, resting)
            since += 1
            if scored < best_loss:
                best_loss, since = scored, 0
                best = {name: value.clone() for name, value in model.state_dict().items()}
            first = epoch + 1
            torch.save(
                {
                    "config": digest,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "best": best,
                    "best_loss": best_loss,
                    "since": since,
                    "epoch": first,
                },
                kept,
            )
            progress.step(f"held-out loss {scored:.4f}, best {best_loss:.4f}")
    model.load_state_dict(best)
    return Trained(model.eval(), best_loss, first)


def restored(config: Config, cell: str, kept: Path) -> Trained:
    """Read back a trained cell; raise SwerveError where the run is of another configuration."""
    saved = torch.load(kept, weights_only=True)
    if saved["config"] != _digest(config):
        raise SwerveError(f"{kept} was trained with another configuration: train again")
    model = Recurrent(cell, config.state)
    model.load_state_dict(saved["best"])
    return Trained(model.eval(), saved["best_loss"], saved["epoch"])


def mean_loss(model: Recurrent, streams: Sequence[Streams]) -> float:
    """Mean training loss over whole streams; window lengths count alike."""
    return float(np.mean([_whole_loss(model, one) for one in streams]))


@torch.no_grad()
def _whole_loss(model: Recurrent, one: Streams) -> float:
    x, y = torch.from_numpy(one.x), torch.from_numpy(one.y)
    forecast, _ = model.unroll(x[:-1], torch.zeros(x.shape[1], model.state_size))
    return float(loss(forecast, y[1:]))


@torch.no_grad()
def forecast_gain(model: Recurrent, one: Streams) -> dict[str, np.ndarray]:
    """Nats a user-window by which the network beats habit alone, per user (sums, and windows).

    Habit is own level x cohort factor with the one dispersion and the one correction factor that
    fit these streams best: a generous baseline.
    """
    x, y = torch.from_numpy(one.x), torch.from_numpy(one.y)
    forecast, _ = model.unroll(x[:-1], torch.zeros(x.shape[1], model.state_size))
    network = likelihoods(forecast, y[1:])
    habit = likelihoods(_habit(y[1:]), y[1:])
    gain = {name: (habit[name] - network[name]).sum(dim=0).numpy() for name in network}
    return gain | {"windows": y[1:, :, _VALID].sum(dim=0).numpy()}


def _habit(outcome: Tensor) -> Tensor:
    with torch.enable_grad():
        constant = torch.zeros(5, requires_grad=True)
        optimiser = torch.optim.LBFGS([constant], max_iter=50)

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = loss(constant.expand(*outcome.shape[:2], 5), outcome)
            value.backward()
            return value

        optimiser.step(closure)
    return constant.detach().expand(*outcome.shape[:2], 5)


def _one_epoch(
    model: Recurrent,
    optimiser: torch.optim.Optimizer,
    streams: Sequence[Streams],
    config: Config,
    rng: np.random.Generator,
) -> None:
    for one in streams:
        for users in _batches(one.users.size, config.users_per_batch, rng):
            x = torch.from_numpy(_varied(one.x[:, users], rng))
            y = torch.from_numpy(one.y[:, users])
            state = torch.zeros(len(users), model.state_size)
            for start in range(0, x.shape[0] - 1, config.steps_per_chunk):
                end = min(start + config.steps_per_chunk, x.shape[0] - 1)
                forecast, state = model.unroll(x[start:end], state)
                value = loss(forecast, y[start + 1 : end + 1])
                optimiser.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                state = state.detach()


def _varied(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What another shop would look like: other weights, no clock, another season."""
    x = x.copy()
    acted = x[..., _COLUMN["silent"]] == 0
    weight = x[..., _COLUMN["log_mean_weight"]]
    weight[acted & (weight > 0)] *= rng.uniform(0, 1)
    if rng.random() < _NO_CLOCK:
        first = _COLUMN["night_share"]
        x[..., first : first + 4] = 0
        x[..., _COLUMN["has_clock"]] = 0
    if rng.random() < _NO_ITEMS:
        x[..., [_COLUMN["repeat_share"], _COLUMN["has_items"]]] = 0
    if rng.random() < _ANY_SEASON:
        turn = rng.uniform(0, 2 * np.pi)
        columns = [_COLUMN["year_sin"], _COLUMN["year_cos"]]
        turned = x[..., columns] @ np.array(
            [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32
        )
        x[..., columns] = turned
    return x


def _batches(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    order = rng.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))


def _parted(
    streams: Sequence[Streams], part: float, rng: np.random.Generator
) -> tuple[list[Streams], list[Streams]]:
    count = streams[0].users.size
    resting = np.zeros(count, bool)
    resting[rng.permutation(count)[: int(part * count)]] = True
    return (
        [Streams(s.users[~resting], s.x[:, ~resting], s.y[:, ~resting], s.days) for s in streams],
        [Streams(s.users[resting], s.x[:, resting], s.y[:, resting], s.days) for s in streams],
    )


def _fit_scale(model: Recurrent, streams: Sequence[Streams]) -> None:
    """Centre and scale inputs; window lengths count alike."""
    parts = [one.x[one.y[..., _VALID] > 0] for one in streams]
    mean = np.mean([part.mean(axis=0) for part in parts], axis=0)
    spread = np.sqrt(np.mean([((part - mean) ** 2).mean(axis=0) for part in parts], axis=0))
    spread[spread < _SPREAD_FLOOR] = 1.0  # constant here; must not explode elsewhere
    model.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
    model.scale.copy_(torch.from_numpy((1 / spread).astype(np.float32)))


def _digest(config: Config) -> str:
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 (found on PATH)
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
