"""What counts of pairs gain, in log likelihood, where they rose or fell against the expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Singles = NDArray[np.float32]

_SIZE = 2.0  # of the negative binomial of a category's events in some weeks
_LIKELY = 0.5  # expected items from which a category can be missed


def rises(count: Singles, expected: Singles) -> Singles:
    """Gain of pairs from rising, float32[n]."""
    rows = np.flatnonzero(count > 0)
    some, mean = count[rows], expected[rows]
    gain = np.zeros(count.size, np.float32)
    gain[rows] = np.maximum(nb_gain(some, mean, (3.0,)), _nb_shift(some, mean))
    return gain


def falls(count: Singles, expected: Singles) -> Singles:
    """Gain of pairs from falling, float32[n]."""
    likely = np.flatnonzero(expected > _LIKELY)
    gain = np.zeros(count.size, np.float32)
    gain[likely] = nb_gain(count[likely], expected[likely], (0.1, 0.3))
    return gain


def nb_gain(count: Singles, mean: Singles, factors: tuple[float, ...], r: float = _SIZE) -> Singles:
    """Log-likelihood gain of the best factor on the mean of a negative binomial of size r."""
    best = None
    for factor in factors:
        f, log_f = np.float32(factor), np.float32(np.log(factor))
        gain = count * log_f - (count + np.float32(r)) * np.log((r + f * mean) / (r + mean))
        best = gain if best is None else np.maximum(best, gain)
    return np.asarray(best, np.float32)


def _nb_shift(count: Singles, mean: Singles, r: float = _SIZE) -> Singles:
    """The same for two more a window than expected."""
    more = mean + np.float32(2.0)
    up = count * np.log(more / np.maximum(mean, np.float32(1e-9)))
    return np.asarray(up - (count + np.float32(r)) * np.log((r + more) / (r + mean)))
