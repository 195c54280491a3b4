"""Conformal tables: from a statistic to a p-value, by bucket of activity."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Upper tail probabilities at which quantiles are kept. Beyond the last the tail is exponential:
# log likelihood ratios have such tails, and a few hundred values set its slope.
_BULK = (0.999, 0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15)
LEVELS = np.array([*_BULK, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.025, 0.02])
_LOG_LEVELS = np.log(LEVELS)
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class TailTable:
    """Quantiles of K statistics in B buckets.

    Attributes
    ----------
    quantiles : float64[B, K, L]
        At `LEVELS`, ascending along the last axis.
    slopes : float64[B, K]
        Mean excess over the last quantile.
    """

    quantiles: Floats
    slopes: Floats

    @classmethod
    def fitted(
        cls,
        values: Floats,
        bucket: NDArray[np.integer],
        buckets: int,
        least_slope: float | Floats = 0.0,
        *,
        as_ratios: bool = False,
    ) -> TailTable:
        """Measure on unchanged users; values float64[n, K]. Thin buckets borrow from neighbours.

        Tails are not believed to be shorter than `least_slope`: where the users of the tables
        could hardly reach a statistic, those of another shop may.

        With `as_ratios` they are log likelihood ratios, and x is nowhere believed to be rarer than
        exp(-x): where the model holds, it is not (Markov's inequality).
        """
        count = values.shape[1]
        least = np.broadcast_to(np.maximum(least_slope, float(as_ratios)), count)
        quantiles = np.empty((buckets, count, LEVELS.size))
        slopes = np.empty((buckets, count))
        for b in range(buckets):
            reach = 0
            rows = bucket == b
            while rows.sum() < 1000 and reach < buckets:
                reach += 1
                rows = np.abs(bucket.astype(int) - b) <= reach
            some = values[rows]
            quantiles[b] = np.quantile(some, 1.0 - LEVELS, axis=0).T
            if as_ratios:
                quantiles[b] = np.maximum(quantiles[b], -_LOG_LEVELS)
            for k in range(count):
                over = some[:, k] - quantiles[b, k, -1]
                over = over[over > 0]
                slopes[b, k] = max(float(over.mean()) if over.size else 0.0, float(least[k]), 1e-3)
        return cls(quantiles + np.arange(LEVELS.size) * 1e-9, slopes)

    def log_p(self, values: Floats, bucket: NDArray[np.integer]) -> Floats:
        """Log p-values, float64[n, K] (or [n] for one statistic given as [n, 1])."""
        order = np.argsort(bucket, kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(self.quantiles.shape[0] + 1))
        # A row a statistic, bucket by bucket: each part of a row is one stretch of memory.
        log_p = np.ascontiguousarray(values.take(order, axis=0).T)
        for b, (start, end) in enumerate(pairwise(bounds.tolist())):
            if start == end:
                continue
            for k, knots in enumerate(self.quantiles[b]):
                some = log_p[k, start:end]
                over = np.maximum(some - knots[-1], 0.0) / self.slopes[b, k]
                np.subtract(np.interp(some, knots, _LOG_LEVELS), over, out=some)
        out = np.empty(values.shape)
        out[order] = log_p.T
        return np.maximum(out, np.log(SMALLEST))  # NaN stays NaN

    def to_facts(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "quantiles": _rounded(self.quantiles),
            "slopes": _rounded(self.slopes),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> TailTable:
        """Inverse of `to_facts`."""
        quantiles = np.asarray(facts["quantiles"]) + np.arange(LEVELS.size) * 1e-9
        return cls(np.maximum.accumulate(quantiles, axis=-1), np.asarray(facts["slopes"]))


def _rounded(values: Floats) -> Any:
    if values.ndim > 1:
        return [_rounded(part) for part in values]
    return [float(f"{round(float(v), 6):.5g}") for v in values]
