"""The recurrent network's part: a forecast of each user's next window, and the box plot around it.

The residual is the log of what came over what was forecast. A user's own last residuals make the
box; a residual beyond 1.5 interquartile ranges of it is an outlier (Tukey 1977). It is one voice
among many: it votes and explains, and the count likelihoods decide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.network_input import frame_of, inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts
    from swerve.domain.network import Network
    from swerve.domain.network_input import UserFrame
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

WHISKER = 1.5
_LEAST = 8  # residuals without which there is no box
_HALF_BIT, _SEVEN_BITS = np.uint16(0x0008), np.uint16(0xFFF0)
_FLOOR = 0.05  # of the interquartile range, for users who are nearly always as forecast


def watched(
    network: Network, state: ShardState, counts: WindowCounts, context: Context
) -> ShardState:
    """Hold the window against its forecast, and forecast the next.

    Parameters
    ----------
    state : ShardState
        After the window; its `forecast` still speaks of this window.
    counts, context
        Of the window.

    Returns
    -------
    ShardState
        With `residuals` (newest first, NaN where there was no forecast or no data at all),
        `hidden` and `forecast` moved on.
    """
    frame = frame_of(state, counts, context)
    hidden = state.hidden.astype(np.float32)
    if hidden.shape[1] != network.hidden:
        hidden = np.zeros((state.users.size, network.hidden), np.float32)
    forecast, after = network.step(inputs(frame), hidden)
    residuals = np.empty_like(state.residuals)
    residuals[:, 1:] = state.residuals[:, :-1]
    residuals[:, 0] = np.nan if context.gap else _residual(frame, state.forecast[:, 0])
    return replace(
        state,
        residuals=residuals,
        hidden=remembered(after),
        forecast=forecast[:, : state.forecast.shape[1]].astype(np.float16),
    )


def remembered(hidden: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to seven significant bits: the other four are noise, and do not compress."""
    bits = hidden.astype(np.float16).view(np.uint16)
    return ((bits + _HALF_BIT) & _SEVEN_BITS).view(np.float16)


def _residual(frame: UserFrame, forecast: NDArray[np.float16]) -> NDArray[np.float32]:
    usual = frame.level[:, 0] * np.float32(frame.factor[0])
    expected = np.exp(forecast.astype(np.float32)) * usual
    return np.asarray(np.log((frame.total + 0.5) / (expected + 0.5)), np.float32)


def box(residuals: NDArray[np.float16]) -> tuple[Floats, Floats]:
    """Ends of the whiskers around the residuals before the newest, float64[n] each.

    NaN for users with fewer than eight of them.

    Examples
    --------
    >>> low, high = box(np.array([[5.0, *([0.0, 1.0] * 4)]], np.float16))
    >>> low[0], high[0]
    (np.float64(-1.5), np.float64(2.5))
    """
    past = np.sort(residuals[:, 1:].astype(np.float64), axis=1)  # NaN sorts last
    known = np.isfinite(past).sum(axis=1)
    lower, upper = _quantile(past, known, 0.25), _quantile(past, known, 0.75)
    reach = WHISKER * np.maximum(upper - lower, _FLOOR)
    told = known >= _LEAST
    return np.where(told, lower - reach, np.nan), np.where(told, upper + reach, np.nan)


def _quantile(ordered: Floats, known: NDArray[np.intp], level: float) -> Floats:
    place = level * np.maximum(known - 1, 0)
    below = place.astype(np.intp)
    above = np.minimum(below + 1, np.maximum(known - 1, 0))
    rows = np.arange(ordered.shape[0])
    part = place - below
    return np.asarray(ordered[rows, below] * (1 - part) + ordered[rows, above] * part)
