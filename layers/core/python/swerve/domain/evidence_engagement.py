"""Does the user do much more, much less, or nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

LOW = (0.05, 0.2, 0.35, 0.5)
HIGH = (1.6, 2.5, 4.0)
_PRIOR_WEEKS = 2.0
# Size of a week's negative binomial, in terms of that by which silent weeks are as common as they
# are: a little smaller finds most of those who leave, because silent weeks come in runs.
_SIZE_RATIO, _SIZES = 0.8, (0.2, 1.2)
_DAYS_RATIO = 2.5  # days vary less than events


def weekly(state: ShardState, context: Context) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Trailing weeks of events and days: (seen [U, 8], factor [8], own level before [U, 8]).

    Level j is the decayed own mean a week, calendar divided out, before the last j + 1 weeks.
    """
    per_week = 7 // state.days
    out = {}
    rings: tuple[tuple[str, NDArray[Any]], ...] = (
        ("events", state.events),
        ("days", state.active),
    )
    for place, (name, ring) in enumerate(rings):
        seen = ring.reshape(ring.shape[0], ring.shape[1] // per_week, per_week).sum(
            axis=2, dtype=np.float64
        )
        factor = context.factor[:-1, place].reshape(-1, per_week).sum(axis=1) / per_week
        lived = (context.window - state.first)[:, None] >= (
            np.arange(seen.shape[1]) * 7 + 7 - state.days
        )
        level = np.empty_like(seen)
        total = state.old[:, 2 * place].astype(np.float64)
        span = state.old[:, 2 * place + 1].astype(np.float64) / per_week
        prior = context.mean[place] * per_week * _PRIOR_WEEKS
        decay = state.decay**per_week
        for age in range(seen.shape[1] - 1, -1, -1):
            level[:, age] = (total + prior) / (span + _PRIOR_WEEKS)
            total = total * decay + seen[:, age]
            span = span * decay + factor[age] * lived[:, age]
        out[name] = (seen, factor, level)
    return out


def engagement_evidence(state: ShardState, context: Context) -> dict[str, Floats]:
    """All statistics of the engagement head, float64[U] each; larger says changed."""
    out: dict[str, Floats] = {}
    trailing = weekly(state, context)
    # Days tell a regular visitor from one who comes rarely and buys much: long silences of the
    # second say nothing.
    weeks = trailing["days"][2].shape[1]
    out["level"] = trailing["days"][2][:, -1] * weeks
    size = float(np.clip(_SIZE_RATIO * context.size, *_SIZES))
    # The own level is that before the last four weeks for changes younger than that, and that
    # before all eight for older ones.
    for name, what, factors, r in (
        ("events_low", "events", LOW, size),
        ("events_high", "events", HIGH, size),
        ("days_low", "days", LOW, _DAYS_RATIO * size),
    ):
        seen, factor, level = trailing[what]
        best = np.full(seen.shape[0], -np.inf)
        for ages in (slice(0, weeks // 2), slice(weeks // 2, weeks)):
            mean = level[:, ages.stop - 1, None] * factor[: ages.stop]
            gains = _gains(seen[:, : ages.stop], mean, r, factors)
            best = np.maximum(best, gains[:, ages].max(axis=1))
        out[name] = best
    return out


def _gains(seen: Floats, mean: Floats, r: float, factors: tuple[float, ...]) -> Floats:
    """Best gain over the factors if the change is j + 1 weeks old, float64[U, weeks]."""
    best = np.full(seen.shape, -np.inf)
    base = np.log(r + mean)
    total = np.cumsum(seen, axis=1)
    for f in factors:
        loss = np.cumsum((seen + r) * (np.log(r + f * mean) - base), axis=1)
        best = np.maximum(best, total * np.log(f) - loss)
    return best
