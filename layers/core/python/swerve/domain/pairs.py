"""A sparse table of (user, key) counts: a decayed past, and the last eight weeks by window.

Truncating to a user's top keys would lose most of what is detected (measured: recall .68 to .40 at
64 categories), so every pair is kept until its count has decayed to a fiftieth, or to `least`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain import binary
from swerve.domain.ring import Ring, Slot
from swerve.domain.runs import Runs, as_bytes, as_values
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
class PairTable:
    """Counts of (user, key) pairs, sorted by user, then key.

    Attributes
    ----------
    keys : uint64[C]
        Sorted.
    runs : Runs
        How many pairs each user has.
    key : int32[P]
        Row of `keys`.
    code : uint8[P, K]
        Log codes of the decayed season-adjusted counts before the ring, K kinds of count.
    ring : Ring
        The last windows, newest first.
    """

    keys: NDArray[np.uint64]
    runs: Runs
    key: NDArray[np.int32]
    code: NDArray[np.uint8]
    ring: Ring

    @classmethod
    def empty(cls, width: int, kinds: int, users: int = 0) -> PairTable:
        """No pair; a ring of `width` windows; `kinds` of count."""
        counts = np.empty((0, kinds), np.uint8)
        runs = Runs(np.zeros(users, np.intp))
        ring = Ring.empty(width, kinds, users)
        return cls(np.empty(0, np.uint64), runs, np.empty(0, np.int32), counts, ring)

    @property
    def user(self) -> NDArray[np.int32]:
        """Row of each pair's user, int32[P]."""
        return self.runs.spread(np.arange(self.runs.sizes.size, dtype=np.int32))

    def past(self, kind: int, weight: float = 1.0) -> NDArray[np.float32]:
        """Decayed count of each pair before the ring, weighted, float32[P]."""
        return (np.float32(weight) * _VALUES).take(self.code[:, kind])

    def advance(
        self,
        window: int,
        days: int,
        names: NDArray[np.uint64],
        found: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
        keys: NDArray[np.uint64],
        season: tuple[NDArray[np.uint64], NDArray[np.float64]],
        least: float = FLOOR,
    ) -> PairTable:
        """Take in one window: the oldest slot joins the past, the new counts lead the ring.

        Parameters
        ----------
        window, days
            The window and its length.
        names : uint64[U]
            Users by row.
        found : (int32[k], int32[k], int32[k, K])
            The window's (user row, row of `keys`, counts), sorted.
        keys : uint64[C]
            Sorted; those without a pair stay unknown.
        season : (uint64[C], float64[C])
            Sorted keys and their season factors in this window.
        least : float
            Decayed count below which a pair is forgotten.
        """
        user, code, count = found
        aged = self._aged(window, days, names)
        due = window % _DECAY_DAYS < 7
        kept, key = (aged._pruned(least) if due else aged)._named(keys, code)
        table, rows = kept._widened(user, key)
        factor = np.ones(table.keys.size, np.float32)
        at = binary.rows_of(season[0], table.keys)
        factor[at >= 0] = season[1][at[at >= 0]]
        newest = Slot(rows, np.minimum(count, _TOP).astype(np.uint8), factor)
        return replace(table, ring=table.ring.led_by(newest, Runs.of(user, names.size)))

    def _aged(self, window: int, days: int, names: NDArray[np.uint64]) -> PairTable:
        oldest, code = self.ring.oldest, self.code
        if (window - days) // _DECAY_DAYS != window // _DECAY_DAYS:
            code = code - (code > 0)
        else:
            code = code.copy()
        rows = oldest.rows
        key, before = self.key.take(rows), code.take(rows, axis=0)
        adjusted = oldest.count / oldest.season.take(key)[:, None]
        total = _VALUES.take(before) + adjusted
        name = Runs(self.ring.sizes[-1]).spread(names)
        dither = _dither(name, self.keys.take(key), window)
        exact = np.log(np.maximum(total, FLOOR) / FLOOR) / STEP + 1.0
        after = np.where(adjusted > 0, np.clip(exact + dither[:, None], 1, _TOP), before)
        as_values(code)[rows] = as_values(after.astype(np.uint8))
        return replace(self, code=code, ring=self.ring.without_oldest())

    def _widened(
        self, user: NDArray[np.int32], key: NDArray[np.int32]
    ) -> tuple[PairTable, NDArray[np.intp]]:
        """Give a row to every new pair; return also the rows of the pairs given.

        Both the table and the pairs given are sorted, so one search and one merge do.
        """
        old, wanted = self._joint(user, key)
        at = np.searchsorted(old, wanted)
        fresh = old[np.minimum(at, old.size - 1)] != wanted if old.size else at >= 0
        rows = at + np.cumsum(fresh) - fresh
        added = rows[fresh]
        kept = np.ones(old.size + added.size, np.bool_)
        kept[added] = False
        # Between two new rows all old ones move by as many as are new before them.
        moves = np.arange(added.size + 1, dtype=np.int32)
        moved = np.repeat(moves, np.diff(at[fresh], prepend=0, append=old.size))
        wide_key = np.empty(kept.size, np.int32)
        wide_key[kept], wide_key[added] = self.key, key[fresh]
        code = np.zeros((kept.size, self.code.shape[1]), np.uint8)
        as_values(code)[kept] = as_values(self.code)
        sizes = self.runs.sizes
        wide = replace(
            self,
            runs=Runs(sizes + np.bincount(user[fresh], minlength=sizes.size)),
            key=wide_key,
            code=code,
            ring=self.ring.at(self.ring.rows + moved.take(self.ring.rows)),
        )
        return wide, rows

    def _named(
        self, keys: NDArray[np.uint64], code: NDArray[np.int32]
    ) -> tuple[PairTable, NDArray[np.int32]]:
        """Know the keys that occur; also the own row of each code."""
        occurs = np.bincount(code, minlength=keys.size) > 0
        known = binary.union(self.keys, keys[occurs])
        key = np.searchsorted(known, keys).astype(np.int32).take(code)
        if known is self.keys:
            return self, key
        moved = np.searchsorted(known, self.keys).astype(np.int32)
        ring = self.ring.with_keys(moved, known.size)
        return replace(self, keys=known, key=moved[self.key], ring=ring), key

    def _joint(
        self, user: NDArray[np.int32], key: NDArray[np.int32]
    ) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """One sortable number for each pair, and for each given; 32 bits where they suffice."""
        users, width = self.runs.sizes.size, max(self.keys.size, 1)
        kind = np.int32 if users * width < 1 << 31 else np.int64
        bases: NDArray[np.integer] = (np.arange(users) * width).astype(kind)
        return self.runs.spread(bases) + self.key, bases.take(user) + key

    def _pruned(self, least: float) -> PairTable:
        """Drop pairs that are forgotten."""
        kept = self.code[:, 0] >= np.searchsorted(_VALUES, np.float32(least))
        kept[self.ring.rows] = True
        if kept.all():
            return self
        rows = np.flatnonzero(kept)
        target = np.cumsum(kept) - 1
        return replace(
            self,
            runs=self.runs.among(rows),
            key=self.key.take(rows),
            code=self.code.take(rows, axis=0),
            ring=self.ring.at(target.take(self.ring.rows)),
        )

    def with_users(self, at: NDArray[np.integer], size: int) -> PairTable:
        """Move user rows to `at` of `size`; `at` ascends, so the order of pairs stays."""
        runs = Runs(placed(self.runs.sizes, at, size, 0))
        return replace(self, runs=runs, ring=self.ring.with_users(at, size))

    def permuted(self, place: NDArray[np.integer]) -> PairTable:
        """Move user rows in any way, and sort the pairs again."""
        order = np.lexsort((self.key, place[self.user]))
        back = np.argsort(place)
        moved = np.empty_like(order)
        moved[order] = np.arange(order.size)
        return replace(
            self,
            runs=Runs(self.runs.sizes[back]),
            key=self.key[order],
            code=self.code[order],
            ring=self.ring.permuted(moved, back),
        )

    def only(self, users: NDArray[np.intp]) -> PairTable:
        """Pairs of some users (ascending rows), who get rows 0, 1, 2 ..."""
        mine, runs = self.runs.only(users)
        ring = self.ring.only(users, self.runs.first[users] - runs.first)
        code = as_bytes(as_values(self.code)[mine])
        return PairTable(self.keys, runs, self.key[mine], code, ring)

    def trimmed(self) -> PairTable:
        """Forget keys of which there is no pair, and seasons of before a key had one.

        After `only`, the table is what it would be if there had never been other users.
        """
        slots = np.zeros(self.keys.size, np.intp)  # of the ring in which a key was known
        older = np.ones(self.key.size, np.bool_)
        for place, slot in enumerate(self.ring):
            slots[self.key[slot.rows]] = place + 1
            older[slot.rows] = False
        slots[self.key[older | self.code.any(axis=1)]] = len(self.ring)
        known = np.flatnonzero(slots)
        places = np.arange(len(self.ring))[:, None]
        season = np.where(places < slots, self.ring.season, np.float32(1))[:, known]
        key = np.searchsorted(known, self.key).astype(np.int32)
        return replace(self, keys=self.keys[known], key=key, ring=replace(self.ring, season=season))

    def recent(self) -> NDArray[np.int64]:
        """Counts of each pair in the ring, int64[P, K]."""
        total = np.zeros(self.code.shape, np.int64)
        for slot in self.ring:
            total[slot.rows] += slot.count
        return total

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint: what rises as gaps, kinds of count by how they differ."""
        pairs = self.runs.sizes
        columns: dict[str, NDArray[Any]] = {
            "keys": self.keys,
            "pairs": _narrowed(pairs),
            "key": _narrowed(_gaps(self.key, pairs)),
            "code": _apart(self.code),
            "slots": self.ring.widths.astype(np.int32),
            "rows": _narrowed(_gaps(self.ring.rows, self.ring.widths)),
            "count": _apart(self.ring.count),
            "season": self.ring.season,
        }
        return {f"{name}.{column}": values for column, values in columns.items()}

    @classmethod
    def from_arrays(cls, name: str, stored: Mapping[str, NDArray[Any]]) -> PairTable:
        """Inverse of `arrays`."""
        a = {c.partition(".")[2]: v for c, v in stored.items() if c.startswith(f"{name}.")}
        rows, runs = _from_gaps(a["rows"], a["slots"], np.intp), Runs(a["pairs"].astype(np.intp))
        key = _from_gaps(a["key"], a["pairs"], np.int32)
        # All slots in one search: where each user ends in the first, in the second, and so on.
        apart = np.arange(a["slots"].size) * key.size
        ends = (apart[:, None] + np.cumsum(runs.sizes)).reshape(-1)
        bounds = np.searchsorted(rows + np.repeat(apart, a["slots"]), ends)
        sizes = np.diff(bounds, prepend=0).reshape(apart.size, runs.sizes.size)
        ring = Ring(sizes, rows, _together(a["count"]), a["season"])
        return cls(a["keys"], runs, key, _together(a["code"]), ring)


def placed(values: NDArray[Any], at: NDArray[np.integer], size: int, fill: float) -> NDArray[Any]:
    """Spread rows to `at` of a longer array; what is new gets `fill`."""
    if at.size == size:
        return values
    wide = np.full((size, *values.shape[1:]), fill, values.dtype)
    wide[at] = values
    return wide


def _narrowed(values: NDArray[np.integer]) -> NDArray[np.integer]:
    """In two bytes each where they suffice: fewer planes to pack."""
    return values.astype(np.uint16 if values.max(initial=0) < 1 << 16 else np.uint32)


def _gaps(rising: NDArray[np.integer], sizes: NDArray[np.integer]) -> NDArray[np.int32]:
    """How many numbers lie between neighbours, in lists of these sizes that each rise from 0."""
    numbers = rising.astype(np.int32, copy=False)
    gaps = np.empty(numbers.size, np.int32)
    np.subtract(numbers[1:], numbers[:-1], out=gaps[1:])
    gaps -= np.int32(1)
    first = _first(sizes)
    gaps[first] = numbers[first]
    return gaps


def _from_gaps(
    gaps: NDArray[np.integer], sizes: NDArray[np.integer], kind: type[np.signedinteger]
) -> NDArray[Any]:
    """Inverse of `_gaps`: a running sum that falls back to -1 before each list."""
    steps = np.add(gaps, 1, dtype=kind)
    first = _first(sizes)
    if first.size:
        steps[first[1:]] -= np.add.reduceat(steps, first, dtype=kind)[:-1]
        steps[0] -= 1
    return np.cumsum(steps, dtype=kind, out=steps)


def _first(sizes: NDArray[np.integer]) -> NDArray[np.intp]:
    """Where each list that is not empty starts."""
    return np.asarray((np.cumsum(sizes, dtype=np.intp) - sizes)[sizes > 0], np.intp)


def _apart(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each kind in a row of its own, all but the first by how they differ from it (modulo 256)."""
    apart = np.empty(kinds.shape[::-1], np.uint8)
    for row, kind in zip(apart, kinds.T, strict=True):  # many times faster than a transposed copy
        row[:] = kind
    apart[1:] -= apart[:1]
    return apart


def _together(apart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inverse of `_apart`."""
    kinds = np.empty(apart.shape[::-1], np.uint8)
    kinds[:, 0] = apart[0]
    for kind, row in zip(kinds.T[1:], apart[1:], strict=True):
        np.add(row, apart[0], out=kind)
    return kinds


def _dither(user: NDArray[np.uint64], key: NDArray[np.uint64], window: int) -> NDArray[np.float64]:
    """Fixed pseudo-random numbers in [0, 1) of (user, key, window); splitmix64's finaliser."""
    mixed = (user ^ (key * _MIX_A)) + np.uint64(window)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_A
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_B
    return (mixed >> np.uint64(40)).astype(np.float64) / (1 << 24)
