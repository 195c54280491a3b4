"""What the population needs of one window: integers, so that any split into shards sums alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.again import CATEGORY_WEEKS, FIXED, ITEM_WEEKS, Things, alike
from swerve.domain.counts import BUCKETS, Tally, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts

WEEKLY_DECAY = 0.98  # best of .96 to .99 on training households of Complete Journey
MASS_UNIT = 1024
_MASS_CAP = 64  # counts of one user in one window that weigh in the shop's mix at most
_SETTLED_WEEKS = 3.0
_IDLE_WEEKS = 6
_CAP = 5.0  # a window counts at most as (own level + one event) times this
_DAY_ITEMS = 4  # of a category that count on one day
ITEM_USERS = 3  # an item that fewer users touched is no subject

# Sizes of the negative binomial of a user's weekly events that the shop's silence is compared with.
SIZES = np.array([0.15, 0.25, 0.4, 0.6, 1.0, 1.6, 2.5, 4.0, 6.0])

COHORT_FIELDS = ("events_seen", "events_expected", "days_seen", "days_expected")


@dataclass(frozen=True, slots=True)
class Cohort:
    """Each user's own level before a window: the light part of a shard's state.

    Attributes
    ----------
    users : uint64[U]
        Sorted.
    level : float32[U, 2]
        Decayed sums of winsorised events and active days a window, after the first.
    span : float32[U]
        Decayed number of windows after that in which the user was first seen.
    idle : int32[U]
        Windows since the last event; -1 where the first is just coming in.
    categories, items : tuple of Things
        What users did in the last windows, newest first. A checkpoint does not hold them: the pair
        tables do.
    """

    days: int
    users: NDArray[np.uint64]
    level: NDArray[np.float32]
    span: NDArray[np.float32]
    idle: NDArray[np.int32]
    categories: tuple[Things, ...] = ()
    items: tuple[Things, ...] = ()

    @classmethod
    def empty(cls, days: int) -> Cohort:
        """Nobody seen yet; windows of this many days."""
        return cls(
            days,
            np.empty(0, np.uint64),
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.int32),
        )

    def widened(self, users: NDArray[np.uint64]) -> Cohort:
        """Add users that were not known."""
        joined = binary.union(self.users, users)
        if joined is self.users:
            return self
        at = np.searchsorted(joined, self.users)
        level = np.zeros((joined.size, 2), np.float32)
        span = np.zeros(joined.size, np.float32)
        idle = np.full(joined.size, -1, np.int32)
        level[at], span[at], idle[at] = self.level, self.span, self.idle
        return Cohort(self.days, joined, level, span, idle, self.categories, self.items)

    def compared(
        self, counts: WindowCounts
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Events and days in the window, the same winsorised, and their own level before."""
        seen = np.zeros((self.users.size, 2))
        at = np.searchsorted(self.users, counts.users)
        seen[at, 0], seen[at, 1] = counts.total, counts.days
        level = self.level / np.maximum(self.span, 1.0)[:, None]
        known = (self.span > 0)[:, None]
        return seen, np.where(known, np.minimum(seen, (level + 1.0) * _CAP), seen), level

    def seen_lately(self) -> NDArray[np.bool_]:
        """Who did anything in the last weeks."""
        return self.idle < _IDLE_WEEKS * 7 // self.days

    def advance(self, counts: WindowCounts) -> Cohort:
        """Take in one window."""
        wide = self.widened(counts.users)
        _, bounded, _ = wide.compared(counts)
        decay = WEEKLY_DECAY ** (self.days / 7)
        # That something happened in a user's first window says nothing of how often it does: with
        # it, a shop of rare visitors would seem to fall from then on.
        later = wide.idle >= 0
        idle = wide.idle + 1
        idle[np.searchsorted(wide.users, counts.users)] = 0
        return Cohort(
            self.days,
            wide.users,
            (wide.level * decay + bounded * later[:, None]).astype(np.float32),
            (wide.span * decay + later).astype(np.float32),
            idle,
            *self._lately(counts),
        )

    def _lately(self, counts: WindowCounts) -> tuple[tuple[Things, ...], tuple[Things, ...]]:
        named = counts.users[counts.pair_user], counts.pair_category, counts.pair_count
        categories = (Things.categories(*named), *self.categories)
        items = (Things.items(counts.users[counts.bucket_user], counts.bucket), *self.items)
        kept = (weeks[-1] * 7 // self.days + 1 for weeks in (CATEGORY_WEEKS, ITEM_WEEKS))
        return categories[: next(kept)], items[: next(kept)]

    def renamed(
        self, old: NDArray[np.uint64], new: NDArray[np.uint64]
    ) -> tuple[Cohort, NDArray[np.intp]]:
        """Give users new names; also the order that sorts the rows again."""
        users = self.users.copy()
        row = binary.rows_of(self.users, old)
        users[row[row >= 0]] = new[row >= 0]
        order = np.argsort(users, kind="stable")
        categories, items = (
            tuple(things.renamed(old, new) for things in windows)
            for windows in (self.categories, self.items)
        )
        moved = replace(self, users=users, categories=categories, items=items)
        return moved.only(order), order

    def only(self, rows: NDArray[np.intp]) -> Cohort:
        """Some users, in this order."""
        level, span, idle = self.level[rows], self.span[rows], self.idle[rows]
        users = self.users[rows]
        return Cohort(self.days, users, level, span, idle, self.categories, self.items)

    def rename(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> Cohort:
        """Give users their pseudonym under a new key; unknown old names are ignored."""
        return self.renamed(old, new)[0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint."""
        return {n: getattr(self, n) for n in ("users", "level", "span", "idle")}

    @classmethod
    def from_arrays(cls, days: int, stored: Mapping[str, NDArray[Any]]) -> Cohort:
        """Inverse of `arrays`, without what was done lately."""
        return cls(days, stored["users"], stored["level"], stored["span"], stored["idle"])


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over users of one window.

    Attributes
    ----------
    events, active_days, known, timed : int
        Events that show interest; days with an event, summed over users; users seen lately; events
        that have a time of day.
    cohort : int64[4]
        Over settled users: weighted events seen and expected, active days seen and expected
        (`COHORT_FIELDS`), in units of 1/FIXED.
    categories, products, campaigns : Tally
    mass, bucket_mass : int64[C], int64[BUCKETS]
        Pair counts by category and by item bucket in which no user's window weighs more than
        `_MASS_CAP`, x MASS_UNIT.
    likeness : int64[2]
        Of single users, pairs of a category now and one of the week before that are the same, and
        such pairs at all (`again.alike`): how concentrated users are.
    depth : int64[2]
        Days on which users met a category, and distinct items of it on those days, bounded.
    again : int64[2]
        The same of item buckets now and seven or eight weeks ago: do people come back to the same
        items.
    silence : int64[1 + S]
        Settled users without an event for a week; and how many there would be if weekly events
        were negative binomial of each of `SIZES`, in units of 1/FIXED.
    """

    window: int
    events: int
    active_days: int
    known: int
    timed: int
    cohort: NDArray[np.int64]
    categories: Tally
    mass: NDArray[np.int64]
    bucket_mass: NDArray[np.int64]
    likeness: NDArray[np.int64]
    depth: NDArray[np.int64]
    again: NDArray[np.int64]
    silence: NDArray[np.int64]
    products: Tally
    campaigns: Tally

    @staticmethod
    def sum(parts: Iterable[Totals]) -> Totals:
        """Sum over shards; the order of the parts does not matter."""
        every = list(parts)
        categories = _joined([p.categories for p in every])
        mass = np.zeros(categories.keys.size, np.int64)
        for part in every:
            mass[np.searchsorted(categories.keys, part.categories.keys)] += part.mass
        return replace(
            every[0],
            events=sum(p.events for p in every),
            active_days=sum(p.active_days for p in every),
            known=sum(p.known for p in every),
            timed=sum(p.timed for p in every),
            cohort=np.sum([p.cohort for p in every], axis=0),
            categories=categories,
            mass=mass,
            bucket_mass=np.sum([p.bucket_mass for p in every], axis=0),
            likeness=np.sum([p.likeness for p in every], axis=0),
            depth=np.sum([p.depth for p in every], axis=0),
            again=np.sum([p.again for p in every], axis=0),
            silence=np.sum([p.silence for p in every], axis=0),
            products=_joined([p.products for p in every]),
            campaigns=_joined([p.campaigns for p in every]),
        )

    def of_many(self, item_users: int) -> Totals:
        """Leave out items of fewer users."""
        return replace(self, products=self.products.of_many(item_users))

    def to_bytes(self) -> bytes:
        """Pack."""
        tallies = {"c": self.categories, "p": self.products, "m": self.campaigns}
        arrays = {n: getattr(self, n) for n in _SUMS}
        for name, each in tallies.items():
            arrays |= {f"{name}k": each.keys, f"{name}e": each.events, f"{name}u": each.users}
        names = ("window", "events", "active_days", "known", "timed")
        facts = {name: getattr(self, name) for name in names}
        return binary.dump("totals/3", facts, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Totals:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load("totals/3", data)
        sums: dict[str, Any] = {n: arrays[n] for n in _SUMS}
        made = {n: Tally(arrays[f"{n}k"], arrays[f"{n}e"], arrays[f"{n}u"]) for n in "cpm"}
        return cls(
            **sums,
            categories=made["c"],
            products=made["p"],
            campaigns=made["m"],
            **facts,
        )


_SUMS = ("cohort", "mass", "bucket_mass", "likeness", "depth", "again", "silence")


def totals_of(
    counts: WindowCounts, cohort: Cohort, item_users: int = ITEM_USERS
) -> tuple[Totals, Cohort]:
    """Sum one shard's window, and move its cohort past it.

    Items of fewer than `item_users` users are left out: most are, and they would fill the totals.

    The cohort factor must compare users with themselves: a shop that grows or loses customers
    is not a shop in which everybody buys more or less. Heavy users are weighed by the inverse
    of an overdispersed variance and their windows are winsorised, so that no single user moves
    the factor of a small panel; users idle for weeks are left out, so that true churn does not
    either.
    """
    cohort = cohort.widened(counts.users)
    _, bounded, level = cohort.compared(counts)
    per_week = 7 // cohort.days
    settled = (cohort.span >= _SETTLED_WEEKS * per_week * 0.95) & cohort.seen_lately()
    weight = FIXED / (1.0 + level[settled] * np.array([0.5, 0.25]))
    sums = np.stack(
        [
            np.rint(weight * bounded[settled]).astype(np.int64).sum(axis=0),
            np.rint(weight * level[settled]).astype(np.int64).sum(axis=0),
        ],
        axis=1,
    ).reshape(-1)
    moved = cohort.advance(counts)
    categories = tally(counts.categories, counts.pair_code, counts.pair_events)
    products = tally(counts.items, counts.item_code, counts.item_count)
    return Totals(
        window=counts.window,
        events=int(counts.total.sum()),
        active_days=int(counts.days.sum()),
        known=int(np.count_nonzero(moved.seen_lately())),
        timed=counts.timed,
        cohort=sums,
        categories=categories,
        mass=_bounded_sum(
            counts.pair_user, counts.pair_code, counts.pair_count, categories.keys.size
        ),
        bucket_mass=_bounded_sum(counts.bucket_user, counts.bucket, counts.bucket_count, BUCKETS),
        likeness=_alike(moved.categories, CATEGORY_WEEKS, cohort.days),
        depth=np.array([counts.pair_count.sum(), bounded_items(counts).sum()], np.int64),
        again=_alike(moved.items, ITEM_WEEKS, cohort.days),
        silence=_silence(cohort, moved),
        products=products.of_many(item_users),
        campaigns=counts.campaigns,
    ), moved


def _bounded_sum(
    user: NDArray[np.int32], key: NDArray[np.integer], count: NDArray[np.int32], size: int
) -> NDArray[np.int64]:
    """Sum counts by key; a user with more than `_MASS_CAP` in all is scaled down to it."""
    all_of_user = np.bincount(user, count)
    weight = MASS_UNIT * np.minimum(1.0, _MASS_CAP / np.maximum(all_of_user, 1.0))
    capped = np.rint(weight[user] * count) if user.size else np.empty(0)
    return np.bincount(key, capped, size).astype(np.int64)


def bounded_items(counts: WindowCounts) -> NDArray[np.int32]:
    """Distinct (item, day) of each pair, int32[P]: an order of 90 says no more than one of four."""
    return np.minimum(counts.pair_items, _DAY_ITEMS * counts.pair_count)


def chance_of_silence(mean: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Chance of a week without an event, by negative binomials of each of `SIZES`."""
    return np.asarray(np.exp(SIZES * np.log(SIZES / (SIZES + mean))))


def _silence(before: Cohort, after: Cohort) -> NDArray[np.int64]:
    per_week = 7 // after.days
    idle_before_the_week = after.idle - per_week
    settled = before.span >= _SETTLED_WEEKS * per_week * 0.95
    rows = np.flatnonzero(settled & (idle_before_the_week < _IDLE_WEEKS * per_week))
    mean = before.level[rows, 0].astype(np.float64) / before.span[rows] * per_week
    silent = np.count_nonzero(idle_before_the_week[rows] >= 0)
    expected = np.rint(FIXED * chance_of_silence(mean[:, None])).astype(np.int64).sum(axis=0)
    return np.concatenate([[silent * FIXED], expected])


def _alike(windows: tuple[Things, ...], weeks: tuple[int, ...], days: int) -> NDArray[np.int64]:
    return alike(windows, [week * 7 // days for week in weeks])


def _joined(parts: list[Tally]) -> Tally:
    keys = np.unique(np.concatenate([p.keys for p in parts]))
    events, users = np.zeros(keys.size, np.int64), np.zeros(keys.size, np.int64)
    for part in parts:
        at = np.searchsorted(keys, part.keys)
        events[at] += part.events
        users[at] += part.users
    return Tally(keys, events, users)
