"""A sparse table of (user, key) counts: a decayed past, and the last eight weeks by window.

Truncating to a user's top keys would lose most of what is detected (measured: recall .68 to .40 at
64 categories), so every pair is kept until its count has decayed to a fiftieth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.totals import WEEKLY_DECAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_TOP = 255
# The past is stored as 8-bit log codes: code c > 0 is FLOOR * exp((c - 1) * STEP). The decay of two
# weeks is exactly one step, so it never rounds; additions are rounded by a fixed dither, so that
# a habit of a small share of the past is not lost.
STEP = -2.0 * np.log(WEEKLY_DECAY)
FLOOR = 0.02
_DECAY_DAYS = 14
_VALUES = np.concatenate([[0.0], FLOOR * np.exp(STEP * np.arange(255))]).astype(np.float32)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Slot:
    """Sparse column of one window.

    Attributes
    ----------
    rows : int32[k]
        Rows of the pair table, ascending.
    count : uint8[k, K]
    season : float32[C]
        Season factor of every key in that window.
    """

    rows: NDArray[np.int32]
    count: NDArray[np.uint8]
    season: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairTable:
    """Counts of (user, key) pairs, sorted by user, then key.

    Attributes
    ----------
    keys : uint64[C]
        Sorted.
    user, key : int32[P]
        Row of the user, row of `keys`.
    code : uint8[P, K]
        Log codes of the decayed season-adjusted counts before the ring, K kinds of count.
    ring : tuple of Slot
        Newest first.
    """

    keys: NDArray[np.uint64]
    user: NDArray[np.int32]
    key: NDArray[np.int32]
    code: NDArray[np.uint8]
    ring: tuple[Slot, ...]

    @classmethod
    def empty(cls, width: int, kinds: int) -> PairTable:
        """No pair; a ring of `width` windows; `kinds` of count."""
        none, counts = np.empty(0, np.int32), np.empty((0, kinds), np.uint8)
        slot = Slot(none, counts, np.empty(0, np.float32))
        return cls(np.empty(0, np.uint64), none, none, counts, (slot,) * width)

    def past(self, kind: int) -> NDArray[np.float32]:
        """Decayed count of each pair before the ring, float32[P]."""
        return _VALUES[self.code[:, kind]]

    def advance(
        self,
        window: int,
        days: int,
        names: NDArray[np.uint64],
        found: tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]],
        season: tuple[NDArray[np.uint64], NDArray[np.float64]],
    ) -> PairTable:
        """Take in one window: the oldest slot joins the past, the new counts lead the ring.

        Parameters
        ----------
        window, days
            The window and its length.
        names : uint64[U]
            Users by row.
        found : (int32[k], uint64[k], int32[k, K])
            The window's (user row, key, counts), sorted by (user, key).
        season : (uint64[C], float64[C])
            Sorted keys and their season factors in this window.
        """
        user, key, count = found
        table, rows = self._aged(window, days, names)._widened(user, key, window)
        factor = np.ones(table.keys.size, np.float32)
        at = binary.rows_of(season[0], table.keys)
        factor[at >= 0] = season[1][at[at >= 0]]
        newest = Slot(rows, np.minimum(count, _TOP).astype(np.uint8), factor)
        return replace(table, ring=(newest, *table.ring[1:]))

    def _aged(self, window: int, days: int, names: NDArray[np.uint64]) -> PairTable:
        oldest = self.ring[-1]
        code = self.code
        if (window - days) // _DECAY_DAYS != window // _DECAY_DAYS:
            code = code - (code > 0)
        else:
            code = code.copy()
        rows = oldest.rows
        adjusted = oldest.count / oldest.season[self.key[rows]][:, None]
        total = _VALUES[code[rows]] + adjusted
        dither = _dither(names[self.user[rows]], self.keys[self.key[rows]], window)
        exact = np.log(np.maximum(total, FLOOR) / FLOOR) / STEP + 1.0
        code[rows] = np.where(adjusted > 0, np.clip(exact + dither[:, None], 1, _TOP), code[rows])
        empty = Slot(rows[:0], oldest.count[:0], oldest.season)
        return replace(self, code=code, ring=(empty, *self.ring[:-1]))

    def _widened(
        self, user: NDArray[np.int32], key: NDArray[np.uint64], window: int
    ) -> tuple[PairTable, NDArray[np.int32]]:
        """Give a row to every new pair; return also the rows of the pairs given.

        Both the table and the pairs given are sorted, so one search and one merge do.
        """
        table = self._pruned() if window % _DECAY_DAYS < 7 else self
        keys = binary.union(table.keys, np.unique(key))
        moved = np.searchsorted(keys, table.keys).astype(np.int32)
        old_key = table.key if keys is table.keys else moved[table.key]
        old, wanted = _joint(table.user, old_key, user, np.searchsorted(keys, key), keys.size)
        at = np.searchsorted(old, wanted)
        fresh = old[np.minimum(at, old.size - 1)] != wanted if old.size else at >= 0
        rows = (at + np.cumsum(fresh) - fresh).astype(np.int32)
        added = rows[fresh]
        is_old = np.ones(old.size + added.size, np.bool_)
        is_old[added] = False
        target = np.flatnonzero(is_old).astype(np.int32)
        source = np.cumsum(is_old, dtype=np.int32) - 1

        def merged(before: NDArray[Any], new: NDArray[Any] | int) -> NDArray[Any]:
            # Taking is many times faster than writing to places, for rows of two bytes above all.
            wide = np.empty((is_old.size, *before.shape[1:]), before.dtype)
            if old.size:
                before.take(source, axis=0, out=wide, mode="wrap")
            wide[added] = new
            return wide

        ring = tuple(
            Slot(target.take(s.rows), s.count, placed(s.season, moved, keys.size, 1.0))
            for s in table.ring
        )
        wide = PairTable(
            keys,
            merged(table.user, user[fresh]),
            merged(old_key, np.searchsorted(keys, key[fresh]).astype(np.int32)),
            merged(table.code, 0),
            ring,
        )
        return wide, rows

    def _pruned(self) -> PairTable:
        """Drop pairs that are forgotten."""
        kept = self.code[:, 0] > 0
        for slot in self.ring:
            kept[slot.rows] = True
        if kept.all():
            return self
        target = (np.cumsum(kept) - 1).astype(np.int32)
        ring = tuple(Slot(target[s.rows], s.count, s.season) for s in self.ring)
        return replace(
            self, user=self.user[kept], key=self.key[kept], code=self.code[kept], ring=ring
        )

    def with_users(self, at: NDArray[np.integer]) -> PairTable:
        """Move user rows; `at` ascends, so the order of pairs stays."""
        return replace(self, user=at[self.user].astype(np.int32))

    def permuted(self, place: NDArray[np.integer]) -> PairTable:
        """Move user rows in any way, and sort the pairs again."""
        wide = self.with_users(place)
        order = np.lexsort((wide.key, wide.user))
        moved = np.empty(order.size, np.int32)
        moved[order] = np.arange(order.size, dtype=np.int32)
        ring = []
        for slot in self.ring:
            rows = moved[slot.rows]
            by = np.argsort(rows)
            ring.append(Slot(rows[by], slot.count[by], slot.season))
        return replace(
            self,
            user=wide.user[order],
            key=self.key[order],
            code=self.code[order],
            ring=tuple(ring),
        )

    def only(self, users: NDArray[np.intp]) -> PairTable:
        """Pairs of some users (ascending rows), who get rows 0, 1, 2 ..."""
        # Pairs are sorted by user, and slots by pair: what is kept are ranges.
        first, end = _between(self.user, users, users + 1)
        rows = _ranges(first, end)
        moved = first - (np.cumsum(end - first) - (end - first))  # how far each range moves
        ring = []
        for slot in self.ring:
            low, high = _between(slot.rows, first, end)
            some = _ranges(low, high)
            there = slot.rows.take(some) - np.repeat(moved, high - low)
            ring.append(Slot(there.astype(np.int32), slot.count.take(some, axis=0), slot.season))
        return PairTable(
            self.keys,
            np.repeat(np.arange(users.size, dtype=np.int32), end - first),
            self.key.take(rows),
            self.code.take(rows, axis=0),
            tuple(ring),
        )

    def recent(self) -> NDArray[np.int64]:
        """Counts of each pair in the ring, int64[P, K]."""
        total = np.zeros(self.code.shape, np.int64)
        for slot in self.ring:
            total[slot.rows] += slot.count
        return total

    def arrays(self, name: str, users: int) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint: what rises as gaps, kinds of count by how they differ."""
        key_type = np.uint16 if self.keys.size <= 1 << 16 else np.uint32
        pairs = np.bincount(self.user, minlength=users)
        columns: dict[str, NDArray[Any]] = {
            "keys": self.keys,
            "pairs": pairs.astype(np.uint16),
            "key": _gaps(self.key, pairs).astype(key_type),
            "code": _apart(self.code),
            "slots": np.array([s.rows.size for s in self.ring], np.int32),
            "rows": np.concatenate([_gaps(s.rows, np.array([s.rows.size])) for s in self.ring]),
            "count": _apart(np.concatenate([s.count for s in self.ring])),
            "season": np.stack([s.season for s in self.ring]),
        }
        return {f"{name}.{column}": values for column, values in columns.items()}

    @classmethod
    def from_arrays(cls, name: str, stored: Mapping[str, NDArray[Any]]) -> PairTable:
        """Inverse of `arrays`."""
        a = {c.partition(".")[2]: v for c, v in stored.items() if c.startswith(f"{name}.")}
        rows, count = _from_gaps(a["rows"], a["slots"]), _together(a["count"])
        ends = np.cumsum(a["slots"])
        ring = tuple(
            Slot(rows[end - size : end], count[end - size : end], season)
            for size, end, season in zip(a["slots"], ends, a["season"], strict=True)
        )
        user = np.repeat(np.arange(a["pairs"].size, dtype=np.int32), a["pairs"])
        return cls(a["keys"], user, _from_gaps(a["key"], a["pairs"]), _together(a["code"]), ring)


def placed(values: NDArray[Any], at: NDArray[np.integer], size: int, fill: float) -> NDArray[Any]:
    """Spread rows to `at` of a longer array; what is new gets `fill`."""
    if at.size == size:
        return values
    wide = np.full((size, *values.shape[1:]), fill, values.dtype)
    wide[at] = values
    return wide


def _between(
    ordered: NDArray[np.int32], first: NDArray[np.intp], end: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where values from `first` to before `end` lie; of one type, or all would be converted."""
    return (
        np.searchsorted(ordered, first.astype(ordered.dtype)),
        np.searchsorted(ordered, end.astype(ordered.dtype)),
    )


def _ranges(first: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """All numbers from each `first` to before its `end`, one range after the other."""
    size = end - first
    return np.repeat(first - (np.cumsum(size) - size), size) + np.arange(size.sum())


def _gaps(rising: NDArray[np.int32], sizes: NDArray[np.integer]) -> NDArray[np.int32]:
    """How many numbers lie between neighbours, in lists of these sizes that each rise from 0."""
    gaps = np.diff(rising, prepend=np.int32(-1)) - 1
    first = (np.cumsum(sizes) - sizes)[sizes > 0]
    gaps[first] = rising[first]
    return gaps.astype(np.int32)


def _from_gaps(gaps: NDArray[np.integer], sizes: NDArray[np.integer]) -> NDArray[np.int32]:
    """Inverse of `_gaps`."""
    total = np.cumsum(gaps.astype(np.int64) + 1)
    ends = np.cumsum(sizes, dtype=np.int64)
    before = np.append(0, total)[ends - sizes]
    return np.asarray(total - np.repeat(before, sizes) - 1, np.int32)


def _apart(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each kind in a row of its own, all but the first by how they differ from it (modulo 256)."""
    apart = kinds.T.copy()
    apart[1:] -= apart[:1]
    return apart


def _together(apart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inverse of `_apart`."""
    kinds = apart.copy()
    kinds[1:] += kinds[:1]
    return np.ascontiguousarray(kinds.T)


def _joint(
    user: NDArray[np.int32],
    key: NDArray[np.int32],
    other_user: NDArray[np.int32],
    other_key: NDArray[np.integer],
    keys: int,
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """One sortable number for each (user, key) of two lists; 32 bits where they suffice."""
    top = (max(int(user.max(initial=0)), int(other_user.max(initial=0))) + 1) * max(keys, 1)
    width = np.int32(max(keys, 1)) if top < 1 << 31 else np.int64(max(keys, 1))
    return user * width + key, other_user * width + other_key.astype(np.int32)


def _dither(user: NDArray[np.uint64], key: NDArray[np.uint64], window: int) -> NDArray[np.float64]:
    """Fixed pseudo-random numbers in [0, 1) of (user, key, window); splitmix64's finaliser."""
    mixed = (user ^ (key * _MIX_A)) + np.uint64(window)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_A
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_B
    return (mixed >> np.uint64(40)).astype(np.float64) / (1 << 24)
