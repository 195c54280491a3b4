"""A panel as weekly arrays: what the packaged peers are given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from swerve.domain.window import WindowSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WARMUP_WEEKS = 12


@dataclass(frozen=True, slots=True)
class Shop:
    """Weekly counts of every user, silent weeks too.

    Attributes
    ----------
    counts : float32[n, T, K]
        Events by category.
    days : float32[n, T]
        Days with an event.
    ends : float64[T]
        End of each window, weeks since 1970.
    """

    users: list[str]
    counts: NDArray[np.float32]
    days: NDArray[np.float32]
    ends: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float32]:
        return self.counts.sum(axis=2)


def read(panel: Path) -> Shop:
    """Cut a panel into weeks that start on Monday, as `swerve backtest --window 7d` does."""
    about = json.loads((panel / "panel.json").read_text())
    events = pd.read_csv(
        panel / "EVENTS.csv.gz",
        usecols=["user_id", "timestamp", "category_id"],
        dtype=str,
        keep_default_na=False,
    )
    spec = WindowSpec(7, about["zone"])
    time = pd.to_datetime(events["timestamp"], utc=True).astype("datetime64[ms, UTC]")
    time_ms = time.astype("int64").to_numpy()
    window = spec.window_of(time_ms)
    day = WindowSpec(1, about["zone"]).window_of(time_ms)
    truth = pd.read_csv(panel / "truth.csv", usecols=["user_id"], dtype=str)
    users = truth["user_id"].tolist()
    row = pd.Categorical(events["user_id"], users).codes
    week = (window - window.min()) // 7
    category, names = pd.factorize(events["category_id"])
    weeks = int(week.max()) + 1
    counts = np.zeros((len(users), weeks, len(names)), np.float32)
    np.add.at(counts, (row, week, category), 1)
    days = np.zeros((len(users), weeks), np.float32)
    seen = np.unique(np.stack([row, week, day]), axis=1)
    np.add.at(days, (seen[0], seen[1]), 1)
    ends = (int(window.min()) + 7 * (np.arange(weeks) + 1)) / 7
    return Shop(users, counts[:, :, np.argsort(names)], days, ends)
