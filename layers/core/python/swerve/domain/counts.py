"""What happened in one window, counted: the only thing that detection sees of the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.behaviour import WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.event import Events
    from swerve.domain.window import WindowSpec

HOUR_MS = 3_600_000
DAY_PARTS = 4
WEIGHT_UNITS = 10  # behaviour weights are kept in tenths, so that sums are exact


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of things that are named by 64-bit keys, over all users.

    Attributes
    ----------
    keys : uint64[K]
        Sorted.
    events, users : int64[K]
        Events and distinct users.
    """

    keys: NDArray[np.uint64]
    events: NDArray[np.int64]
    users: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Counts of one window, independent of the order of its events.

    Attributes
    ----------
    users : uint64[U]
        Users with at least one event, sorted.
    total, days, weight : int32[U]
        Events that show interest (weight above 0), local days with an event, and the sum of
        behaviour weights in tenths.
    parts : int32[U, 4]
        Events by six-hour part of the local day.
    weekend : int32[U]
        Events on Saturday or Sunday.
    dated : bool
        Every event is at local midnight: the source has dates only.
    pair_user, pair_category, pair_count : int32[P], uint64[P], int32[P]
        Events that show interest by (row of `users`, category), sorted; no category 0.
    item_user, item, item_count : int32[Q], uint64[Q], int32[Q]
        The same by item.
    campaigns : Tally
    """

    window: int
    users: NDArray[np.uint64]
    total: NDArray[np.int32]
    days: NDArray[np.int32]
    weight: NDArray[np.int32]
    parts: NDArray[np.int32]
    weekend: NDArray[np.int32]
    dated: bool
    pair_user: NDArray[np.int32]
    pair_category: NDArray[np.uint64]
    pair_count: NDArray[np.int32]
    item_user: NDArray[np.int32]
    item: NDArray[np.uint64]
    item_count: NDArray[np.int32]
    campaigns: Tally


def count_window(events: Events, spec: WindowSpec, window: int) -> WindowCounts:
    """Count the events of one window, in any order.

    Parameters
    ----------
    events : Events
        Deduplicated; all inside `window`.
    spec, window
        The window that they belong to.
    """
    users, row = np.unique(events.user, return_inverse=True)
    row = row.astype(np.int32)
    size = users.size
    weight = np.rint(WEIGHTS * WEIGHT_UNITS).astype(np.int32)[events.behaviour]
    telling = weight > 0
    starts = np.array([spec.start_ms(window + d) for d in range(spec.days)], np.int64)
    day = np.searchsorted(starts, events.time_ms, side="right") - 1
    of_day = events.time_ms - starts[day]
    part = np.minimum(of_day // (6 * HOUR_MS), DAY_PARTS - 1)
    active = np.zeros((size, spec.days), np.bool_)
    active[row, day] = True
    is_weekend = (window + day - 3) % 7 >= 5  # 1970-01-01 was a Thursday
    told = row[telling]
    pair_user, category, pair_count = _pairs(told, events.category[telling], size)
    item_user, item, item_count = _pairs(told, events.item[telling], size)
    return WindowCounts(
        window=window,
        users=users,
        total=_count(told, size),
        days=active.sum(axis=1, dtype=np.int32),
        weight=np.bincount(row, weight, size).astype(np.int32),
        parts=_count(row * DAY_PARTS + part, size * DAY_PARTS).reshape(size, DAY_PARTS),
        weekend=_count(row[is_weekend], size),
        dated=bool(np.all(of_day == 0)),
        pair_user=pair_user,
        pair_category=category,
        pair_count=pair_count,
        item_user=item_user,
        item=item,
        item_count=item_count,
        campaigns=_tally(row, events.campaign),
    )


def tally(pair_key: NDArray[np.uint64], pair_count: NDArray[np.int32]) -> Tally:
    """Sum (user, key) pairs over users."""
    keys, inverse = np.unique(pair_key, return_inverse=True)
    events = np.bincount(inverse, pair_count, keys.size).astype(np.int64)
    return Tally(keys, events, np.bincount(inverse, minlength=keys.size).astype(np.int64))


def _tally(row: NDArray[np.int32], key: NDArray[np.uint64]) -> Tally:
    named = np.flatnonzero(key)
    if not named.size:
        return Tally(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))
    _, keys, counts = _pairs(row[named], key[named], int(row.max()) + 1)
    return tally(keys, counts)


def _pairs(
    row: NDArray[np.int32], key: NDArray[np.uint64], size: int
) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int32]]:
    keys, code = np.unique(key, return_inverse=True)
    joint, count = np.unique(row.astype(np.int64) * max(keys.size, 1) + code, return_counts=True)
    user, which = np.divmod(joint, max(keys.size, 1))
    kept = np.flatnonzero(keys[which] != 0) if joint.size else np.empty(0, np.intp)
    return (
        user[kept].astype(np.int32),
        keys[which[kept]] if joint.size else np.empty(0, np.uint64),
        count[kept].astype(np.int32),
    )


def _count(index: NDArray[np.integer], size: int) -> NDArray[np.int32]:
    return np.bincount(index, minlength=size).astype(np.int32)
