"""Panels through `swerve backtest`, as a user would run it, and what came out."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from swerve.errors import SwerveError

from training.evaluate import outcomes, summarise
from training.panels import real_panel
from training.progress import Progress

if TYPE_CHECKING:
    from training.evaluate import Report


@dataclass(frozen=True, slots=True)
class Asked:
    """Which panels to run, and at which budget."""

    recipes: tuple[str, ...]
    split: str
    seeds: int
    budget: float
    window: str
    panels: Path
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What the runs said: a row a user, a row a scored user-window, and the report."""

    asked: Asked
    users: pd.DataFrame
    scores: pd.DataFrame
    report: Report


def evaluated(asked: Asked) -> Told:
    """Make the panels, backtest each, and score them together."""
    wanted = [(recipe, seed) for recipe in asked.recipes for seed in range(asked.seeds)]
    users, scores = [], []
    with Progress("backtest", len(wanted)) as progress, tempfile.TemporaryDirectory() as folder:
        for recipe, seed in wanted:
            panel = real_panel(asked.split, recipe, seed, asked.panels, opened=asked.opened)
            run = backtest(panel, Path(folder) / f"{recipe}-{seed}", asked.budget, asked.window)
            name = f"{recipe}-{seed}"
            users.append(outcomes(panel, run).assign(panel=name))
            scores.append(pd.read_csv(run / "scores.csv.gz").assign(panel=name))
            progress.step(name)
    everybody = pd.concat(users, ignore_index=True)
    return Told(
        asked, everybody, pd.concat(scores, ignore_index=True), summarise(everybody, asked.budget)
    )


def backtest(panel: Path, out: Path, budget: float = 1.0, window: str = "7d") -> Path:
    """Run `swerve backtest --reveal` over one panel in a process of its own; return its folder."""
    about = json.loads((panel / "panel.json").read_text())
    command = [sys.executable, "-m", "cli.main", "backtest", str(panel / "EVENTS.csv.gz")]
    command += ["--out", str(out), "--window", window, "--timezone", about["zone"]]
    command += ["--budget", str(budget), "--reveal"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (own command)
    if done.returncode:
        raise SwerveError(f"backtest of {panel} failed: {done.stderr.strip()[-2000:]}")
    return out
