"""What a shard remembers of its users: the checkpoint.

Two tables. One row a user: rings of events and active days of the last eight weeks, decayed own
levels before them, recurrent state. One row a (user, category) pair that ever occurred: the decayed
count older than the ring; beside it the ring itself, sparse. Truncating to a user's top categories
would lose most of what is detected (measured: recall .68 to .40 at 64), so all pairs are kept,
until a count has decayed to less than a hundredth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.population import RING_WEEKS
from swerve.domain.totals import WEEKLY_DECAY, Cohort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts
    from swerve.domain.population import Context
    from swerve.domain.window import WindowSpec

RESIDUALS = 16
FORECASTS = 2
_FORGOTTEN = 0.01  # decayed count below which an old pair is dropped
_RING_TOP = 65_535


@dataclass(frozen=True, slots=True)
class Slot:
    """Sparse column of one window: counts of the pairs that occurred, and its season factors.

    Attributes
    ----------
    rows : int32[k]
        Rows of the pair table, ascending.
    count : uint16[k]
    season : float32[C]
        Factor of every category of the shard in that window.
    """

    rows: NDArray[np.int32]
    count: NDArray[np.uint16]
    season: NDArray[np.float32]


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
    hidden, forecast, residuals : float16[U, S], float16[U, 2], float16[U, 16]
        Recurrent state, its forecast of the next window, past residuals (newest first, NaN = none).
    categories : uint64[C]
        Sorted keys.
    pair_user, pair_category : int32[P]
        Rows of users and of categories; sorted by (user, category).
    history : float32[P]
        Decayed season-adjusted count before the ring; always representable as float16.
    ring : tuple of Slot
        Newest first.
    """

    days: int
    window: int | None
    cohort: Cohort
    first: NDArray[np.int32]
    events: NDArray[np.uint16]
    active: NDArray[np.uint8]
    old: NDArray[np.float32]
    hidden: NDArray[np.float16]
    forecast: NDArray[np.float16]
    residuals: NDArray[np.float16]
    categories: NDArray[np.uint64]
    pair_user: NDArray[np.int32]
    pair_category: NDArray[np.int32]
    history: NDArray[np.float32]
    ring: tuple[Slot, ...]

    @property
    def users(self) -> NDArray[np.uint64]:
        """Sorted pseudonyms."""
        return self.cohort.users

    @property
    def decay(self) -> float:
        """Decay of a window."""
        return float(WEEKLY_DECAY ** (self.days / 7))

    @classmethod
    def empty(cls, spec: WindowSpec) -> ShardState:
        """Nobody seen yet."""
        width = RING_WEEKS * 7 // spec.days
        slot = Slot(np.empty(0, np.int32), np.empty(0, np.uint16), np.empty(0, np.float32))
        return cls(
            days=spec.days,
            window=None,
            cohort=Cohort.empty(spec.days),
            first=np.empty(0, np.int32),
            events=np.empty((0, width), np.uint16),
            active=np.empty((0, width), np.uint8),
            old=np.empty((0, 4), np.float32),
            hidden=np.empty((0, 0), np.float16),
            forecast=np.empty((0, FORECASTS), np.float16),
            residuals=np.empty((0, RESIDUALS), np.float16),
            categories=np.empty(0, np.uint64),
            pair_user=np.empty(0, np.int32),
            pair_category=np.empty(0, np.int32),
            history=np.empty(0, np.float32),
            ring=(slot,) * width,
        )

    def advance(self, counts: WindowCounts, context: Context, cohort: Cohort) -> ShardState:
        """Take in one window: the oldest slot joins the history, the new counts lead the ring."""
        state = self._shifted(context)._widened(counts, cohort)
        at = np.searchsorted(state.users, counts.users)
        state.events[at, 0] = np.minimum(counts.total, _RING_TOP)
        state.active[at, 0] = counts.days
        category = np.searchsorted(state.categories, counts.pair_category)
        rows = np.searchsorted(
            state._pair_keys(), at[counts.pair_user] * np.int64(state.categories.size) + category
        )
        season = np.ones(state.categories.size, np.float32)
        found = binary.rows_of(context.keys, state.categories)
        season[found >= 0] = context.season[found[found >= 0]]
        newest = Slot(
            rows.astype(np.int32),
            np.minimum(counts.pair_count, _RING_TOP).astype(np.uint16),
            season,
        )
        return replace(state, window=counts.window, ring=(newest, *state.ring[1:]))

    def _shifted(self, context: Context) -> ShardState:
        """Push the oldest window out of every ring; slot 0 becomes empty."""
        oldest = self.ring[-1]
        history = self.history * np.float32(self.decay)
        history[oldest.rows] += oldest.count / oldest.season[self.pair_category[oldest.rows]]
        history = history.astype(np.float16).astype(np.float32)
        leaving = np.empty((self.first.size, 4))
        leaving[:, 0], leaving[:, 2] = self.events[:, -1], self.active[:, -1]
        leaving[:, 1::2] = context.factor[-1]
        lived = self.first + self.days * self.events.shape[1] <= context.window
        old = (self.old * self.decay + leaving * lived[:, None]).astype(np.float32)
        empty = Slot(oldest.rows[:0], oldest.count[:0], oldest.season)
        return replace(
            self,
            history=history,
            old=old,
            events=_rolled(self.events),
            active=_rolled(self.active),
            ring=(empty, *self.ring[:-1]),
        )

    def _widened(self, counts: WindowCounts, cohort: Cohort) -> ShardState:
        """Give a row to every new user, category and pair; drop pairs that are forgotten."""
        users = cohort.users
        at = np.searchsorted(users, self.users)
        categories = binary.union(self.categories, np.unique(counts.pair_category))
        moved = np.searchsorted(categories, self.categories).astype(np.int32)
        width = np.int64(max(categories.size, 1))
        keys = at[self.pair_user] * width + moved[self.pair_category]
        fresh = np.searchsorted(users, counts.users)[counts.pair_user] * width + np.searchsorted(
            categories, counts.pair_category
        )
        kept = self.history >= _FORGOTTEN
        for slot in self.ring:
            kept[slot.rows] = True
        joined = np.union1d(keys[kept], fresh)
        target = np.searchsorted(joined, keys).astype(np.int32)
        history = np.zeros(joined.size, np.float32)
        history[target[kept]] = self.history[kept]
        ring = tuple(
            Slot(target[s.rows], s.count, _placed(s.season, moved, categories.size, 1.0))
            for s in self.ring
        )
        size = users.size
        first = _placed(self.first, at, size, counts.window)
        return replace(
            self,
            cohort=cohort,
            first=first,
            events=_placed(self.events, at, size, 0),
            active=_placed(self.active, at, size, 0),
            old=_placed(self.old, at, size, 0),
            hidden=_placed(self.hidden, at, size, 0),
            forecast=_placed(self.forecast, at, size, np.nan),
            residuals=_placed(self.residuals, at, size, np.nan),
            categories=categories,
            pair_user=(joined // width).astype(np.int32),
            pair_category=(joined % width).astype(np.int32),
            history=history,
            ring=ring,
        )

    def _pair_keys(self) -> NDArray[np.int64]:
        return self.pair_user * np.int64(max(self.categories.size, 1)) + self.pair_category

    def rename(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> ShardState:
        """Give users their pseudonym under a new key; unknown old names are ignored."""
        users = self.users.copy()
        row = binary.rows_of(self.users, old)
        users[row[row >= 0]] = new[row >= 0]
        order = np.argsort(users, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        keys = place[self.pair_user] * np.int64(max(self.categories.size, 1)) + self.pair_category
        pairs = np.argsort(keys, kind="stable")
        moved = np.empty(pairs.size, np.int32)
        moved[pairs] = np.arange(pairs.size, dtype=np.int32)
        cohort = replace(
            self.cohort,
            users=users[order],
            level=self.cohort.level[order],
            span=self.cohort.span[order],
            idle=self.cohort.idle[order],
        )
        return replace(
            self,
            cohort=cohort,
            first=self.first[order],
            events=self.events[order],
            active=self.active[order],
            old=self.old[order],
            hidden=self.hidden[order],
            forecast=self.forecast[order],
            residuals=self.residuals[order],
            pair_user=place[self.pair_user][pairs].astype(np.int32),
            pair_category=self.pair_category[pairs],
            history=self.history[pairs],
            ring=tuple(_reordered(slot, moved) for slot in self.ring),
        )

    def to_bytes(self) -> bytes:
        """Pack the checkpoint."""
        sizes = np.array([s.rows.size for s in self.ring], np.int32)
        pairs_of = np.bincount(self.pair_user, minlength=self.users.size).astype(np.uint16)
        arrays: dict[str, NDArray[Any]] = {
            "users": self.users,
            "level": self.cohort.level,
            "span": self.cohort.span,
            "idle": self.cohort.idle,
            "first": self.first,
            "events": self.events,
            "active": self.active,
            "old": self.old,
            "hidden": self.hidden,
            "forecast": self.forecast,
            "residuals": self.residuals,
            "categories": self.categories,
            "pairs": pairs_of,
            "pair_category": self.pair_category.astype(np.uint32),
            "history": self.history.astype(np.float16),
            "slots": sizes,
            "rows": np.concatenate([np.diff(s.rows, prepend=0) for s in self.ring]),
            "count": np.concatenate([s.count for s in self.ring]),
            "season": np.stack([s.season for s in self.ring]),
        }
        return binary.dump("shard", {"days": self.days, "window": self.window}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> ShardState:
        """Inverse of `to_bytes`."""
        facts, a = binary.load("shard", data)
        ends = np.cumsum(a["slots"])
        ring = tuple(
            Slot(
                np.cumsum(a["rows"][end - size : end], dtype=np.int32),
                a["count"][end - size : end],
                season,
            )
            for size, end, season in zip(a["slots"], ends, a["season"], strict=True)
        )
        names = ("first", "events", "active", "old", "hidden", "forecast", "residuals")
        return cls(
            days=facts["days"],
            window=facts["window"],
            cohort=Cohort(facts["days"], a["users"], a["level"], a["span"], a["idle"]),
            categories=a["categories"],
            pair_user=np.repeat(np.arange(a["users"].size, dtype=np.int32), a["pairs"]),
            pair_category=a["pair_category"].astype(np.int32),
            history=a["history"].astype(np.float32),
            ring=ring,
            **{n: a[n] for n in names},
        )

    def describe(self, user: int) -> Mapping[str, Any]:
        """Plain facts of one user, for people; raises KeyError where the user is unknown."""
        row = int(binary.rows_of(self.users, np.array([user], np.uint64))[0])
        if row < 0:
            raise KeyError(f"user {user:016x} is not in this shard")
        pairs = np.flatnonzero(self.pair_user == row)
        recent = np.zeros(self.pair_user.size, np.int64)
        for slot in self.ring:
            recent[slot.rows] += slot.count
        return {
            "first": int(self.first[row]),
            "events": self.events[row].tolist(),
            "active_days": self.active[row].tolist(),
            "categories": {
                int(self.categories[self.pair_category[p]]): {
                    "last_8_weeks": int(recent[p]),
                    "before": float(self.history[p]),
                }
                for p in pairs
            },
        }


def _rolled(ring: NDArray[Any]) -> NDArray[Any]:
    rolled = np.empty_like(ring)
    rolled[:, 1:], rolled[:, 0] = ring[:, :-1], 0
    return rolled


def _placed(values: NDArray[Any], at: NDArray[np.integer], size: int, fill: float) -> NDArray[Any]:
    if at.size == size:
        return values
    wide = np.full((size, *values.shape[1:]), fill, values.dtype)
    wide[at] = values
    return wide


def _reordered(slot: Slot, moved: NDArray[np.int32]) -> Slot:
    rows = moved[slot.rows]
    order = np.argsort(rows)
    return Slot(rows[order], slot.count[order], slot.season)
