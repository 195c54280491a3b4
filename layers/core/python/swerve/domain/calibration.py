"""From evidence to a p-value that means what it says, and from a budget to a threshold.

The shipped tables were measured on held-out unchanged households (`python -m training.calibrate`).
A head's statistics are each turned into a p-value by activity bucket; those are combined without
any fitting to labels (a soft maximum of -log p), and the combination is calibrated again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.candidate import Head
from swerve.domain.matching import Reference
from swerve.domain.running import Histograms, Recalibration, RunningCalibration
from swerve.domain.tables import SMALLEST, TailTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.window import WindowSpec

    Floats = NDArray[np.float64]

__all__ = ["Calibration", "HeadTables", "Histograms", "Recalibration", "RunningCalibration"]


@dataclass(frozen=True, slots=True)
class HeadTables:
    """How one head turns evidence into a p-value.

    Attributes
    ----------
    statistics : tuple of str
        Columns of the evidence that it combines.
    weights : float64[K]
        Of the statistics in the combination; they sum to 1.
    edges : float64[B - 1]
        Bounds of the buckets, in counts of the last eight weeks.
    power : float
        Of the soft maximum: small is closer to a sum of -log p, large to the largest.
    single, combined : TailTable
        Of the statistics, and of their combination.
    alarms : mapping
        Window length in days to (log p, log alarms per 1,000 user-weeks), both ascending: how
        often unchanged users fall below p, each counted once in the cool-down.
    share : float
        Of the total budget.
    ended : mapping
        Window length in days to what the running calibration compares a shop with
        (`matching.Reference`).
    """

    statistics: tuple[str, ...]
    weights: Floats
    edges: Floats
    power: float
    single: TailTable
    combined: TailTable
    alarms: Mapping[int, tuple[Floats, Floats]]
    share: float
    ended: Mapping[int, Floats]

    def bucket(self, activity: Floats) -> NDArray[np.uint8]:
        """Activity bucket of each user."""
        return np.searchsorted(self.edges, activity, side="right").astype(np.uint8)

    def log_p(
        self, evidence: Mapping[str, Floats], bucket: NDArray[np.uint8]
    ) -> tuple[Floats, Floats]:
        """Log p of each statistic, float64[n, K], and of the head, float64[n]; NaN as evidence."""
        values = np.stack([evidence[name] for name in self.statistics], axis=1)
        known = np.flatnonzero(~np.isnan(values[:, 0]))
        some = self.single.log_p(values[known], bucket[known])
        score = soft_maximum(-some, self.weights, self.power)
        single, head = np.full(values.shape, np.nan), np.full(bucket.size, np.nan)
        single[known] = some
        head[known] = self.combined.log_p(score[:, None], bucket[known])[:, 0]
        return single, head

    def to_facts(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "statistics": list(self.statistics),
            "weights": self.weights.tolist(),
            "edges": self.edges.tolist(),
            "power": self.power,
            "single": self.single.to_facts(),
            "combined": self.combined.to_facts(),
            "alarms": {str(d): [x.tolist(), y.tolist()] for d, (x, y) in self.alarms.items()},
            "share": self.share,
            "ended": {str(days): values.tolist() for days, values in self.ended.items()},
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> HeadTables:
        """Inverse of `to_facts`."""
        return cls(
            statistics=tuple(facts["statistics"]),
            weights=np.asarray(facts["weights"], np.float64),
            edges=np.asarray(facts["edges"], np.float64),
            power=facts["power"],
            single=TailTable.from_facts(facts["single"]),
            combined=TailTable.from_facts(facts["combined"]),
            alarms={
                int(d): (np.asarray(x), np.asarray(y)) for d, (x, y) in facts["alarms"].items()
            },
            share=facts["share"],
            ended={int(days): np.asarray(values) for days, values in facts["ended"].items()},
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """The tables of all heads."""

    heads: Mapping[Head, HeadTables]

    @classmethod
    def shipped(cls) -> Calibration:
        """The tables inside the package."""
        return _shipped()

    def p_threshold(self, budget_per_1000: float, spec: WindowSpec) -> dict[Head, float]:
        """P-value below which unchanged users alarm at this rate in all, by head.

        Parameters
        ----------
        budget_per_1000 : float
            False alarms per 1,000 user-weeks, all heads together.
        spec : WindowSpec
            Daily windows look seven times as often, so they need a smaller p.
        """
        thresholds = {}
        for head, tables in self.heads.items():
            log_p, log_rate = tables.alarms[spec.days]
            wanted = np.log(max(budget_per_1000 * tables.share, 1e-9))
            # Outside of what was measured the rate falls in proportion to p.
            inside = float(np.interp(wanted, log_rate, log_p))
            beyond = min(wanted - log_rate[0], 0.0) + max(wanted - log_rate[-1], 0.0)
            thresholds[head] = float(np.clip(np.exp(inside + beyond), SMALLEST, 1.0))
        return thresholds

    def reference(self, spec: WindowSpec) -> Reference:
        """What the running calibration compares a shop with."""
        ended = {head: tables.ended[spec.days] for head, tables in self.heads.items()}
        return Reference(ended, 7 // spec.days)

    def to_json(self) -> str:
        """Text of the tables."""
        return json.dumps({head.value: t.to_facts() for head, t in self.heads.items()})

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Inverse of `to_json`."""
        facts = json.loads(text)
        return cls({Head(head): HeadTables.from_facts(f) for head, f in facts.items()})


def soft_maximum(values: Floats, weights: Floats, power: float) -> Floats:
    """Log of the weighted mean of exp(power x), over power, along the last axis."""
    top = values.max(axis=-1)
    # Not a matrix product: BLAS rounds by the size of the batch, and shards differ in size.
    mean = (np.exp(power * (values - top[..., None])) * weights).sum(axis=-1)
    return np.asarray(top + np.log(mean) / power)


@cache
def _shipped() -> Calibration:
    return Calibration.from_json((files("swerve") / "calibration.json").read_text())
