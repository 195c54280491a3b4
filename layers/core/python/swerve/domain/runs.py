"""Rows that lie user by user: what belongs to each is a run, so no sum needs a sort or an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Singles = NDArray[np.float32]

_FEW = 8  # a part of the users that is few
_HALF, _LAST = np.uint64(32), np.uint64((1 << 32) - 1)


@dataclass(frozen=True)
class Runs:
    """How many rows each of U users has; P rows in all, those of a user side by side.

    Attributes
    ----------
    sizes : intp[U]
    """

    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, user: NDArray[np.integer], users: int) -> Runs:
        """Of an ascending column of users' rows."""
        return cls(np.bincount(user, minlength=users))

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """First row of each user, intp[U]."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def owners(self) -> NDArray[np.intp]:
        """Users that have rows."""
        return np.flatnonzero(self.sizes)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """First row of each of `owners`."""
        return self.first[self.owners]

    def spread(self, by_user: NDArray[Any]) -> NDArray[Any]:
        """Give each row its user's value, [P]; many times faster than an index."""
        return np.repeat(by_user, self.sizes)

    def sum(self, values: Singles) -> Singles:
        """Sum rows by user, float32[U]."""
        out = np.zeros(self.sizes.size, np.float32)
        if self.owners.size:
            out[self.owners] = np.add.reduceat(values, self.starts)
        return out

    def among(self, rows: NDArray[np.intp]) -> Runs:
        """Runs of some ascending rows."""
        ends = np.searchsorted(rows, np.cumsum(self.sizes))
        return Runs(np.diff(ends, prepend=0))

    def only(self, users: NDArray[np.intp]) -> tuple[NDArray[np.bool_] | NDArray[np.intp], Runs]:
        """Index of all rows of some ascending users, and the runs of them.

        What a mask chooses is copied run by run, which is faster than row by row unless few are.
        """
        if users.size * _FEW < self.sizes.size:
            return self.rows(users)
        chosen = np.zeros(self.sizes.size, np.bool_)
        chosen[users] = True
        return self.spread(chosen), Runs(self.sizes[users])

    def rows(self, users: NDArray[np.intp]) -> tuple[NDArray[np.intp], Runs]:
        """All rows of some ascending users, and the runs of them."""
        some = Runs(self.sizes[users])
        rows = np.arange(some.sizes.sum())
        rows += some.spread(self.first[users] - some.first)
        return rows, some

    def largest(
        self, values: Singles, count: int
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Users and rows of their largest value, then of their second largest, and so on.

        Values are not negative; of equal ones the first row. Few are asked for, so rounds are
        faster than a sort.
        """
        if not self.owners.size:
            return
        # Bits of floats that are not negative rise as they do: one number tells value and row.
        left = values.view(np.uint32).astype(np.uint64) << _HALF
        left += _LAST - np.arange(values.size, dtype=np.uint64)
        for _ in range(count):
            best = np.maximum.reduceat(left, self.starts)
            some = np.flatnonzero(best)
            rows = (_LAST - (best.take(some) & _LAST)).astype(np.intp)
            yield self.owners.take(some), rows
            left[rows] = 0


def as_values(rows: NDArray[np.uint8]) -> NDArray[np.void]:
    """Each row of bytes as one value, a view: a mask chooses values many times faster than rows."""
    return rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]


def as_bytes(values: NDArray[np.void]) -> NDArray[np.uint8]:
    """Inverse of `as_values`."""
    return values.view(np.uint8).reshape(values.size, values.itemsize)
