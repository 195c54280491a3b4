"""The shop as a whole: calendar and category factors that no single user may be blamed for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import aggregates, binary
from swerve.domain.totals import FIXED, MASS_UNIT, WEEKLY_DECAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate
    from swerve.domain.totals import Totals
    from swerve.domain.window import WindowSpec

AGES_WEEKS = (1, 2, 4, 8)
RING_WEEKS = 8
_GAP_FACTOR = 0.3  # less than this of the expected events: data is missing, or the shop is closed
_SEASON_PRIOR = 30.0  # events by which a category's factor of one window is pulled to 1
_FLOOR = 0.5  # events that every category is given for free
_SETTLED_EVENTS = 32.0


@dataclass(frozen=True, slots=True)
class Context:
    """What scoring a user must know of the shop, as of the end of one window.

    Attributes
    ----------
    gap : bool
        No or almost no data: nobody is silent by choice.
    factor : float64[R + 1, 2]
        Cohort factor of events and of active days, newest window first: 1 is usual. The last is
        that of the window which has just left the ring of eight weeks.
    mean : float64[2]
        Usual events and active days of a user in a window.
    keys : uint64[C]
        Categories, sorted.
    mass : float64[4, C]
        Events by category in the last 1, 2, 4, 8 weeks, heavy users bounded.
    usual : float64[C]
        Decayed share of each category before this window.
    season : float64[C]
        Share in this window over the usual share.
    likeness : float64
        How concentrated single users are: the concentration s of the Dirichlet that users' tastes
        are drawn from, by the method of moments.
    """

    window: int
    gap: bool
    factor: NDArray[np.float64]
    mean: NDArray[np.float64]
    keys: NDArray[np.uint64]
    mass: NDArray[np.float64]
    usual: NDArray[np.float64]
    season: NDArray[np.float64]
    likeness: float

    def to_bytes(self) -> bytes:
        """Pack."""
        names = ("factor", "mean", "keys", "mass", "usual", "season")
        facts = {"window": self.window, "gap": self.gap, "likeness": self.likeness}
        return binary.dump("context", facts, {n: getattr(self, n) for n in names})

    @classmethod
    def from_bytes(cls, data: bytes) -> Context:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load("context", data)
        return cls(**facts, **arrays)


@dataclass(frozen=True, slots=True)
class Population:
    """State of the shop after a window.

    Attributes
    ----------
    ring : float64[R, C]
        Mass of each category by window, newest first.
    usual : float64[C]
        Decayed mass.
    factor : float64[R + 1, 2]
        Cohort factors, newest first.
    factor_sum, factor_span : float64[2], float
        Decayed sum of factors and of windows: their ratio is the usual factor.
    alike : float64[2]
        Decayed sums of `Totals.likeness`.
    mean : float64[3]
        Decayed sums of events, active days and users seen lately.
    watch : aggregates.Watch
        Series of categories, products, campaigns and the platform.
    """

    days: int
    keys: NDArray[np.uint64]
    ring: NDArray[np.float64]
    usual: NDArray[np.float64]
    factor: NDArray[np.float64]
    factor_sum: NDArray[np.float64]
    factor_span: float
    alike: NDArray[np.float64]
    mean: NDArray[np.float64]
    watch: aggregates.Watch

    @classmethod
    def empty(cls, spec: WindowSpec) -> Population:
        """Nothing seen yet."""
        ring = RING_WEEKS * 7 // spec.days
        return cls(
            days=spec.days,
            keys=np.empty(0, np.uint64),
            ring=np.zeros((ring, 0)),
            usual=np.zeros(0),
            factor=np.ones((ring + 1, 2)),
            factor_sum=np.zeros(2),
            factor_span=0.0,
            alike=np.zeros(2),
            mean=np.zeros(3),
            watch=aggregates.Watch.empty(spec.days),
        )

    def advance(
        self, window: int, totals: Totals
    ) -> tuple[Population, Context, tuple[Candidate, ...]]:
        """Take in one window; what is returned depends on this and earlier windows only."""
        per_week = 7 // self.days
        decay = WEEKLY_DECAY ** (1 / per_week)
        wider = self._widened(totals.categories.keys)
        factor, gap = wider._cohort_factor(totals)
        mass = np.zeros(wider.keys.size)
        mass[np.searchsorted(wider.keys, totals.categories.keys)] = totals.mass / MASS_UNIT
        ring = np.vstack([mass, wider.ring[:-1]])
        usual_share = _share(wider.usual)
        expected = mass.sum() * usual_share
        known = wider.usual.sum() > 0
        season = (mass + _SEASON_PRIOR) / (expected + _SEASON_PRIOR) if known else np.ones(mass.size)
        alike = wider.alike * decay + totals.likeness / FIXED
        moved = replace(
            wider,
            ring=ring,
            usual=wider.usual * decay + mass,
            factor=np.vstack([factor, wider.factor[:-1]]),
            factor_sum=wider.factor_sum * decay + factor,
            factor_span=wider.factor_span * decay + 1.0,
            alike=alike,
            mean=wider.mean * decay + [totals.events, totals.active_days, totals.known],
        )
        context = Context(
            window=window,
            gap=gap,
            factor=moved.factor,
            mean=moved._mean(),
            keys=wider.keys,
            mass=np.stack([ring[: w * per_week].sum(axis=0) for w in AGES_WEEKS]),
            usual=usual_share if known else _share(moved.usual),
            season=season,
            likeness=_concentration(alike, _share(moved.usual)),
        )
        watch, candidates = wider.watch.advance(window, totals, gap)
        return replace(moved, watch=watch), context, candidates

    def _widened(self, keys: NDArray[np.uint64]) -> Population:
        joined = binary.union(self.keys, keys)
        if joined is self.keys:
            return self
        at = np.searchsorted(joined, self.keys)
        ring, usual = np.zeros((self.ring.shape[0], joined.size)), np.zeros(joined.size)
        ring[:, at], usual[at] = self.ring, self.usual
        return replace(self, keys=joined, ring=ring, usual=usual)

    def _cohort_factor(self, totals: Totals) -> tuple[NDArray[np.float64], bool]:
        seen, expected = totals.cohort[[0, 2]] / FIXED, totals.cohort[[1, 3]] / FIXED
        usual = self.factor_sum / self.factor_span if self.factor_span else np.ones(2)
        ratio = (seen + _SETTLED_EVENTS * 0.25) / (expected + _SETTLED_EVENTS * 0.25)
        factor = np.clip(ratio * usual, 1e-3, 50.0)
        empty = totals.events == 0
        return (np.zeros(2) if empty else factor), bool(empty or factor[0] < _GAP_FACTOR * usual[0])

    def _mean(self) -> NDArray[np.float64]:
        return np.asarray(self.mean[:2] / max(self.mean[2], 1.0))

    def to_bytes(self) -> bytes:
        """Pack."""
        names = ("keys", "ring", "usual", "factor", "factor_sum", "alike", "mean")
        facts = {"days": self.days, "factor_span": self.factor_span}
        arrays = {n: getattr(self, n) for n in names} | self.watch.arrays()
        return binary.dump("population", facts, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Population:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load("population", data)
        watch, rest = aggregates.Watch.from_arrays(facts["days"], arrays)
        return cls(**facts, **rest, watch=watch)


def _share(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    floored = mass + _FLOOR
    return floored / floored.sum() if mass.size else floored


def _concentration(alike: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Moment estimate of s: E[x(x-1)] / (n(n-1)) = (1 + s sum m^2) / (1 + s)."""
    if alike[1] <= 0:
        return _SETTLED_EVENTS
    observed = float(alike[0] / alike[1])
    chance = float(np.square(share).sum())
    return float(np.clip((1.0 - observed) / max(observed - chance, 1e-6), 1.0, 400.0))
