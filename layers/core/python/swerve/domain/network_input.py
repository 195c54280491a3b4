"""What the recurrent network sees of a user-window: nothing that names a shop's categories.

All inputs are shapes (how much, how broad, how new, when), relative to the user's own level and to
the shop's calendar, so that a network trained on one shop serves another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.counts import WEIGHT_UNITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts
    from swerve.domain.pairs import PairTable
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

FEATURES = (
    "log_total",
    "log_total_to_level",
    "log_days_to_level",
    "days_share",
    "log_level_total",
    "level_days_share",
    "log_factor_total",
    "log_factor_days",
    "log_breadth",
    "entropy",
    "top_share",
    "novelty_share",
    "repeat_share",
    "has_items",
    "log_mean_weight",
    "log_idle_weeks",
    "log_age_weeks",
    "night_share",
    "morning_share",
    "afternoon_share",
    "evening_share",
    "weekend_share",
    "has_clock",
    "silent",
    "window_length",
    "year_sin",
    "year_cos",
    "week_sin",
    "week_cos",
)
# Of the next window: log of events and of active days over own level x cohort factor, log of the
# negative binomial's dispersion r, logits of the share of events in new categories and of the share
# of the largest category.
TARGETS = ("log_total", "log_days", "log_dispersion", "novelty", "top_share")
_PRIOR_WINDOWS = 2.0  # windows of the shop's mean that a user's own level is shrunk by
_EPOCH = date(1970, 1, 1)
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class UserFrame:
    """One window of every user of a shard, silent ones too; n users.

    Attributes
    ----------
    window, days : int
        The window and its length.
    total, active, weight, breadth, fresh : float32[n]
        Events that show interest, active days, summed behaviour weights, distinct categories,
        events in categories never used before.
    repeated : float32[n]
        Share of the item buckets that were used before; 0 for the silent.
    items : bool
        The source names items.
    entropy, top : float32[n]
        Of the categories' shares: nats, and the largest share; 0 for the silent.
    level : float32[n, 2]
        Own level of events and active days a window before this one, calendar divided out.
    factor : float64[2]
        Cohort factors of this window.
    idle, age : float32[n]
        Windows since the last event, and since the first.
    parts : float32[n, 4], weekend : float32[n]
        Events by six-hour part of the local day, and on Saturday and Sunday.
    dated : bool
        The source has no times of day.
    """

    window: int
    days: int
    total: NDArray[np.float32]
    active: NDArray[np.float32]
    weight: NDArray[np.float32]
    breadth: NDArray[np.float32]
    fresh: NDArray[np.float32]
    repeated: NDArray[np.float32]
    items: bool
    entropy: NDArray[np.float32]
    top: NDArray[np.float32]
    level: NDArray[np.float32]
    factor: NDArray[np.float64]
    idle: NDArray[np.float32]
    age: NDArray[np.float32]
    parts: NDArray[np.float32]
    weekend: NDArray[np.float32]
    dated: bool


def own_level(state: ShardState, context: Context) -> NDArray[np.float32]:
    """Decayed mean of events and active days a window, before the newest, calendar divided out.

    Shrunk by two windows of the shop's mean. Multiplied by a window's cohort factor it is what the
    user would do there by habit.

    Parameters
    ----------
    state : ShardState
        After the newest window.
    context : Context
        Of the newest window.

    Returns
    -------
    float32[n, 2]
    """
    width = state.events.shape[1]
    decay = state.decay ** np.arange(1, width)
    age = (context.window - state.first) // state.days
    # As in evidence, that something happened in the first window says nothing of how often.
    lived = np.clip(age - 1, 0, width - 1)
    later = np.arange(1, width) < age[:, None]
    level = np.empty((state.first.size, 2), np.float32)
    rings: tuple[NDArray[Any], NDArray[Any]] = (state.events, state.active)
    for kind, ring in enumerate(rings):
        done = (ring[:, 1:] * later) @ decay.astype(np.float32)
        spans = np.concatenate([[0.0], np.cumsum(decay * context.factor[1:width, kind])])
        old = state.old[:, 2 * kind : 2 * kind + 2] * state.decay**width
        prior = _PRIOR_WINDOWS * context.mean[kind]
        level[:, kind] = (done + old[:, 0] + prior) / (spans[lived] + old[:, 1] + _PRIOR_WINDOWS)
    return level


def frame_of(state: ShardState, counts: WindowCounts, context: Context) -> UserFrame:
    """Gather one window of every user.

    Parameters
    ----------
    state : ShardState
        After the window.
    counts, context
        Of the window.
    """
    size = state.users.size
    at = np.searchsorted(state.users, counts.users)

    def spread(values: NDArray[np.generic]) -> NDArray[np.float32]:
        wide = np.zeros((size, *values.shape[1:]), np.float32)
        wide[at] = values
        return wide

    active = counts.users.size
    named = np.bincount(counts.pair_user, counts.pair_events, active)
    share = counts.pair_events / np.maximum(named, 1.0)[counts.pair_user]
    top = np.zeros(active)
    np.maximum.at(top, counts.pair_user, share)
    return UserFrame(
        window=counts.window,
        days=state.days,
        total=spread(counts.total),
        active=spread(counts.days),
        weight=spread(counts.weight / WEIGHT_UNITS),
        breadth=spread(np.bincount(counts.pair_user, minlength=active)),
        fresh=spread(_fresh(state.categories, counts.pair_user, counts.pair_events, active)),
        repeated=spread(_repeated(state.items, counts.bucket_user, active)),
        items=bool(context.items.mass.any() or context.items.usual.any()),
        entropy=spread(np.bincount(counts.pair_user, -share * np.log(share), active)),
        top=spread(top),
        level=own_level(state, context),
        factor=context.factor[0],
        idle=(state.cohort.idle).astype(np.float32),
        age=((counts.window - state.first) // state.days).astype(np.float32),
        parts=spread(counts.parts),
        weekend=spread(counts.weekend),
        dated=context.dated,
    )


def _fresh(
    table: PairTable, user: NDArray[np.int32], events: NDArray[np.int32], users: int
) -> NDArray[np.float64]:
    """Per user, events of the newest window in pairs that no earlier window holds.

    Users and events are of the pairs of the newest window.
    """
    seen = table.code[:, 0] > 0
    seen[table.ring.before] = True
    fresh = events * ~seen.take(table.ring.newest.rows)
    return np.asarray(np.bincount(user, fresh, users), np.float64)


def _repeated(items: PairTable, user: NDArray[np.int32], users: int) -> NDArray[np.float64]:
    count = items.ring.newest.count[:, 0].astype(np.int32)
    every = np.bincount(user, count, users)
    return (every - _fresh(items, user, count, users)) / np.maximum(every, 1.0)


def inputs(frame: UserFrame) -> NDArray[np.float32]:
    """Inputs of the network, in the order of `FEATURES`.

    Returns
    -------
    float32[n, len(FEATURES)]
        Finite, roughly between -4 and 8.

    Examples
    --------
    >>> len(FEATURES)
    29
    """
    per_week = 7 / frame.days
    events = np.maximum(frame.total, 1.0)
    usual = frame.level * np.maximum(frame.factor, 1e-3).astype(np.float32)
    clock = 0.0 if frame.dated else 1.0
    happened = np.maximum(frame.parts.sum(axis=1), 1.0)
    parts = frame.parts * (clock / happened)[:, None]
    volume = np.log1p(frame.total)
    factor = np.log(np.clip(frame.factor, 0.05, 20.0))
    columns = (
        volume,
        np.log((frame.total + 0.5) / (usual[:, 0] + 0.5)),
        np.log((frame.active + 0.5) / (usual[:, 1] + 0.5)),
        frame.active / frame.days,
        np.log1p(frame.level[:, 0]),
        frame.level[:, 1] / frame.days,
        factor[0],
        factor[1],
        np.log1p(frame.breadth),
        frame.entropy,
        frame.top,
        frame.fresh / events,
        frame.repeated,
        float(frame.items),
        np.log1p(frame.weight) - volume,
        np.log1p(frame.idle / per_week),
        np.log1p(frame.age / per_week),
        *parts.T,
        frame.weekend / happened,
        clock,
        frame.total == 0,
        np.log(frame.days) / np.log(7.0),
        *_calendar(frame.window + frame.days),
    )
    x = np.empty((frame.total.size, len(FEATURES)), np.float32)
    for number, column in enumerate(columns):
        x[:, number] = column
    return x


def _calendar(window: int) -> NDArray[np.float32]:
    """Sine and cosine of the time of the year and of the week at which the next window starts."""
    day = _EPOCH + timedelta(days=window)
    year = 2 * np.pi * (day.timetuple().tm_yday - 1) / _YEAR_DAYS
    week = 2 * np.pi * day.weekday() / 7
    return np.array([np.sin(year), np.cos(year), np.sin(week), np.cos(week)], np.float32)
