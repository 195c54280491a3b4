"""Does the user do much more, much less, or nothing any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

LOW = (0.05, 0.2, 0.35, 0.5)
HIGH = (1.6, 2.5, 4.0)
_PRIOR_WEEKS = 2.0
_LEAST_LEVEL, _LEAST_CALENDAR = 1e-6, 1e-3
_DAYS_RATIO = 2.5  # days vary less than events


@dataclass(frozen=True, slots=True)
class Trailing:
    """The last weeks of n users, newest first, against their own level.

    A row a week: what is the same for all users of a week is then applied to all at once.

    Attributes
    ----------
    seen : float64[8, n]
    factor : float64[8]
        What the calendar multiplies every level by.
    level : float64[8, n]
        Decayed own mean a week, calendar divided out, before the last j + 1 weeks.
    worth : float64[8, n]
        How many weeks of equal weight would tell the level as well.
    """

    seen: Floats
    factor: Floats
    level: Floats
    worth: Floats


def weekly(state: ShardState, context: Context, users: NDArray[np.intp]) -> dict[str, Trailing]:
    """Trailing weeks of events and of days of some users."""
    per_week = 7 // state.days
    out = {}
    rings: tuple[tuple[str, NDArray[Any]], ...] = (
        ("events", state.events[users]),
        ("days", state.active[users]),
    )
    known, old = context.window - state.first[users], state.old[users].astype(np.float64)
    for place, (name, ring) in enumerate(rings):
        weeks = ring.shape[1] // per_week
        by_week = np.ascontiguousarray(ring.T).reshape(weeks, per_week, users.size)
        seen = by_week.sum(axis=1, dtype=np.float64)
        factor = context.factor[:-1, place].reshape(-1, per_week).sum(axis=1) / per_week
        # That something happened in a user's first window says nothing of how often it does.
        lived = known >= np.arange(weeks)[:, None] * 7 + 7
        level, worth = np.empty_like(seen), np.empty_like(seen)
        total, span = old[:, 2 * place], old[:, 2 * place + 1] / per_week
        prior = context.mean[place] * per_week * _PRIOR_WEEKS
        decay = state.decay**per_week
        for age in reversed(range(weeks)):
            level[age] = (total + prior) / (span + _PRIOR_WEEKS)
            # Weights d^i that sum to s are worth (sum)^2 / sum of squares = s (1 + d) / (1 + d^n);
            # where the calendar has grown for good, s is more than weeks can be.
            faded = np.maximum(1.0 - span * (1.0 - decay), 0.0)
            worth[age] = _PRIOR_WEEKS + span * (1.0 + decay) / (1.0 + faded)
            total = total * decay + seen[age] * lived[age]
            span = span * decay + factor[age] * lived[age]
        out[name] = Trailing(seen, factor, level, worth)
    return out


def engagement_evidence(
    state: ShardState, context: Context, judged: NDArray[np.bool_]
) -> dict[str, Floats]:
    """All statistics of engagement and of surges, float64[U] each; larger says changed.

    Users who are not to be judged have NaN everywhere.
    """
    users = np.flatnonzero(judged)
    trailing = weekly(state, context, users)
    # Days tell a regular visitor from one who comes rarely and buys much: long silences of the
    # second say nothing.
    level = trailing["days"].level
    weeks = len(level)
    found = {"level": level[-1] * weeks}
    # The own level is that before the last four weeks for changes younger than that, and that
    # before all eight for older ones.
    halves = (slice(0, weeks // 2), slice(weeks // 2, weeks))
    for what, r, sides in (
        ("events", context.size, {"low": LOW, "high": HIGH}),
        ("days", _DAYS_RATIO * context.size, {"low": LOW}),
    ):
        by_half = [gains(trailing[what], ages, r, sides) for ages in halves]
        for side in sides:
            gain = np.concatenate([half[side] for half in by_half])
            found[f"{what}_{side}"] = gain.max(axis=0)
    out = {name: np.full(judged.size, np.nan) for name in found}
    for name, values in found.items():
        out[name][users] = values
    return out


def gains(
    trailing: Trailing, ages: slice, r: float, sides: Mapping[str, tuple[float, ...]]
) -> dict[str, Floats]:
    """Best log likelihood ratio of a change by a factor, j + 1 weeks ago, a row each j in `ages`.

    Counts of n weeks are negative binomial of size n r. The past is a count of `worth` weeks;
    without a change one mean explains it and the last weeks, so that a short past says less.

    Parameters
    ----------
    sides : mapping of str to tuple of float
        Factors of which the best is chosen, by the name of what they look for.
    """
    age = np.arange(1, ages.stop + 1)[ages, None]
    calendar = np.cumsum(trailing.factor)[ages, None] / age
    calendar = np.maximum(calendar, _LEAST_CALENDAR)
    past = trailing.worth[ages.stop - 1]
    mean = np.maximum(trailing.level[ages.stop - 1], _LEAST_LEVEL)
    seen, before = np.cumsum(trailing.seen, axis=0)[ages], mean * past
    joint = _joint_mean(before, past, seen, age, calendar, r)
    gain = before * np.log(mean / joint) - (before + past * r) * np.log((r + mean) / (r + joint))
    usual = np.log(r + calendar * joint)
    trials = seen + age * r
    out = {}
    for side, factors in sides.items():
        best = np.full(seen.shape, -np.inf)
        for f in factors:
            rise = np.log(f * mean / joint)
            fall = np.log(r + f * calendar * mean) - usual
            best = np.maximum(best, seen * rise - trials * fall)
        out[side] = gain + best
    return out


def _joint_mean(
    before: Floats,
    past: Floats,
    seen: Floats,
    age: NDArray[np.integer],
    calendar: Floats,
    r: float,
) -> Floats:
    """Likeliest weekly mean of both counts, if the second is `calendar` times the usual.

    The root of a quadratic; where the calendar is 1, all events over all weeks.
    """
    square, both = calendar * (past + age), (before + seen) * r
    half = seen + calendar * before - r * (past + calendar * age)
    # Of the two forms of the root, that which does not take almost equal numbers apart.
    root = np.abs(half) + np.sqrt(half * half + 4.0 * square * both)
    return np.where(half > 0, root / (2.0 * square), 2.0 * both / root)
