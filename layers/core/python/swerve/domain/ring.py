"""The last eight weeks of a pair table, window by window: sparse columns, one after the other.

They lie in one piece, because a ring of windows of a day has 56 of them, and what is done to all
is then done at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.runs import Runs, as_bytes, as_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slot:
    """Sparse column of one window.

    Attributes
    ----------
    rows : intp[k]
        Rows of the pair table, ascending.
    count : uint8[k, K]
    season : float32[C]
        Season factor of every key in that window.
    """

    rows: NDArray[np.intp]
    count: NDArray[np.uint8]
    season: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ring:
    """Slots of R windows, newest first.

    Attributes
    ----------
    sizes : intp[R, U]
        How many pairs each user has in each slot.
    rows : intp[E]
        Rows of the pair table, ascending in each slot.
    count : uint8[E, K]
    season : float32[R, C]
        Season factor of every key in each window.
    """

    sizes: NDArray[np.intp]
    rows: NDArray[np.intp]
    count: NDArray[np.uint8]
    season: NDArray[np.float32]

    @classmethod
    def empty(cls, width: int, kinds: int, users: int) -> Ring:
        """No pair in `width` windows."""
        return cls(
            np.zeros((width, users), np.intp),
            np.empty(0, np.intp),
            np.empty((0, kinds), np.uint8),
            np.empty((width, 0), np.float32),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Slot]:
        start = 0
        for size, season in zip(self.widths.tolist(), self.season, strict=True):
            end = start + size
            yield Slot(self.rows[start:end], self.count[start:end], season)
            start = end

    @property
    def widths(self) -> NDArray[np.intp]:
        """How many pairs each slot has, intp[R]."""
        return np.asarray(self.sizes.sum(axis=1))

    @property
    def newest(self) -> Slot:
        """Of the newest window."""
        size = int(self.sizes[0].sum())
        return Slot(self.rows[:size], self.count[:size], self.season[0])

    @property
    def oldest(self) -> Slot:
        """Of the oldest window."""
        start = self.rows.size - int(self.sizes[-1].sum())
        return Slot(self.rows[start:], self.count[start:], self.season[-1])

    @property
    def before(self) -> NDArray[np.intp]:
        """Rows of all slots but the newest."""
        return self.rows[int(self.sizes[0].sum()) :]

    @property
    def runs(self) -> Runs:
        """Of users in the newest slot, then in the next, and so on."""
        return Runs(self.sizes.reshape(-1))

    def spread(self, by_user: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Give each pair of each slot its user's value."""
        return np.repeat(np.tile(by_user, len(self)), self.sizes.reshape(-1))

    def without_oldest(self) -> Ring:
        """One slot fewer."""
        kept = self.rows.size - self.oldest.rows.size
        return Ring(self.sizes[:-1], self.rows[:kept], self.count[:kept], self.season[:-1])

    def led_by(self, newest: Slot, runs: Runs) -> Ring:
        """One slot more."""
        return Ring(
            np.concatenate([runs.sizes[None], self.sizes]),
            np.concatenate([newest.rows, self.rows]),
            np.concatenate([newest.count, self.count]),
            np.concatenate([newest.season[None], self.season]),
        )

    def only(self, users: NDArray[np.intp], moved: NDArray[np.intp]) -> Ring:
        """Pairs of some ascending users, whose rows were so many lower."""
        each = np.arange(len(self))[:, None] * self.sizes.shape[1] + users
        mine, some = self.runs.only(each.reshape(-1))
        rows = self.rows[mine]
        rows -= some.spread(np.tile(moved, len(self)))
        count = as_bytes(as_values(self.count)[mine])
        return Ring(some.sizes.reshape(each.shape), rows, count, self.season)

    def with_users(self, at: NDArray[np.integer], size: int) -> Ring:
        """Move users to `at` of `size`; `at` ascends, so the order of pairs stays."""
        sizes = np.zeros((len(self), size), np.intp)
        sizes[:, at] = self.sizes
        return Ring(sizes, self.rows, self.count, self.season)

    def with_keys(self, at: NDArray[np.integer], size: int) -> Ring:
        """Move keys to `at` of `size`; new ones had no season."""
        season = np.ones((len(self), size), np.float32)
        season[:, at] = self.season
        return Ring(self.sizes, self.rows, self.count, season)

    def permuted(self, moved: NDArray[np.intp], back: NDArray[np.intp]) -> Ring:
        """Give pairs the rows `moved`; `back` is the old row of each user."""
        rows = moved.take(self.rows)
        order = np.lexsort((rows, np.repeat(np.arange(len(self)), self.widths)))
        return Ring(self.sizes[:, back], rows[order], self.count[order], self.season)

    def at(self, rows: NDArray[np.intp]) -> Ring:
        """Give every pair another row; the order stays."""
        return Ring(self.sizes, rows, self.count, self.season)
