"""Do users come back to what they did: to the categories of a week ago, the items of seven.

Only days apart tell: of what is bought on one day, each thing is bought once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FIXED = 1 << 16
# Weeks between the windows that are compared. How much single users differ shows at once; items are
# compared with those before the six weeks that evidence looks back.
CATEGORY_WEEKS, ITEM_WEEKS = (1,), (7, 8)
_FEW = 8  # a user of more in a week weighs no more
# Sorted users differ in their highest bits, and 40 bits of a keyed hash tell those of a shard
# apart; so do 24 bits of a category's key.
_USER = ~np.uint64((1 << 24) - 1)
_CATEGORY_SHIFT = np.uint64(40)


@dataclass(frozen=True, slots=True)
class Things:
    """What users did in a window.

    Attributes
    ----------
    name : uint64[k]
        User and thing in one number, sorted.
    days : uint8[k]
        On which it was done.
    """

    name: NDArray[np.uint64]
    days: NDArray[np.uint8]

    @classmethod
    def categories(
        cls, users: NDArray[np.uint64], category: NDArray[np.uint64], days: NDArray[np.integer]
    ) -> Things:
        """Of (user, category), sorted."""
        return cls((users & _USER) | (category >> _CATEGORY_SHIFT), days.astype(np.uint8))

    @classmethod
    def items(cls, users: NDArray[np.uint64], bucket: NDArray[np.integer]) -> Things:
        """Of (user, item bucket), sorted; each counts once."""
        return cls((users & _USER) | bucket.astype(np.uint64), np.ones(bucket.size, np.uint8))

    def cut(self, widths: NDArray[np.intp]) -> tuple[Things, ...]:
        """Parts of these sizes, one after the other."""
        ends = np.cumsum(widths)[:-1]
        parts = zip(np.split(self.name, ends), np.split(self.days, ends), strict=True)
        return tuple(Things(*part) for part in parts)

    def renamed(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> Things:
        """Give users new names; unknown old ones are ignored."""
        order = np.argsort(old)
        user, thing = self.name & _USER, self.name & ~_USER
        at = binary.rows_of(old[order] & _USER, user)
        user[at >= 0] = new[order][at[at >= 0]] & _USER
        name = user | thing
        order = np.argsort(name, kind="stable")
        return Things(name[order], self.days[order])

    def by_user(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        """Each user's highest bits, and how much the user did."""
        user = self.name & _USER
        first = np.flatnonzero(np.append(user.size > 0, user[1:] != user[:-1])[: user.size])
        if not first.size:
            return user, first
        return user.take(first), np.add.reduceat(self.days, first, dtype=np.intp)


def alike(windows: Sequence[Things], places: Sequence[int]) -> NDArray[np.int64]:
    """Compare the newest window with those `places` before, user by user.

    Returns
    -------
    int64[2]
        Pairs of a deed now and one then that are of the same thing, and such pairs at all, each
        user at about the same weight, in units of 1/FIXED.
    """
    sums = np.zeros(2, np.int64)
    for then in [windows[place] for place in places if place < len(windows)]:
        now = windows[0]
        (who, many), (known, before) = now.by_user(), then.by_user()
        both, here, there = np.intersect1d(who, known, assume_unique=True, return_indices=True)
        name = np.concatenate([now.name, then.name])
        order = np.argsort(name, kind="stable")  # two runs: no search
        name, days = name.take(order), np.concatenate([now.days, then.days]).take(order)
        twice = np.flatnonzero(name[1:] == name[:-1])
        pairs = days.take(twice).astype(np.float64) * days.take(twice + 1)
        user = np.searchsorted(both, name.take(twice) & _USER)
        same = np.bincount(user, pairs, both.size)
        few = np.maximum(many[here], _FEW) * np.maximum(before[there], _FEW)
        for place, found in enumerate((same, many[here] * before[there])):
            sums[place] += np.rint(FIXED * found / few).astype(np.int64).sum()
    return sums
