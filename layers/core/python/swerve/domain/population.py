"""The shop as a whole: calendar and category factors that no single user may be blamed for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import aggregates, binary
from swerve.domain.again import FIXED
from swerve.domain.counts import BUCKETS
from swerve.domain.totals import MASS_UNIT, SIZES, WEEKLY_DECAY, chance_of_silence
from swerve.domain.wave import wave_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate
    from swerve.domain.totals import Totals
    from swerve.domain.window import WindowSpec

AGES_WEEKS = (3, 6)  # how long ago a change may have begun
RING_WEEKS = 8
_GAP_FACTOR = 0.3  # less than this of the expected events: data is missing, or the shop is closed
_GAP_WEEKS = 4  # what lasts longer is no gap but a new level, as when views are tracked no more
_SEASON_PRIOR = 30.0  # events by which a category's factor of one window is pulled to 1
_FLOOR = 0.5  # events that every category is given for free
_SETTLED_EVENTS = 8.0  # weighted events by which the cohort factor is pulled to its usual level
_UNKNOWN_LIKENESS = 32.0
# 200 user-weeks with 10 events each in a shop as silent as a grocery's: size 0.6.
_SILENCE_PRIOR = 200.0 * np.append((0.6 / 10.6) ** 0.6, chance_of_silence(10.0))
# How much oftener than by chance a household's item of seven or eight weeks ago is bought again.
# From two thirds of it on, items are as good a habit as a household's.
_HOUSEHOLD_AGAIN = 0.005
_HABIT_FROM, _LEAST_HABIT = 1.5, 1 / 16
_AGAIN_PRIOR = 200.0  # user-weeks of households


@dataclass(frozen=True, slots=True)
class Mix:
    """What the whole shop is interested in, by category or by item bucket.

    Attributes
    ----------
    keys : uint64[C]
        Sorted.
    mass : float64[2, C]
        Counts in the last weeks of `AGES_WEEKS`, heavy users bounded.
    usual : float64[C]
        Decayed share of each key before this window.
    season : float64[C]
        Share in this window over the usual share.
    wave : float64[2, C]
        Share of each key in the last weeks of `AGES_WEEKS` that its past does not account for: a
        launch, a promotion, a new name of a category. 0 of most.
    """

    keys: NDArray[np.uint64]
    mass: NDArray[np.float64]
    usual: NDArray[np.float64]
    season: NDArray[np.float64]
    wave: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Context:
    """What scoring a user must know of the shop, as of the end of one window.

    Attributes
    ----------
    age : int
        Windows that the shop was seen before this one.
    gap : bool
        No or almost no data: nobody is silent by choice.
    dated : bool
        No event has a time of day: the source has dates only.
    factor : float64[R + 1, 2]
        Cohort factor of events and of active days, newest window first: 1 is usual. The last is
        that of the window which has just left the ring of eight weeks.
    mean : float64[2]
        Usual events and active days of a user in a window.
    likeness : float64
        How concentrated single users are: the concentration s of the Dirichlet that users' tastes
        are drawn from, by the method of moments.
    depth : float
        Items of a category that a user who meets it looks at on one day: one in a basket, several
        where people browse.
    habit : float
        What an item of a user's past is worth in telling the next ones: 1 in a grocery, less where
        items are soon gone.
    size : float
        Of the negative binomial of a user's weekly events by which users would be silent for a
        week as often as they are: small where people take holidays from a shop.
    """

    window: int
    age: int
    gap: bool
    dated: bool
    factor: NDArray[np.float64]
    mean: NDArray[np.float64]
    likeness: float
    depth: float
    habit: float
    size: float
    categories: Mix
    items: Mix

    def to_bytes(self) -> bytes:
        """Pack."""
        names = ("window", "age", "gap", "dated", "likeness", "depth", "habit", "size")
        facts = {n: getattr(self, n) for n in names}
        arrays = {"factor": self.factor, "mean": self.mean}
        for name, mix in (("categories", self.categories), ("items", self.items)):
            arrays |= {f"{name}.{n}": getattr(mix, n) for n in _MIX}
        return binary.dump("context/4", facts, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Context:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load("context/4", data)
        mixes: dict[str, Any] = {
            name: Mix(**{n: arrays[f"{name}.{n}"] for n in _MIX})
            for name in ("categories", "items")
        }
        return cls(**facts, factor=arrays["factor"], mean=arrays["mean"], **mixes)


_MIX = ("keys", "mass", "usual", "season", "wave")


@dataclass(frozen=True, slots=True)
class Masses:
    """Counts by key: window by window for eight weeks, newest first, and decayed over all time."""

    keys: NDArray[np.uint64]
    ring: NDArray[np.float64]
    usual: NDArray[np.float64]

    def advance(
        self, keys: NDArray[np.uint64], mass: NDArray[np.int64], decay: float, per_week: int
    ) -> tuple[Masses, Mix]:
        """Take in the counts of one window."""
        joined = binary.union(self.keys, keys)
        at = np.searchsorted(joined, self.keys)
        ring = np.zeros((self.ring.shape[0], joined.size))
        usual = np.zeros(joined.size)
        ring[1:, at], usual[at] = self.ring[:-1], self.usual
        ring[0, np.searchsorted(joined, keys)] = mass / MASS_UNIT
        now = ring[0]
        known = usual.sum() > 0
        moved = Masses(joined, ring, usual * decay + now)
        before = _share(usual) if known else _share(moved.usual)
        season = (now + _SEASON_PRIOR) / (now.sum() * before + _SEASON_PRIOR)
        recent = np.stack([ring[: w * per_week].sum(axis=0) for w in AGES_WEEKS])
        faded = decay ** np.arange(len(ring))[:, None] * ring
        past = moved.usual - [faded[: w * per_week].sum(axis=0) for w in AGES_WEEKS]
        wave = np.stack([wave_of(*of_age) for of_age in zip(recent, past, strict=True)])
        return moved, Mix(joined, recent, before, season if known else np.ones(joined.size), wave)


@dataclass(frozen=True, slots=True)
class Population:
    """State of the shop after a window.

    Attributes
    ----------
    factor : float64[R + 1, 2]
        Cohort factors, newest first.
    age : int
        Windows taken in.
    factor_sum, factor_span : float64[2], float
        Decayed sum of factors and of windows: their ratio is the usual factor.
    alike, depth, again, silence : float64[2], float64[2], float64[2], float64[1 + S]
        Decayed sums of the same of `Totals`.
    mean : float64[3]
        Decayed sums of events, active days and users seen lately.
    watch : aggregates.Watch
        Series of categories, products, campaigns and the platform.
    """

    days: int
    age: int
    categories: Masses
    items: Masses
    factor: NDArray[np.float64]
    factor_sum: NDArray[np.float64]
    factor_span: float
    alike: NDArray[np.float64]
    depth: NDArray[np.float64]
    again: NDArray[np.float64]
    silence: NDArray[np.float64]
    mean: NDArray[np.float64]
    watch: aggregates.Watch

    @classmethod
    def empty(cls, spec: WindowSpec) -> Population:
        """Nothing seen yet."""
        ring = RING_WEEKS * 7 // spec.days
        buckets = np.arange(BUCKETS, dtype=np.uint64)
        return cls(
            days=spec.days,
            age=0,
            categories=Masses(np.empty(0, np.uint64), np.zeros((ring, 0)), np.zeros(0)),
            items=Masses(buckets, np.zeros((ring, BUCKETS)), np.zeros(BUCKETS)),
            factor=np.ones((ring + 1, 2)),
            factor_sum=np.zeros(2),
            factor_span=0.0,
            alike=np.zeros(2),
            depth=np.zeros(2),
            again=np.zeros(2),
            silence=np.zeros(1 + SIZES.size),
            mean=np.zeros(3),
            watch=aggregates.Watch.empty(spec.days),
        )

    def advance(
        self, window: int, totals: Totals
    ) -> tuple[Population, Context, tuple[Candidate, ...]]:
        """Take in one window; what is returned depends on this and earlier windows only."""
        per_week = 7 // self.days
        decay = WEEKLY_DECAY ** (1 / per_week)
        factor, gap = self._cohort_factor(totals)
        categories, mix = self.categories.advance(
            totals.categories.keys, totals.mass, decay, per_week
        )
        items, item_mix = self.items.advance(self.items.keys, totals.bucket_mass, decay, per_week)
        watch, candidates = self.watch.advance(window, totals, gap)
        moved = replace(
            self,
            age=self.age + 1,
            categories=categories,
            items=items,
            factor=np.vstack([factor, self.factor[:-1]]),
            factor_sum=self.factor_sum * decay + factor,
            factor_span=self.factor_span * decay + 1.0,
            alike=self.alike * decay + totals.likeness / FIXED,
            depth=self.depth * decay + totals.depth,
            again=self.again * decay + totals.again / FIXED,
            # Where data is missing nobody was silent by choice.
            silence=self.silence * decay + (0.0 if gap else totals.silence / FIXED),
            mean=self.mean * decay + [totals.events, totals.active_days, totals.known],
            watch=watch,
        )
        context = Context(
            window=window,
            age=self.age,
            gap=gap,
            dated=totals.timed == 0,
            factor=moved.factor,
            mean=moved.mean[:2] / max(moved.mean[2], 1.0),
            likeness=_concentration(moved.alike, _share(categories.usual)),
            depth=float(moved.depth[1] / max(moved.depth[0], 1.0)),
            habit=_habit(moved.again, _share(items.usual)),
            size=_matching_size(moved.silence),
            categories=mix,
            items=item_mix,
        )
        return moved, context, candidates

    def _cohort_factor(self, totals: Totals) -> tuple[NDArray[np.float64], bool]:
        seen, expected = totals.cohort[[0, 2]] / FIXED, totals.cohort[[1, 3]] / FIXED
        usual = self.factor_sum / self.factor_span if self.factor_span else np.ones(2)
        ratio = (seen + _SETTLED_EVENTS) / (expected + _SETTLED_EVENTS)
        # While nobody is settled, closed days must not make the others seem low.
        factor = np.where(expected > 0, np.clip(ratio * usual, 1e-3, 50.0), 1.0)
        empty = totals.events == 0
        level, lately = usual[0], self.factor[: _GAP_WEEKS * 7 // self.days, 0]
        if self.age >= lately.size:
            level = min(level, lately.max())
        return (np.zeros(2) if empty else factor), bool(empty or factor[0] < _GAP_FACTOR * level)

    def to_bytes(self) -> bytes:
        """Pack."""
        facts = {"days": self.days, "age": self.age, "factor_span": self.factor_span}
        arrays = {n: getattr(self, n) for n in _POPULATION} | self.watch.arrays()
        for name, masses in (("categories", self.categories), ("items", self.items)):
            arrays |= {f"{name}.{n}": getattr(masses, n) for n in _MASSES}
        return binary.dump("population/2", facts, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Population:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load("population/2", data)
        masses: dict[str, Any] = {
            name: Masses(**{n: arrays[f"{name}.{n}"] for n in _MASSES})
            for name in ("categories", "items")
        }
        plain: dict[str, Any] = {n: arrays[n] for n in _POPULATION}
        return cls(
            **facts,
            **plain,
            **masses,
            watch=aggregates.Watch.from_arrays(facts["days"], arrays),
        )


_MASSES = ("keys", "ring", "usual")
_POPULATION = ("factor", "factor_sum", "alike", "depth", "again", "silence", "mean")


def _share(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    floored = mass + _FLOOR
    return floored / floored.sum() if mass.size else floored


def _matching_size(silence: NDArray[np.float64]) -> float:
    """Size by which as many user-weeks would be silent as were; in between by its logarithm."""
    seen, expected = silence[0] + _SILENCE_PRIOR[0], silence[1:] + _SILENCE_PRIOR[1:]
    return float(np.exp(np.interp(-seen, -expected, np.log(SIZES))))


def _habit(again: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Worth of an own item, by how much oftener than by chance it comes back in seven weeks."""
    chance = float(np.square(share).sum())
    same = again[0] + _AGAIN_PRIOR * (chance + _HOUSEHOLD_AGAIN)
    excess = same / (again[1] + _AGAIN_PRIOR) - chance
    return float(np.clip(_HABIT_FROM * excess / _HOUSEHOLD_AGAIN, _LEAST_HABIT, 1.0))


def _concentration(alike: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Moment estimate of s: two deeds of a user are alike with (1 + s sum m^2) / (1 + s)."""
    if alike[1] <= 0:
        return _UNKNOWN_LIKENESS
    observed = float(alike[0] / alike[1])
    chance = float(np.square(share).sum())
    return float(np.clip((1.0 - observed) / max(observed - chance, 1e-6), 1.0, 400.0))
