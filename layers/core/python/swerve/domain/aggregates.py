"""Subjects other than users: categories, products, campaigns, the platform.

A subject's distinct users are compared with its own usual share, after what moved all subjects of
its level alike is divided out. So a promotion of the whole shop is one alert of the platform, and a
promoted category one of that category.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.candidate import Candidate, Evidence, Head, Kind, Level, Share
from swerve.domain.counts import Tally
from swerve.domain.special import beta_cdf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from swerve.domain.totals import Totals

    Floats = NDArray[np.float64]
    Keys = NDArray[np.uint64]

MIN_USERS = 20.0  # fewer are nobody's business (k-anonymity), and noise
_MIN_WEEKS = 8
_DECAY = 0.95  # a week
_LEAST_CHANGE = float(np.log(1.5))
_PRIOR_SPREAD, _PRIOR_WINDOWS = 0.12, 4.0
_PRIOR_LAUNCH = (6.0, float(np.log(3.0)), 0.8)  # how many, log users, their spread
_FORGOTTEN_USERS = 1.0
_ALIKE = 5  # so many subjects say what moved all of them
_TELL_P = 0.05
_NAMED = 3
_PREFIX = {Level.CATEGORY: "c-", Level.PRODUCT: "p-", Level.CAMPAIGN: "m-"}
_COLUMNS = ("keys", "users", "events", "span", "spread", "windows")


@dataclass(frozen=True, slots=True)
class Found:
    """What one window says of some subjects; parallel arrays.

    Attributes
    ----------
    log_ratio : float64[n]
        Log of users over the usual, common movement divided out.
    """

    keys: Keys
    users: Floats
    events: Floats
    log_ratio: Floats
    p: Floats
    is_new: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Series:
    """Usual shares of the subjects of one level.

    Attributes
    ----------
    keys : uint64[K]
        Sorted.
    users, events, span : float64[K, F]
        Decayed sums of users and events for an active day of the shop, and of windows, by phase of
        the week (F = 7 for daily windows).
    spread, windows : float64[K]
        Decayed sum of squared log ratios, and the number of windows with one.
    launch : float64[3]
        Count, sum and sum of squares of the log of first windows' users.
    """

    keys: Keys
    users: Floats
    events: Floats
    span: Floats
    spread: Floats
    windows: Floats
    launch: Floats

    @classmethod
    def empty(cls, phases: int) -> Series:
        """No subject yet."""
        wide = np.empty((0, phases))
        none = np.empty(0)
        return cls(np.empty(0, np.uint64), wide, wide, wide, none, none, np.zeros(3))

    def advance(
        self, seen: Tally, exposure: float, phase: int, decay: float, *, settled: bool
    ) -> tuple[Series, Found]:
        """Compare one window with the usual, then learn from it."""
        old = self.keys
        series = self._widened(seen.keys)
        users, events = np.zeros(series.keys.size), np.zeros(series.keys.size)
        at = np.searchsorted(series.keys, seen.keys)
        users[at], events[at] = seen.users, seen.events
        span = series.span[:, phase]
        known = span > 0
        usual = series.users[:, phase] / np.maximum(span, 1e-9) * exposure
        log_ratio = np.log((users + 0.5) / (usual + 0.5))
        firm = known & (usual >= MIN_USERS)
        common = float(np.median(log_ratio[firm])) if firm.sum() >= _ALIKE else 0.0
        log_ratio = np.where(known, log_ratio - common, 0.0)
        usual = usual * np.exp(common)
        is_new = np.ones(series.keys.size, np.bool_)
        is_new[np.searchsorted(series.keys, old)] = False
        large = np.maximum(users, np.where(known, usual, 0.0)) >= MIN_USERS
        aged = series.windows >= _MIN_WEEKS * series.users.shape[1]
        moved = is_new | (aged & (np.abs(log_ratio) >= _LEAST_CHANGE))
        # Tails are dear; most subjects are small or hardly moved.
        told = np.flatnonzero(large & moved & settled)
        p = np.empty(0)
        if told.size:
            p = series.at(told)._change_p(users[told], usual[told], log_ratio[told])
        if is_new[told].any():
            p = np.where(is_new[told], series._launch_p(users[told]), p)
        told, p = told[p <= _TELL_P], p[p <= _TELL_P]
        found = Found(
            series.keys[told], users[told], events[told], log_ratio[told], p, is_new[told]
        )
        if settled:
            first = np.log(users[is_new])
            found_now = np.array([first.size, first.sum(), np.square(first).sum()])
            series = replace(series, launch=series.launch + found_now)
        weight = exposure * np.exp(common)
        # An alarm must not teach the series that alarms are usual: bounded at two spreads.
        bound = 4.0 * series._variance()
        squared = np.where(known, np.minimum(np.square(log_ratio), bound), 0.0)
        return series._learnt(users / weight, events / weight, squared, phase, decay), found

    def _widened(self, keys: Keys) -> Series:
        joined = binary.union(self.keys, keys)
        if joined.size == self.keys.size:
            return self
        at = np.searchsorted(joined, self.keys)

        def wide(values: Floats) -> Floats:
            out = np.zeros((joined.size, *values.shape[1:]))
            out[at] = values
            return out

        columns = {name: wide(getattr(self, name)) for name in _COLUMNS[1:]}
        return replace(self, keys=joined, **columns)

    def _change_p(self, users: Floats, usual: Floats, log_ratio: Floats) -> Floats:
        """Two-sided Student p: few windows of history make heavy tails.

        A change must stand out from the subject's own past and from the noise of a count, which
        the square root makes even (Anscombe 1948).
        """
        own = log_ratio / np.sqrt(self._variance())
        counted = 2.0 * (np.sqrt(users + 0.375) - np.sqrt(usual + 0.375))
        z = np.minimum(np.abs(own), np.abs(counted))
        freedom = self.windows + _PRIOR_WINDOWS
        return beta_cdf(freedom / 2, 0.5, freedom / (freedom + z * z))

    def _variance(self) -> Floats:
        return (self.spread + _PRIOR_WINDOWS * _PRIOR_SPREAD**2) / (self.windows + _PRIOR_WINDOWS)

    def usual_launch(self) -> float:
        """Users in the first window of a middling newcomer."""
        count, total, _ = self.launch
        prior, middle, _ = _PRIOR_LAUNCH
        return float(np.exp((total + prior * middle) / (count + prior)))

    def _launch_p(self, users: Floats) -> Floats:
        """Users of a subject in its first window, against those of earlier newcomers."""
        count, total, squares = self.launch
        prior, middle, spread = _PRIOR_LAUNCH
        weight = count + prior
        mean = (total + prior * middle) / weight
        variance = (squares + prior * (middle**2 + spread**2)) / weight - mean * mean
        z = np.maximum(np.log(np.maximum(users, 1.0)) - mean, 0.0) / np.sqrt(variance)
        freedom = min(weight, 10.0)  # launches are of all sizes
        return 0.5 * beta_cdf(freedom / 2, 0.5, freedom / (freedom + z * z))

    def _learnt(
        self, users: Floats, events: Floats, squared: Floats, phase: int, decay: float
    ) -> Series:
        columns = {name: getattr(self, name).copy() for name in ("users", "events", "span")}
        known = columns["span"][:, phase] > 0
        for name, now in (("users", users), ("events", events), ("span", 1.0)):
            columns[name][:, phase] = columns[name][:, phase] * decay + now
        return replace(
            self,
            **columns,
            spread=self.spread * decay + squared,
            windows=self.windows * decay + known,
        )

    def at(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Series:
        """Some subjects."""
        return replace(self, **{name: getattr(self, name)[kept] for name in _COLUMNS})

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint."""
        return {f"{name}.{column}": getattr(self, column) for column in (*_COLUMNS, "launch")}

    @classmethod
    def from_arrays(cls, name: str, stored: Mapping[str, NDArray[Any]]) -> Series:
        """Inverse of `arrays`."""
        return cls(**{column: stored[f"{name}.{column}"] for column in (*_COLUMNS, "launch")})


@dataclass(frozen=True, slots=True)
class Watch:
    """Series of all aggregate subjects.

    Attributes
    ----------
    series : mapping of Level to Series
        Categories, products, campaigns.
    volume : Series
        The platform, as one subject with key 0; its exposure is the users seen lately.
    mix : float64[3]
        Of the log of the distance between a window's mix and the usual one: decayed number of
        windows, sum, sum of squares.
    age : int
        Windows taken in.
    """

    days: int
    series: Mapping[Level, Series]
    volume: Series
    mix: Floats
    age: int

    @classmethod
    def empty(cls, days: int) -> Watch:
        """Nothing seen yet."""
        phases = 7 // days
        return cls(
            days,
            {level: Series.empty(phases) for level in _PREFIX},
            Series.empty(phases),
            np.zeros(3),
            0,
        )

    def advance(
        self, window: int, totals: Totals, gap: bool
    ) -> tuple[Watch, tuple[Candidate, ...]]:
        """Take in one window; a gap says nothing, and nothing is learnt from it."""
        if gap or not totals.events:
            return replace(self, age=self.age + 1), ()
        per_week = 7 // self.days
        decay = _DECAY  # of a phase: every phase comes once a week
        phase = window % 7 if per_week > 1 else 0
        settled = self.age >= _MIN_WEEKS * per_week
        tallies = {
            Level.CATEGORY: totals.categories,
            Level.PRODUCT: totals.products,
            Level.CAMPAIGN: totals.campaigns,
        }
        candidates = list(self._mix_change(window, totals, phase, settled=settled))
        mix = self._mix_learnt(totals, phase, decay)
        series = {}
        for level, tally in tallies.items():
            moved, found = self.series[level].advance(
                tally, totals.active_days, phase, decay, settled=settled
            )
            series[level] = moved.at(
                moved.users.max(axis=1, initial=0.0) * totals.active_days >= _FORGOTTEN_USERS
            )
            candidates += self._told(level, window, found)
        volume, found = self.volume.advance(
            _whole(totals), max(totals.known, 1), phase, decay, settled=settled
        )
        candidates += self._told(Level.PLATFORM, window, found)
        return Watch(self.days, series, volume, mix, self.age + 1), tuple(candidates)

    def _told(self, level: Level, window: int, found: Found) -> Iterator[Candidate]:
        for row, key in enumerate(found.keys.tolist()):
            ratio = float(np.exp(found.log_ratio[row]))
            launched = bool(found.is_new[row])
            p = float(found.p[row])
            kind = Kind.NEW_INTEREST if launched else Kind.SURGE if ratio > 1 else Kind.DROP
            found_by = Evidence("volume", ratio, 1.0, True, p)
            if launched:
                users = float(found.users[row])
                found_by = Evidence("launch", users, self.series[level].usual_launch(), True, p)
            facts = {"actions_now": float(found.events[row]), "now_days": float(self.days)}
            if level is not Level.PLATFORM:
                facts["users"] = float(found.users[row])
            if not launched:
                facts |= {"ratio": ratio, "actions_before": float(found.events[row]) / ratio}
            share = (Share(key, 0.0, 0.0),) if level is not Level.PLATFORM else ()
            yield Candidate(
                level=level,
                subject="platform" if level is Level.PLATFORM else f"{_PREFIX[level]}{key:016x}",
                head=Head.INTEREST if launched else Head.ENGAGEMENT,
                kind=kind,
                window=window,
                change_window=window,
                bucket=0,
                p_value=p,
                evidence=(found_by,),
                falling=share if kind is Kind.DROP else (),
                rising=share if kind is not Kind.DROP else (),
                facts=facts,
            )

    def _distance(self, totals: Totals, phase: int) -> tuple[float, Floats, Floats] | None:
        """Half the sum of |share - usual share|, and both shares of this window's categories."""
        usual, tally = self.series[Level.CATEGORY], totals.categories
        if not usual.keys.size or not tally.events.sum() or not usual.events[:, phase].sum():
            return None
        keys = binary.union(usual.keys, tally.keys)
        before, now = np.zeros(keys.size), np.zeros(keys.size)
        before[np.searchsorted(keys, usual.keys)] = usual.events[:, phase]
        now[np.searchsorted(keys, tally.keys)] = tally.events
        before, now = before / before.sum(), now / now.sum()
        return 0.5 * float(np.abs(now - before).sum()), before, now

    def _mix_learnt(self, totals: Totals, phase: int, decay: float) -> Floats:
        measured = self._distance(totals, phase)
        if measured is None or self.age < 2 * (7 // self.days):
            return self.mix
        value = np.log(measured[0] + 1e-6)
        return np.asarray(self.mix * decay + [1.0, value, value * value])

    def _mix_change(
        self, window: int, totals: Totals, phase: int, *, settled: bool
    ) -> Iterator[Candidate]:
        """Yield a switch of the platform where the mix is farther from the usual than ever."""
        measured = self._distance(totals, phase)
        count, total, squares = self.mix
        if measured is None or not settled or count < 2:
            return
        distance, before, now = measured
        mean = total / count
        spread = np.sqrt((max(squares - count * mean * mean, 0.0) + 0.2) / (count + 4.0))
        z = max((np.log(distance + 1e-6) - mean) / spread, 0.0)
        p = float(0.5 * beta_cdf(count / 2, 0.5, count / (count + z * z)))
        if p > _TELL_P:
            return
        keys = binary.union(self.series[Level.CATEGORY].keys, totals.categories.keys)
        order = np.argsort(now - before, kind="stable")
        shares = [Share(int(keys[k]), float(before[k]), float(now[k])) for k in order]
        yield Candidate(
            level=Level.PLATFORM,
            subject="platform",
            head=Head.INTEREST,
            kind=Kind.SWITCH,
            window=window,
            change_window=window,
            bucket=0,
            p_value=p,
            evidence=(Evidence("mix", distance, float(np.exp(mean)), True, p),),
            falling=tuple(shares[:_NAMED]),
            rising=tuple(reversed(shares[-_NAMED:])),
            facts={"actions_now": float(totals.events), "now_days": float(self.days)},
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint."""
        columns = {"watch.mix": self.mix, "watch.age": np.array([self.age])}
        columns |= self.volume.arrays("watch.volume")
        for level, series in self.series.items():
            columns |= series.arrays(f"watch.{level.value}")
        return columns

    @classmethod
    def from_arrays(cls, days: int, stored: Mapping[str, NDArray[Any]]) -> Watch:
        """Inverse of `arrays`."""
        return cls(
            days,
            {level: Series.from_arrays(f"watch.{level.value}", stored) for level in _PREFIX},
            Series.from_arrays("watch.volume", stored),
            stored["watch.mix"],
            int(stored["watch.age"][0]),
        )


def _whole(totals: Totals) -> Tally:
    """The platform as one subject, whose events stand for users."""
    events = np.array([totals.events])
    return Tally(np.zeros(1, np.uint64), events, events)
