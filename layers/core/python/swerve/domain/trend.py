"""Mann-Kendall trend test with ties, and Sen's slope: drift against jump."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.special import normal_sf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def mann_kendall(series: Floats) -> tuple[Floats, Floats]:
    """Trend of many series at once.

    Parameters
    ----------
    series : float64[n, T]
        Oldest first.

    Returns
    -------
    (float64[n], float64[n])
        z with continuity correction, and the two-sided p. Variance corrected for ties: (T(T-1)
        (2T+5) - sum t(t-1)(2t+5)) / 18 (Kendall 1975).
    """
    length = series.shape[1]
    later, earlier = _pairs(length)
    score = np.sign(series[:, later] - series[:, earlier]).sum(axis=1)
    # A tie of t gives t (t-1) (2t+5), (t-1) (2t+5) from each of its values.
    tied = (series[:, :, None] == series[:, None, :]).sum(axis=2)
    ties = ((tied - 1) * (2 * tied + 5)).sum(axis=1)
    variance = (length * (length - 1) * (2 * length + 5) - ties) / 18
    shifted = score - np.sign(score)
    z = np.where(variance > 0, shifted / np.sqrt(np.maximum(variance, 1e-12)), 0.0)
    return z, np.minimum(1.0, 2.0 * normal_sf(np.abs(z)))


def sen_slope(series: Floats) -> Floats:
    """Median slope of all pairs, float64[n]; quadratic in T, so for flagged subjects only."""
    later, earlier = _pairs(series.shape[1])
    slopes = (series[:, later] - series[:, earlier]) / (later - earlier)
    return np.asarray(np.median(slopes, axis=1))


@cache
def _pairs(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Later and earlier place of each pair."""
    later, earlier = np.tril_indices(length, -1)
    return later, earlier
