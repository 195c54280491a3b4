"""What a shard remembers of its users: the checkpoint.

One row a user: rings of events and active days of the last eight weeks, decayed own levels before
them, recurrent state. Beside it two sparse tables of (user, category) and (user, item bucket).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.again import Things
from swerve.domain.counts import BUCKETS
from swerve.domain.pairs import PairTable, placed
from swerve.domain.peaks import Peaks
from swerve.domain.population import RING_WEEKS
from swerve.domain.totals import WEEKLY_DECAY, Cohort, bounded_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts
    from swerve.domain.population import Context
    from swerve.domain.ring import Ring
    from swerve.domain.window import WindowSpec

RESIDUALS = 16
FORECASTS = 2
_RING_TOP = 65_535
# An item of which half a purchase is left, one in 42 weeks, no longer tells users apart.
_LEAST_ITEM = 0.5
KIND = "shard/6"  # with the layout: an older checkpoint is refused, not misread
_BY_USER = (
    "first",
    "events",
    "active",
    "old",
    "engaged",
    "surged",
    "hidden",
    "forecast",
    "residuals",
)


@dataclass(frozen=True, slots=True)
class ShardState:
    """All users of one shard as of the end of `window`.

    Attributes
    ----------
    cohort : Cohort
        Also holds the sorted users.
    first : int32[U]
        Window in which the user was first seen.
    events, active : uint16[U, R], uint8[U, R]
        Events and active days by window, newest first.
    old : float32[U, 4]
        Before the ring, decayed: events, their factors, active days, their factors.
    peaks : Peaks
        How much the user's interest surprised, week by week.
    engaged : float16[U, 2]
        Log p of engagement in this window, and its bucket; NaN where it was not judged.
    surged : float16[U, 2]
        Least log p of the surge that goes on, and the bucket now; NaN where none does.
    hidden, forecast, residuals : float16[U, S], float16[U, 2], float16[U, 16]
        Recurrent state, its forecast of the next window, past residuals (newest first, NaN = none).
    categories : PairTable
        Days on which a category occurred, and distinct (item, day).
    items : PairTable
        Distinct (item, day) by hash bucket of the item.
    """

    days: int
    window: int | None
    cohort: Cohort
    first: NDArray[np.int32]
    events: NDArray[np.uint16]
    active: NDArray[np.uint8]
    old: NDArray[np.float32]
    peaks: Peaks
    engaged: NDArray[np.float16]
    surged: NDArray[np.float16]
    hidden: NDArray[np.float16]
    forecast: NDArray[np.float16]
    residuals: NDArray[np.float16]
    categories: PairTable
    items: PairTable

    @property
    def users(self) -> NDArray[np.uint64]:
        """Sorted pseudonyms."""
        return self.cohort.users

    @property
    def decay(self) -> float:
        """Decay of a window."""
        return float(WEEKLY_DECAY ** (self.days / 7))

    @property
    def ring(self) -> Ring:
        """Recent windows of the category pairs."""
        return self.categories.ring

    @classmethod
    def empty(cls, spec: WindowSpec) -> ShardState:
        """Nobody seen yet."""
        width = RING_WEEKS * 7 // spec.days
        return cls(
            days=spec.days,
            window=None,
            cohort=Cohort.empty(spec.days),
            first=np.empty(0, np.int32),
            events=np.empty((0, width), np.uint16),
            active=np.empty((0, width), np.uint8),
            old=np.empty((0, 4), np.float32),
            peaks=Peaks.empty(),
            engaged=np.empty((0, 2), np.float16),
            surged=np.empty((0, 2), np.float16),
            hidden=np.empty((0, 0), np.float16),
            forecast=np.empty((0, FORECASTS), np.float16),
            residuals=np.empty((0, RESIDUALS), np.float16),
            categories=PairTable.empty(width, 2),
            items=PairTable.empty(width, 1),
        )

    def advance(self, counts: WindowCounts, context: Context) -> ShardState:
        """Take in one window."""
        state = self._shifted(context)._widened(counts.window, self.cohort.advance(counts))
        at = np.searchsorted(state.users, counts.users).astype(np.int32)
        state.events[at, 0] = np.minimum(counts.total, _RING_TOP)
        state.active[at, 0] = counts.days
        return replace(
            state,
            window=counts.window,
            categories=state.categories.advance(
                counts.window,
                state.days,
                state.users,
                (
                    at[counts.pair_user],
                    counts.pair_code,
                    np.stack([counts.pair_count, bounded_items(counts)], axis=1),
                ),
                counts.categories,
                (context.categories.keys, context.categories.season),
            ),
            items=state.items.advance(
                counts.window,
                state.days,
                state.users,
                (
                    at[counts.bucket_user],
                    counts.bucket,
                    counts.bucket_count[:, None],
                ),
                np.arange(BUCKETS, dtype=np.uint64),
                (context.items.keys, context.items.season),
                _LEAST_ITEM,
            ),
        )

    def _shifted(self, context: Context) -> ShardState:
        """Push the oldest window out of the users' rings; slot 0 becomes empty."""
        leaving = np.empty((self.first.size, 4))
        leaving[:, 0], leaving[:, 2] = self.events[:, -1], self.active[:, -1]
        leaving[:, 1::2] = context.factor[-1]
        # That something happened in a user's first window says nothing of how often it does.
        lived = self.first + self.days * self.events.shape[1] < context.window
        old = (self.old * self.decay + leaving * lived[:, None]).astype(np.float32)
        return replace(self, old=old, events=_rolled(self.events), active=_rolled(self.active))

    def _widened(self, window: int, cohort: Cohort) -> ShardState:
        """Give a row to every new user."""
        size = cohort.users.size
        if size == self.users.size:
            return replace(self, cohort=cohort)
        at = np.searchsorted(cohort.users, self.users)
        return replace(
            self,
            cohort=cohort,
            first=placed(self.first, at, size, window),
            events=placed(self.events, at, size, 0),
            active=placed(self.active, at, size, 0),
            old=placed(self.old, at, size, 0),
            peaks=self.peaks.placed(at, size),
            engaged=placed(self.engaged, at, size, np.nan),
            surged=placed(self.surged, at, size, np.nan),
            hidden=placed(self.hidden, at, size, 0),
            forecast=placed(self.forecast, at, size, np.nan),
            residuals=placed(self.residuals, at, size, np.nan),
            categories=self.categories.with_users(at, size),
            items=self.items.with_users(at, size),
        )

    def only(self, rows: NDArray[np.intp]) -> ShardState:
        """Some users, by ascending rows."""
        return replace(
            self,
            cohort=self.cohort.only(rows),
            **{name: getattr(self, name)[rows] for name in _BY_USER},
            peaks=self.peaks.only(rows),
            categories=self.categories.only(rows),
            items=self.items.only(rows),
        )

    def apart(self, rows: NDArray[np.intp]) -> ShardState:
        """Some users, by ascending rows, as if there had never been others."""
        some = self.only(rows)
        return replace(some, categories=some.categories.trimmed(), items=some.items.trimmed())

    def rename(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> ShardState:
        """Give users their pseudonym under a new key; unknown old names are ignored."""
        cohort, order = self.cohort.renamed(old, new)
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        return replace(
            self,
            cohort=cohort,
            **{name: getattr(self, name)[order] for name in _BY_USER},
            peaks=self.peaks.only(order),
            categories=self.categories.permuted(place),
            items=self.items.permuted(place),
        )

    def to_bytes(self) -> bytes:
        """Pack the checkpoint."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _BY_USER}
        arrays |= self.cohort.arrays() | self.peaks.arrays()
        arrays |= self.categories.arrays("category")
        arrays |= self.items.arrays("item")
        return binary.dump(KIND, {"days": self.days, "window": self.window}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> ShardState:
        """Inverse of `to_bytes`."""
        facts, arrays = binary.load(KIND, data)
        by_user: dict[str, Any] = {name: arrays[name] for name in _BY_USER}
        cohort = Cohort.from_arrays(facts["days"], arrays)
        categories, items = (PairTable.from_arrays(n, arrays) for n in ("category", "item"))
        return cls(
            **facts,
            **by_user,
            peaks=Peaks.from_arrays(arrays),
            cohort=replace(
                cohort,
                categories=_categories(cohort.users, categories),
                items=_items(cohort.users, items),
            ),
            categories=categories,
            items=items,
        )

    def describe(self, user: int) -> Mapping[str, Any]:
        """Plain facts of one user, for people; raises KeyError where the user is unknown."""
        row = int(binary.rows_of(self.users, np.array([user], np.uint64))[0])
        if row < 0:
            raise KeyError(f"user {user:016x} is not in this shard")
        table = self.categories
        recent = table.recent()
        pairs, _ = table.runs.rows(np.array([row]))
        return {
            "first": int(self.first[row]),
            "events": self.events[row].tolist(),
            "active_days": self.active[row].tolist(),
            "categories": {
                int(table.keys[table.key[p]]): {
                    "last_8_weeks": int(recent[p, 1]),
                    "days": int(recent[p, 0]),
                    "before": float(table.past(1)[p]),
                    "days_before": float(table.past(0)[p]),
                }
                for p in pairs
            },
        }


def _categories(users: NDArray[np.uint64], table: PairTable) -> tuple[Things, ...]:
    ring = table.ring
    category = table.keys.take(table.key.take(ring.rows))
    return Things.categories(ring.spread(users), category, ring.count[:, 0]).cut(ring.widths)


def _items(users: NDArray[np.uint64], table: PairTable) -> tuple[Things, ...]:
    bucket = table.keys.take(table.key.take(table.ring.rows))
    return Things.items(table.ring.spread(users), bucket).cut(table.ring.widths)


def _rolled(ring: NDArray[Any]) -> NDArray[Any]:
    rolled = np.empty_like(ring)
    rolled[:, 1:], rolled[:, 0] = ring[:, :-1], 0
    return rolled
