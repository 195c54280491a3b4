"""Search the settings of the network by random trials on users held out of the training split."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from training import data
from training.progress import Progress
from training.streams import streams_of
from training.train import split_of, train_cell

if TYPE_CHECKING:
    from pathlib import Path

    from training.config import Config

_TRIAL_EPOCHS = 15


def tune(config: Config, trials: int, out: Path) -> Config:
    """Run trials (resuming those in `out/trials.jsonl`); write and return the best as best.toml.

    Each trial draws learning rate, state, batch and cell from its own seed, so that trial 7 is the
    same whatever was run before it.
    """
    out.mkdir(parents=True, exist_ok=True)
    told = out / "trials.jsonl"
    done = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    zone = data.SOURCES[config.source].zone
    streams = [
        streams_of(split_of(config.source, "train"), days, zone) for days in config.window_days
    ]
    with Progress("tune", trials, len(done)) as progress, told.open("a") as log:
        for trial in range(len(done), trials):
            drawn = _drawn(config, trial)
            kept = out / f"trial-{trial}.pt"
            trained = train_cell(drawn, drawn.cells[0], streams, kept)
            kept.unlink()
            row = {"loss": trained.held_out_loss, "config": asdict(drawn)}
            log.write(json.dumps(row) + "\n")
            log.flush()
            done.append(row)
            progress.step(f"{drawn.cells[0]} loss {trained.held_out_loss:.4f}")
    best = replace(config, **min(done, key=lambda row: row["loss"])["config"])
    best = replace(best, cells=config.cells, epochs=config.epochs)
    (out / "best.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(best).items())
    )
    return best


def _drawn(config: Config, trial: int) -> Config:
    rng = np.random.default_rng([config.seed, trial])
    return replace(
        config,
        cells=[str(rng.choice(config.cells))],
        learning_rate=float(10 ** rng.uniform(-3, -2)),
        state=int(rng.choice([32, 64])),
        users_per_batch=int(rng.choice([128, 256, 512])),
        epochs=min(config.epochs, _TRIAL_EPOCHS),
    )
