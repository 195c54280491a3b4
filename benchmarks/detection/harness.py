"""One protocol for everybody: threshold from unchanged training users, then validation or test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.detection.shop import WARMUP_WEEKS
from training.evaluate import outcomes_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.detection.shop import Shop

COOLDOWN_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Threshold:
    """Alarm where score > limit."""

    budget: float
    limit: float


def alarms(score: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Alarms after warm-up, at most one in eight weeks a user."""
    fired = np.zeros(score.shape, bool)
    last = np.full(score.shape[0], -COOLDOWN_WEEKS)
    for t in range(WARMUP_WEEKS, score.shape[1]):
        fired[:, t] = (score[:, t] > limit) & (t - last >= COOLDOWN_WEEKS)
        last[fired[:, t]] = t
    return fired


def threshold(score: NDArray[np.float64], budget: float) -> Threshold:
    """Smallest limit that keeps unchanged users within the budget (1,000 user-weeks)."""
    told = score[:, WARMUP_WEEKS:]
    allowed = budget * told.size / 1000
    limits = np.unique(told[np.isfinite(told)])
    if not limits.size:
        # Nothing to tune: fires always, or never.
        return Threshold(budget, 0.0)
    low, high = 0, limits.size - 1
    while low < high:
        middle = (low + high) // 2
        if alarms(score, limits[middle]).sum() <= allowed:
            high = middle
        else:
            low = middle + 1
    return Threshold(budget, float(limits[low]))


def told_outcomes(panel: Path, shop: Shop, fired: NDArray[np.bool_]) -> pd.DataFrame:
    """One row a user, by the same rules as the report of `swerve backtest`."""
    truth = pd.read_csv(
        panel / "truth.csv",
        dtype={"user_id": str, "source_user": str, "changed_categories": str},
    )
    promotions = json.loads((panel / "panel.json").read_text())["promotion_weeks"]
    users = np.array(shop.users, dtype=object)
    weeks = shop.ends[WARMUP_WEEKS:]
    scored = pd.DataFrame(
        {"user_id": np.repeat(users, weeks.size), "end": np.tile(weeks, users.size)}
    )
    row, week = np.nonzero(fired)
    alerts = pd.DataFrame({"user_id": users[row], "end": shop.ends[week], "head": "interest"})
    alerts["named"] = [[] for _ in range(len(alerts))]
    return outcomes_of(truth, scored, alerts, 7, promotions)
