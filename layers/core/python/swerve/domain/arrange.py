"""One sort brings the rows of a file into the order in which they are packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.shard import shard_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.kept import Kept
    from swerve.domain.pseudonym import UserTable
    from swerve.domain.window import WindowSpec

_RANK_BITS = np.uint64(32)
_RANK = np.uint64(0xFFFFFFFF)


class People:
    """The users of a file, by the codes of its rows.

    Attributes
    ----------
    table : UserTable
        Every user once.
    row : uint32[codes]
        Place of each code in the table.
    place : uint64[codes]
        Shard of each code's user, and below it the place among the users of the shard.
    """

    def __init__(
        self, table: UserTable, pseudonyms: NDArray[np.uint64], shard_count: int = 1
    ) -> None:
        self.table = table
        order = np.argsort(pseudonyms)
        ranked = pseudonyms[order]
        later = np.append(ranked[:1] > 0, ranked[1:] != ranked[:-1])  # 0 stands for no user
        self.row = np.empty(order.size, np.uint32)
        self.row[order] = np.maximum(np.cumsum(later) - 1, 0)
        shard = shard_of(table.routing, shard_count)
        by_shard = np.argsort(shard, kind="stable")
        self._by_shard = table.take(by_shard)
        sizes = np.bincount(shard, minlength=shard_count)
        self._ends = np.cumsum(sizes)
        place = np.empty(len(table), np.uint64)
        before = np.repeat(self._ends - sizes, sizes)
        place[by_shard] = (np.arange(len(table)) - before).view(np.uint64)
        place |= shard.astype(np.uint64) << _RANK_BITS
        self.place = place[self.row] if len(table) else np.zeros(order.size, np.uint64)

    def of_shard(self, shard: int) -> UserTable:
        """Return the users of one shard, ascending."""
        first = int(self._ends[shard - 1]) if shard else 0
        return self._by_shard.take(slice(first, int(self._ends[shard])))


@dataclass(frozen=True, slots=True)
class Visits:
    """Users in windows, a number for each row, where rows lie by (shard, window, user, time, key).

    Attributes
    ----------
    of_row : uint64[n]
        Equal for rows of one user in one window, ascending.
    first : int
        The earliest window.
    windows : int
        From the first to the last, those without rows among them.
    days : int
        Length of a window.
    """

    of_row: NDArray[np.uint64]
    first: int
    windows: int
    days: int

    def take(self, rows: NDArray[np.bool_]) -> Visits:
        """Return those of the chosen rows."""
        return Visits(self.of_row[rows], self.first, self.windows, self.days)

    def parts(self) -> list[tuple[int, int, slice]]:
        """Shard, window and rows of each run that is packed together."""
        place = self.of_row >> _RANK_BITS
        bounds = np.flatnonzero(np.append(True, place[1:] != place[:-1]))[: place.size]
        ends = np.append(bounds[1:], place.size)[: bounds.size]
        return [
            (at // self.windows, self.first + at % self.windows * self.days, slice(first, last))
            for at, first, last in zip(
                place[bounds].tolist(), bounds.tolist(), ends.tolist(), strict=True
            )
        ]


def arranged(kept: Kept, people: People, spec: WindowSpec) -> tuple[Kept, Visits]:
    """Bring rows into the order of their visits."""
    if not len(kept):
        return kept, Visits(np.empty(0, np.uint64), 0, 1, spec.days)
    window = spec.window_of(kept.time_ms)
    first, last = int(window.min()), int(window.max())
    window -= first
    if spec.days > 1:
        window //= spec.days
    windows = (last - first) // spec.days + 1
    starts = np.array([spec.start_ms(first + at * spec.days) for at in range(windows)], np.int64)
    place = people.place.take(kept.user)
    visit = place >> _RANK_BITS
    visit *= np.uint64(windows)
    visit += window.astype(np.uint64)
    visit <<= _RANK_BITS
    visit |= place & _RANK
    order = _order(visit, (kept.time_ms - starts[window]).astype(np.uint64))
    visit = visit[order]
    order = _by_key_where_tied(order, visit, kept)
    return kept.take(order), Visits(visit, first, windows, spec.days)


def by_user(kept: Kept, people: People) -> Kept:
    """Bring rows into canonical order: user, time, key."""
    user = people.row.take(kept.user).astype(np.uint64)
    earliest = int(kept.time_ms.min()) if len(kept) else 0
    order = _order(user, (kept.time_ms - earliest).astype(np.uint64))
    return kept.take(_by_key_where_tied(order, user[order], kept))


def _order(major: NDArray[np.uint64], minor: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Order by (major, minor).

    As numpy sorts numbers four times as fast as it finds their order, the row travels in the low
    bits of the number wherever there is room.
    """
    if not major.size:
        return np.empty(0, np.intp)
    thousands = minor // np.uint64(1000)
    if np.array_equal(thousands * np.uint64(1000), minor):
        minor = thousands
    high = major >> _RANK_BITS
    low = major & _RANK
    widths = [int(part.max()).bit_length() for part in (high, low, minor)]
    row_bits = int(major.size - 1).bit_length()
    if sum(widths) > 64:
        return np.lexsort((minor, major))
    packed = high << np.uint64(widths[1]) | low
    packed <<= np.uint64(widths[2])
    packed |= minor
    if sum(widths) + row_bits > 64:
        return np.argsort(packed)
    packed <<= np.uint64(row_bits)
    packed |= np.arange(major.size, dtype=np.uint64)
    packed.sort()
    packed &= np.uint64((1 << row_bits) - 1)
    return packed.astype(np.intp)


def _by_key_where_tied(
    order: NDArray[np.intp], major: NDArray[np.uint64], kept: Kept
) -> NDArray[np.intp]:
    """Order the rows of one user and time by their keys."""
    time_ms = kept.time_ms[order]
    rows, group = runs((major[1:] == major[:-1]) & (time_ms[1:] == time_ms[:-1]))
    if not rows.size:
        return order
    some = order[rows]
    key = kept.key[some]
    # As much of the key as there is room for beside the group and the row: the rest seldom decides.
    width = 64 - int(group[-1]).bit_length() - int(rows.size).bit_length()
    high = key >> np.uint64(64 - width)
    found = _order(group, high)
    high, group = high[found], group[found]
    again, _ = runs((group[1:] == group[:-1]) & (high[1:] == high[:-1]))
    found[again] = found[again][np.lexsort((key[found[again]], group[again]))]
    order[rows] = some[found]
    return order


def runs(tied: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Return rows that are tied with the one before or after, and the number of the run of each.

    Parameters
    ----------
    tied : bool[n - 1]
        The next row is tied with this one.
    """
    inside = np.append(tied, False) | np.append(False, tied)
    rows = np.flatnonzero(inside)
    begins = ~np.append(False, tied)[rows]
    return rows, np.cumsum(begins, dtype=np.uint64)
