"""Duplicates within one file, and users who do more than people can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.normalise import Keyed, content_hash, ordinal_key, with_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.event import Events
    from swerve.domain.window import WindowSpec


def deduplicate(keyed: Keyed, *, ordinal: bool) -> Events:
    """Keep one event of each identity, in canonical order.

    Parameters
    ----------
    keyed : Keyed
        All rows of some users.
    ordinal : bool
        Rows without identity are events of their own, the k-th of equal rows being the same one
        in every file; else equal rows are one event.

    Returns
    -------
    Events
        Sorted by (user, time, key). Of rows with one identity and different content, the one
        whose content has the smallest hash is kept, whatever their order was.
    """
    keyed = keyed.take(canonical_order(keyed.events))
    events, by_content = keyed.events, keyed.by_content
    repeats = _repeats(events)
    numbered = repeats & by_content if ordinal else np.zeros_like(repeats)
    if numbered.any():
        rows = np.arange(len(events))
        start = np.maximum.accumulate(np.where(repeats, 0, rows))
        key = np.where(numbered, ordinal_key(events.key, rows - start), events.key)
        events = with_key(events, key)
        events = events.take(canonical_order(events))
        repeats = _repeats(events)
    if repeats.any() or (not by_content.all() and _may_conflict(events)):
        events = _one_each(events)
    return events


def over_cap(events: Events, windows: NDArray[np.int32], cap: int) -> NDArray[np.bool_]:
    """Mark the events of a user in a window beyond the `cap` smallest keys.

    `events` are in canonical order. Which are kept depends on the keys alone, so no order of
    files changes it.
    """
    marked = np.zeros(len(events), np.bool_)
    if len(events) <= cap:
        return marked
    change = (events.user[1:] != events.user[:-1]) | (windows[1:] != windows[:-1])
    bounds = np.concatenate([[0], np.flatnonzero(change) + 1, [len(events)]])
    for run in np.flatnonzero(np.diff(bounds) > cap):
        first, last = bounds[run], bounds[run + 1]
        beyond = np.argsort(events.key[first:last], kind="stable")[cap:]
        marked[first + beyond] = True
    return marked


def thinned(keyed: Keyed, spec: WindowSpec, cap: int) -> tuple[Keyed, int]:
    """Drop what cannot be among the events kept in the end, to bound memory on the way.

    Returns the rows, and how many of the others repeat an identity. What stays of several parts
    is the same as what stays of the whole: of each user and window the `cap` smallest keys, with
    all that are equal in content.
    """
    keyed = keyed.take(canonical_order(keyed.events))
    kept = keyed.take(~(_repeats(keyed.events) & ~keyed.by_content))
    windows = spec.window_of(kept.events.time_ms)
    return kept.take(~over_cap(kept.events, windows, cap)), len(keyed) - len(kept)


def canonical_order(events: Events) -> NDArray[np.intp]:
    """Order by (user, time, key): as `Events.canonical`, quick where few share user and time."""
    order = np.argsort(events.time_ms, kind="stable")
    order = order[np.argsort(events.user[order], kind="stable")]
    user, time = events.user[order], events.time_ms[order]
    tied = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    if tied.any():
        rows = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
        some = order[rows]
        order[rows] = some[np.lexsort((events.key[some], time[rows], user[rows]))]
    return order


def _repeats(events: Events) -> NDArray[np.bool_]:
    """Rows equal in user, time and key to the row before them."""
    same = events.key[1:] == events.key[:-1]
    same &= (events.user[1:] == events.user[:-1]) & (events.time_ms[1:] == events.time_ms[:-1])
    return np.append(np.zeros(min(1, len(events)), np.bool_), same)


def _may_conflict(events: Events) -> bool:
    """Whether some key occurs twice, perhaps at two times."""
    keys = np.sort(events.key)
    return bool((keys[1:] == keys[:-1]).any())


def _one_each(events: Events) -> Events:
    order = np.lexsort((content_hash(events), events.key, events.user))
    user, key = events.user[order], events.key[order]
    first = np.append(True, (user[1:] != user[:-1]) | (key[1:] != key[:-1]))
    kept = events.take(order[first])
    return kept.take(canonical_order(kept))
