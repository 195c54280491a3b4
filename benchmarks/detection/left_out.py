"""How a kind of change is found that the weights were not chosen on.

The weights of the interest head are chosen by recall on all other kinds (training households), and
the kind left out is read on other households. The statistics themselves were designed by people
who had read of all kinds, so this bounds what the weights owe to a kind, not what the design does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from swerve.domain.calibration import Calibration, soft_maximum
from swerve.domain.candidate import Head
from swerve.domain.tables import TailTable

from benchmarks.detection import harness
from benchmarks.detection.parts import walked
from training.evaluate import HORIZON_WEEKS, in_weeks
from training.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INTEREST_KINDS = (
    "splice",
    "category_swap",
    "swap_5",
    "swap_2",
    "swap_1",
    "gradual",
    "partial",
    "new_category",
    "narrowing",
    "widening",
)
_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """Users of some panels: -log p [n, T, K] of each statistic, and what was done to them."""

    single: Floats
    bucket: NDArray[np.uint8]
    kind: NDArray[np.object_]
    delay: Floats

    @property
    def calm(self) -> Seen:
        """Those of whom nothing was changed."""
        rows = self.kind == "none"
        return replace(
            self,
            single=self.single[rows],
            bucket=self.bucket[rows],
            kind=self.kind[rows],
            delay=self.delay[rows],
        )


@dataclass(frozen=True, slots=True)
class Combination:
    """Weights with the table that they have on unchanged training users, and a limit."""

    weights: Floats
    power: float
    table: TailTable
    limit: float

    @classmethod
    def measured(cls, weights: Floats, power: float, calm: Seen, budget: float) -> Combination:
        """Calibrate weights on users of whom nothing was changed."""
        score = _mixed(calm, weights, power)
        told = np.isfinite(score)
        buckets = int(calm.bucket.max()) + 1
        table = TailTable.fitted(score[told][:, None], calm.bucket[told], buckets)
        return cls(weights, power, table, np.inf).limited(calm, budget)

    def limited(self, calm: Seen, budget: float) -> Combination:
        """The same with the limit of these unchanged users, so that combinations compare."""
        return replace(self, limit=harness.threshold(self.surprise(calm), budget).limit)

    def surprise(self, seen: Seen) -> Floats:
        """-log p of the combination, float64[n, T]."""
        score = _mixed(seen, self.weights, self.power)
        told = np.isfinite(score)
        out = np.full(score.shape, -np.inf)
        out[told] = -self.table.log_p(score[told][:, None], seen.bucket[told])[:, 0]
        return out

    def found(self, seen: Seen) -> NDArray[np.bool_]:
        """Who alarms within the horizon of the change."""
        fired = harness.alarms(self.surprise(seen), self.limit)
        inside = (seen.delay > 0) & (seen.delay <= HORIZON_WEEKS)
        return np.asarray((fired & inside).any(axis=1))


def seen(panels: Sequence[Path]) -> Seen:
    """Walk panels of the same length."""
    names = Calibration.shipped().heads[Head.INTEREST].statistics
    single, bucket, kind, delay = [], [], [], []
    with Progress("walk", len(panels)) as progress:
        for panel in panels:
            part = walked(panel)
            truth = pd.read_csv(panel / "truth.csv", dtype={"user_id": str})
            changes = in_weeks(truth["change_at"]).where(truth["kind"] != "none", np.inf)
            single.append(np.stack([part.scores[name] for name in names], axis=2))
            bucket.append(part.bucket)
            kind.append(truth["kind"].to_numpy(object))
            delay.append(np.ceil(part.shop.ends[None] - changes.to_numpy(float)[:, None]))
            progress.step(panel.name)
    weeks = min(one.shape[1] for one in single)
    return Seen(
        np.concatenate([one[:, -weeks:] for one in single]),
        np.concatenate([one[:, -weeks:] for one in bucket]),
        np.concatenate(kind),
        np.concatenate([one[:, -weeks:] for one in delay]),
    )


def chosen(training: Seen, kinds: Sequence[str], power: float, budget: float) -> Combination:
    """Weights by coordinate ascent on the mean recall of some kinds, from equal ones."""
    calm = training.calm
    rows = {kind: training.kind == kind for kind in kinds}

    def worth(weights: Floats) -> tuple[float, Combination]:
        made = Combination.measured(weights / weights.sum(), power, calm, budget)
        found = made.found(training)
        return float(np.mean([found[some].mean() for some in rows.values()])), made

    best = np.ones(training.single.shape[2])
    top, made = worth(best)
    for _ in range(_ROUNDS):
        for place in range(best.size):
            for weight in _WEIGHTS:
                tried = best.copy()
                tried[place] = weight
                if weight == best[place] or not tried.any():
                    continue
                value, candidate = worth(tried)
                if value > top:
                    top, made, best = value, candidate, tried
    return made


def table(train: Sequence[Path], others: Sequence[Path], budget: float = 0.5) -> str:
    """Recall of each kind on other users: weights chosen without it, with it, and as shipped."""
    shipped = Calibration.shipped().heads[Head.INTEREST]
    training, judged = seen(train), seen(others)
    kinds = INTEREST_KINDS
    with_all = chosen(training, kinds, shipped.power, budget)
    as_shipped = Combination.measured(shipped.weights, shipped.power, training.calm, budget)
    lines = ["| kind left out | n | found without it | chosen on all kinds | shipped weights |"]
    lines.append("|---|---|---|---|---|")
    with Progress("left out", len(kinds)) as progress:
        for kind in kinds:
            rest = [other for other in kinds if other != kind]
            without = chosen(training, rest, shipped.power, budget)
            rows = judged.kind == kind
            cells = [
                f"{combination.limited(judged.calm, budget).found(judged)[rows].mean():.2f}"
                for combination in (without, with_all, as_shipped)
            ]
            lines.append(f"| {kind} | {rows.sum()} | {' | '.join(cells)} |")
            progress.step(kind)
    return "\n".join(lines)


def _mixed(seen: Seen, weights: Floats, power: float) -> Floats:
    """Soft maximum of each user-week; -inf where there is no evidence."""
    used = weights > 0
    some = seen.single[:, :, used]
    told = np.isfinite(some).all(axis=2)
    out = np.full(told.shape, -np.inf)
    out[told] = soft_maximum(some[told], weights[used], power)
    return out
