"""What a reader must know beside a change: how many events it is, an absence, a slow goodbye."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.candidate import Units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swerve.domain.evidence_engagement import Trailing

# An absence is one that a shopper of this rhythm does not have every other month: so many active
# days were to be expected in it, and it is no holiday.
_MISSED_DAYS, _LEAST_WEEKS = 3.0, 3
# Who left slowly did less for so many weeks before the silence.
_SLOW_WEEKS = 3


def units_of(
    counts: NDArray[np.uint8],
    active: NDArray[np.uint8],
    past: tuple[Sequence[float], float],
    shares: Sequence[float],
    total: float,
    per_week: int,
) -> list[Units]:
    """Units behind the shares of some categories in what one user did since a change.

    Parameters
    ----------
    counts : uint8[R, k, 2]
        Days with each category and its items by window since the change, newest first.
    active : uint8[R]
        Active days of the same windows.
    past : (sequence of float, float)
        Days with each category and active days before, weighted alike.
    shares : sequence of float
        Of each category before.
    total : float
        Items of all categories since.

    Examples
    --------
    >>> counts = np.array([[[1, 3]], [[0, 0]], [[2, 5]]], np.uint8)
    >>> units_of(counts, np.array([2, 1, 3], np.uint8), ([4.0], 40.0), [0.05], 40.0, 1)
    ... # doctest: +NORMALIZE_WHITESPACE
    [Units(items=8.0, of_items=40.0, usual_items=2.0, days=3.0, of_days=6.0, usual_days=0.6,
           weeks=2.0, of_weeks=3.0, best_week=5.0, days_before=4.0)]
    """
    of_days = float(active.sum(dtype=np.int64))
    days, items = counts.sum(axis=0, dtype=np.float64).T.tolist()
    starts = np.arange(0, len(counts), per_week)
    by_week = np.add.reduceat(counts[:, :, 1], starts, axis=0, dtype=np.float64)
    weeks, best = np.count_nonzero(by_week, axis=0).tolist(), by_week.max(axis=0).tolist()
    before, active_before = past
    return [
        Units(
            items=items[k],
            of_items=total,
            usual_items=share * total,
            days=days[k],
            of_days=of_days,
            usual_days=round(min(before[k] / max(active_before, 1.0), 1.0) * of_days, 3),
            weeks=float(weeks[k]),
            of_weeks=float(starts.size),
            best_week=best[k],
            days_before=round(before[k], 3),
        )
        for k, share in enumerate(shares)
    ]


def absence(
    events: NDArray[np.integer], known: int, days: Trailing, place: int, per_week: int
) -> dict[str, float]:
    """Facts of the longest silence that a user came back from; none where that is the rhythm.

    It explains why a mix looks new. Only the ring is remembered: of a silence that began before it
    the least is known.

    Parameters
    ----------
    events : integer[R]
        By window, newest first.
    known : int
        Windows since the user was first seen.
    days : Trailing
        Active days of the users; `place` is the user's row.

    Returns
    -------
    dict
        `away_days` or `away_days_at_least`, and `back_days`, those since the return; or nothing.
    """
    seen = np.flatnonzero(events[:known] > 0)
    windows, least = min(known, events.size), _LEAST_WEEKS * per_week
    if not seen.size or windows - seen.size < least:
        return {}
    ends = np.append(seen, windows)
    silent = np.diff(ends) - 1
    if silent.max() < least:
        return {}
    gap = int(np.argmax(silent))
    first, last = int(ends[gap]) + 1, int(ends[gap + 1]) - 1
    weeks = slice(first // per_week, last // per_week + 1)
    missed = days.level[weeks.stop - 1, place] * days.factor[weeks].mean() * silent[gap] / per_week
    if missed < _MISSED_DAYS:
        return {}
    length = 7.0 / per_week
    name = "away_days" if last + 1 < events.size else "away_days_at_least"
    return {name: length * int(silent[gap]), "back_days": length * first}


def fading(decline_weeks: int, idle_weeks: float) -> dict[str, float]:
    """`fading_days` of who did less for weeks before the silence began; or nothing."""
    if decline_weeks < idle_weeks + _SLOW_WEEKS:
        return {}
    return {"fading_days": 7.0 * decline_weeks}
