"""What happened in one window, counted: the only thing that detection sees of the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.behaviour import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from swerve.domain.event import Events
    from swerve.domain.window import WindowSpec

HOUR_MS = 3_600_000
DAY_PARTS = 4
BUCKETS = 512  # items are told apart by a hash of so many values
_ODD = np.uint64(0x9E3779B97F4A7C15)
_BUCKET_SHIFT = np.uint64(64 - 9)
_THING_BITS, _THING_SHIFT = 20, np.uint64(64 - 20)
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

    def of_many(self, users: int) -> Tally:
        """What at least so many users did."""
        kept = self.users >= users
        return Tally(self.keys[kept], self.events[kept], self.users[kept])


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
    timed : int
        Events that are not at local midnight: a source with dates only has none.
    categories : uint64[C]
        Of all events that show interest, sorted; without 0.
    pair_user, pair_code : int32[P], int32[P]
        (row of `users`, row of `categories`) of all events that show interest, sorted.
    pair_count, pair_items, pair_events : int32[P], int32[P], int32[P]
        Days on which the pair occurred; distinct (item, day) of it; and its events. Detection
        counts the first two: ten yoghurts in one basket, or ten views of one shoe on one day, say
        no more of an interest than one.
    bucket_user, bucket, bucket_count : int32[B], int32[B], int32[B]
        Distinct (item, day) by (row of `users`, hash bucket of the item), sorted.
    items : uint64[I]
        As `categories`.
    item_code, item_count : int32[Q], int32[Q]
        Row of `items`, and events, of every (user, item).
    campaigns : Tally
    """

    window: int
    users: NDArray[np.uint64]
    total: NDArray[np.int32]
    days: NDArray[np.int32]
    weight: NDArray[np.int32]
    parts: NDArray[np.int32]
    weekend: NDArray[np.int32]
    timed: int
    categories: NDArray[np.uint64]
    pair_user: NDArray[np.int32]
    pair_code: NDArray[np.int32]
    pair_count: NDArray[np.int32]
    pair_items: NDArray[np.int32]
    pair_events: NDArray[np.int32]
    bucket_user: NDArray[np.int32]
    bucket: NDArray[np.int32]
    bucket_count: NDArray[np.int32]
    items: NDArray[np.uint64]
    item_code: NDArray[np.int32]
    item_count: NDArray[np.int32]
    campaigns: Tally

    @property
    def pair_category(self) -> NDArray[np.uint64]:
        """Category of each pair, uint64[P]."""
        return self.categories.take(self.pair_code)


def windows_of(events: Events, spec: WindowSpec) -> range:
    """Every window from the first that holds data to the last, empty ones included."""
    if not len(events):
        return range(0)
    ends = np.array([events.time_ms.min(), events.time_ms.max()])
    first, last = spec.window_of(ends).tolist()
    return range(first, last + spec.days, spec.days)


def split_windows(
    events: Events, spec: WindowSpec, windows: range | None = None
) -> Iterator[tuple[int, Events]]:
    """Cut events into windows; without `windows`, from the first that holds data to the last."""
    window = spec.window_of(events.time_ms)
    order = np.argsort(window, kind="stable")
    ordered = window[order]
    due = windows_of(events, spec) if windows is None else windows
    # Of the type of what is searched, or all of it would be converted for every window.
    starts = np.array(due, ordered.dtype)
    bounds = np.searchsorted(ordered, [starts, starts + ordered.dtype.type(spec.days)])
    for start, low, high in zip(due, *bounds.tolist(), strict=True):
        yield start, events.take(order[low:high])


def count_window(events: Events, spec: WindowSpec, window: int) -> WindowCounts:
    """Count the events of one window, in any order.

    Parameters
    ----------
    events : Events
        Deduplicated; all inside `window`.
    spec, window
        The window that they belong to.
    """
    users, row = _coded(events.user)
    size = users.size
    weight = np.rint(WEIGHTS * WEIGHT_UNITS).astype(np.int32)[events.behaviour]
    telling = weight > 0
    starts = np.array([spec.start_ms(window + d) for d in range(spec.days)], np.int64)
    day = np.searchsorted(starts, events.time_ms, side="right") - 1
    of_day = events.time_ms - starts[day]
    part = np.minimum(of_day // (6 * HOUR_MS), DAY_PARTS - 1)
    by_day = _count(row * spec.days + day, size * spec.days).reshape(size, spec.days)
    weekend = (window + np.arange(spec.days) - 3) % 7 >= 5  # 1970-01-01 was a Thursday
    told, told_day = row[telling], day[telling]
    item = events.item[telling]
    # Without an item, events at different times are told apart.
    thing = np.where(item == 0, events.time_ms[telling].astype(np.uint64), item)
    pairs = _pairs(told, told_day, events.category[telling], size, spec.days, thing)
    items = _pairs(told, told_day, item, size, spec.days)
    hashed = ((items.keys * _ODD) >> _BUCKET_SHIFT).astype(np.int64)
    joint, days_of = _summed(items.user * np.int64(BUCKETS) + hashed.take(items.code), items.days)
    return WindowCounts(
        window=window,
        users=users,
        total=_count(told, size),
        days=(by_day > 0).sum(axis=1, dtype=np.int32),
        weight=np.bincount(row, weight, size).astype(np.int32),
        parts=_count(row * DAY_PARTS + part, size * DAY_PARTS).reshape(size, DAY_PARTS),
        weekend=by_day[:, weekend].sum(axis=1, dtype=np.int32),
        timed=int(np.count_nonzero(of_day)),
        categories=pairs.keys,
        pair_user=pairs.user,
        pair_code=pairs.code,
        pair_count=pairs.days,
        pair_items=pairs.things,
        pair_events=pairs.events,
        bucket_user=(joint // BUCKETS).astype(np.int32),
        bucket=(joint % BUCKETS).astype(np.int32),
        bucket_count=days_of,
        items=items.keys,
        item_code=items.code,
        item_count=items.events,
        campaigns=_tally(row, events.campaign),
    )


def tally(keys: NDArray[np.uint64], code: NDArray[np.int32], count: NDArray[np.int32]) -> Tally:
    """Sum counts of (user, row of `keys`) over users."""
    events = np.bincount(code, count, keys.size).astype(np.int64)
    return Tally(keys, events, np.bincount(code, minlength=keys.size).astype(np.int64))


def _tally(row: NDArray[np.int32], key: NDArray[np.uint64]) -> Tally:
    named = np.flatnonzero(key)
    users = int(row.max(initial=-1)) + 1
    pairs = _pairs(row[named], np.zeros(named.size, np.int64), key[named], users, 1)
    return tally(pairs.keys, pairs.code, pairs.events)


@dataclass(frozen=True, slots=True)
class _Pairs:
    user: NDArray[np.int32]
    keys: NDArray[np.uint64]
    code: NDArray[np.int32]
    days: NDArray[np.int32]
    things: NDArray[np.int32]
    events: NDArray[np.int32]


def _pairs(
    row: NDArray[np.int32],
    day: NDArray[np.int64],
    key: NDArray[np.uint64],
    size: int,
    days: int,
    thing: NDArray[np.uint64] | None = None,
) -> _Pairs:
    """Distinct (row, key) without key 0: how many days, things and events each has.

    Things are told apart by 20 bits of a hash; without them all things of a day are one.
    """
    keys, code = _coded(key)
    width = np.int64(max(keys.size, 1))
    ordered = (row * width + code) * days + day
    if thing is not None:
        ordered = (ordered << _THING_BITS) | ((thing * _ODD) >> _THING_SHIFT).astype(np.int64)
    ordered.sort()
    new_thing = _changes(ordered)
    if thing is not None:
        ordered >>= _THING_BITS
    new_day = _changes(ordered)
    pair = ordered // days
    new_pair = _changes(pair)
    starts = np.flatnonzero(new_pair)
    first = pair[starts]
    which = first % width
    unnamed = int(keys.size > 0 and keys[0] == 0)
    kept = np.flatnonzero(which >= unnamed)
    events = np.diff(np.append(starts, ordered.size))
    distinct, things = (
        np.add.reduceat(new, starts, dtype=np.int32) if starts.size else starts
        for new in (new_day, new_thing)
    )
    return _Pairs(
        (first // width)[kept].astype(np.int32),
        keys[unnamed:],
        (which[kept] - unnamed).astype(np.int32),
        distinct[kept].astype(np.int32),
        things[kept].astype(np.int32),
        events[kept].astype(np.int32),
    )


def _summed(
    key: NDArray[np.int64], days: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Sorted distinct keys, and the sum of each one's days, which are at most 7."""
    ordered = (key << 3) | days
    ordered.sort()
    days, key = (ordered & 7).astype(np.int32), ordered >> 3
    starts = np.flatnonzero(_changes(key))
    sums = np.add.reduceat(days, starts, dtype=np.int32) if starts.size else days
    return key[starts], sums


def _changes(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a sorted column differs from the row before; True in the first row."""
    changed = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    return changed


def _coded(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Sorted distinct values, and the place of each value among them."""
    if np.all(values[1:] >= values[:-1]):
        changed = _changes(values)
        return values[changed], (np.cumsum(changed, dtype=np.int32) - np.int32(1))
    order = np.argsort(values)
    ordered = values[order]
    changed = _changes(ordered)
    code = np.empty(values.size, np.int32)
    code[order] = np.cumsum(changed, dtype=np.int32) - np.int32(1)
    return ordered[changed], code


def _count(index: NDArray[np.integer], size: int) -> NDArray[np.int32]:
    return np.bincount(index, minlength=size).astype(np.int32)
