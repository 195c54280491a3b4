"""Duplicates within one file, and users who do more than people can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.arrange import runs
from swerve.domain.event import COLUMN_TYPES, Events, content_hash, ordinal_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def deduplicate(
    events: Events,
    by_content: NDArray[np.bool_],
    *,
    ordinal: bool,
    spelled: Callable[[Events], Events] = lambda events: events,
) -> NDArray[np.bool_]:
    """Tell which rows are events of their own.

    Parameters
    ----------
    events : Events
        All rows of some users; those of one user and time stand together, ordered by key. They
        change in place: the k-th of equal rows gets a key of its own, and all are ordered anew.
    by_content : bool[n]
        The key is a hash of the content.
    ordinal : bool
        Rows without identity are events of their own, the k-th of equal rows being the same one
        in every file; else equal rows are one event.
    spelled : callable
        Gives events the keys of their names, where they have something else in their place.

    Returns
    -------
    bool[n]
        Of rows with one identity and different content, the one whose content has the smallest
        hash is kept, whatever their order was.
    """
    repeats = _repeats(events)
    numbered = repeats & by_content if ordinal else np.zeros_like(repeats)
    if numbered.any():
        first = np.flatnonzero(~repeats)
        rows = np.flatnonzero(numbered)
        ordinal_of = rows - first[np.searchsorted(first, rows) - 1]
        events.key[rows] = ordinal_key(events.key[rows], ordinal_of)
        _reorder(events, np.append(numbered[1:], False) | numbered)
        repeats = _repeats(events)
    kept = np.ones(len(events), np.bool_)
    if repeats.any() or not by_content.all():
        rows = _conflicting(events)
        kept[rows[_losers(spelled(events.take(rows)))]] = False
    return kept


def over_cap(
    key: NDArray[np.uint64], visit: NDArray[np.uint64], cap: int
) -> NDArray[np.bool_] | None:
    """Mark the rows of a visit (a user in a window) beyond the `cap` smallest keys; None for none.

    Which are kept depends on the keys alone, so no order of files changes it.
    """
    if key.size <= cap or not (visit[cap:] == visit[:-cap]).any():
        return None
    marked = np.zeros(key.size, np.bool_)
    bounds = np.concatenate([[0], np.flatnonzero(visit[1:] != visit[:-1]) + 1, [visit.size]])
    for run in np.flatnonzero(np.diff(bounds) > cap):
        first, last = bounds[run], bounds[run + 1]
        beyond = np.argsort(key[first:last], kind="stable")[cap:]
        marked[first + beyond] = True
    return marked


def _repeats(events: Events) -> NDArray[np.bool_]:
    """Rows equal in user, time and key to the row before them."""
    same = events.key[1:] == events.key[:-1]
    same &= (events.user[1:] == events.user[:-1]) & (events.time_ms[1:] == events.time_ms[:-1])
    return np.append(np.zeros(min(1, len(events)), np.bool_), same)


def _reorder(events: Events, changed: NDArray[np.bool_]) -> None:
    """Order rows of one user and time by key again, after some keys have changed."""
    user, time_ms = events.user, events.time_ms
    tied = (user[1:] == user[:-1]) & (time_ms[1:] == time_ms[:-1])
    rows, run = runs(tied)
    touched = np.zeros(rows.size + 1, np.bool_)
    touched[run[changed[rows]]] = True
    moved = touched[run]
    rows, run = rows[moved], run[moved]
    some = events.take(rows[np.lexsort((events.key[rows], run))])
    for name in COLUMN_TYPES.keys() - {"user", "time_ms"}:  # which are the same in a run
        getattr(events, name)[rows] = getattr(some, name)


def _conflicting(events: Events) -> NDArray[np.intp]:
    """Rows whose key occurs more than once, perhaps at two times."""
    keys = np.sort(events.key)
    twice = keys[1:][keys[1:] == keys[:-1]]
    if not twice.size:
        return np.empty(0, np.intp)
    place = np.minimum(np.searchsorted(twice, events.key), twice.size - 1)
    return np.flatnonzero(twice[place] == events.key)


def _losers(events: Events) -> NDArray[np.intp]:
    """Rows that repeat the user and key of another one, which has a smaller hash."""
    order = np.lexsort((content_hash(events), events.key, events.user))
    user, key = events.user[order], events.key[order]
    repeats = np.flatnonzero((user[1:] == user[:-1]) & (key[1:] == key[:-1]))
    return order[1 + repeats]
