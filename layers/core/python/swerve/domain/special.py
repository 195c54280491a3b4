"""Special functions that numpy lacks, vectorised (scipy costs a Lambda a second of import).

All take arrays and broadcast; all are tested against scipy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_ERFC = np.frompyfunc(math.erfc, 1, 1)
_HALF_LOG_2PI = 0.9189385332046727
_STIRLING_FROM = 10.0
_SERIES_STEPS = 500
_EPSILON = 1e-15
_TINY = 1e-300
_PRODUCTS = 6


def log_gamma(x: ArrayLike) -> Floats:
    """Log of the gamma function for x > 0; absolute error below 1e-12 times max(1, |result|).

    Stirling's series above 10 (Abramowitz & Stegun 6.1.41); below, the recurrence is applied
    first as one product, so that a single log is taken.
    """
    value = np.asarray(x, np.float64)
    steps = np.clip(np.ceil(_STIRLING_FROM - value), 0, _STIRLING_FROM)
    product = np.ones_like(value)
    for k in range(int(steps.max(initial=0))):
        product = np.where(k < steps, product * (value + k), product)
    shifted = value + steps
    inverse = 1.0 / shifted
    square = inverse * inverse
    series = inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )
    stirling = (shifted - 0.5) * np.log(shifted) - shifted + _HALF_LOG_2PI + series
    return np.asarray(stirling - np.log(product))


def log_rising(a: ArrayLike, n: ArrayLike) -> Floats:
    """Log of the rising factorial a (a+1) ... (a+n-1) = log gamma(a+n) - log gamma(a)."""
    start = np.asarray(a, np.float64)
    end = start + np.asarray(n, np.float64)
    above, below = log_gamma(np.stack([end, np.broadcast_to(start, end.shape)]))
    return np.asarray(above - below)


def log_rising_ratio(
    a: NDArray[np.floating], b: NDArray[np.floating], n: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Log of rising(a, n) / rising(b, n) for small counts: products first, one log at the end.

    Parameters
    ----------
    a, b : float[k], positive
    n : float[k], whole numbers from 1
        Most are 1 to 3, so the loop over the factors soon works on few rows; above 6 the
        difference of log gammas takes over.

    Returns
    -------
    float32[k]
    """
    ratio = a / b
    rows = np.flatnonzero(n > 1)
    some_a, some_b, some_n = a.take(rows), b.take(rows), n.take(rows)
    k = 1
    while rows.size and k < _PRODUCTS:
        ratio[rows] = ratio.take(rows) * ((some_a + k) / (some_b + k))
        k += 1
        more = np.flatnonzero(some_n > k)
        rows = rows.take(more)
        some_a, some_b, some_n = some_a.take(more), some_b.take(more), some_n.take(more)
    result = np.log(ratio)
    if rows.size:
        starts = np.stack([some_a, some_b]).astype(np.float64) + k
        rest_a, rest_b = log_rising(starts, some_n.astype(np.float64) - k)
        result[rows] += rest_a - rest_b
    return result.astype(np.float32)


def normal_sf(z: ArrayLike) -> Floats:
    """P(Z > z) of the standard normal, in the far tail too; for few values at a time."""
    value = np.asarray(z, np.float64)
    return np.asarray(0.5 * _ERFC(value / np.sqrt(2.0)), np.float64)


def negative_binomial_sf(k: ArrayLike, mean: ArrayLike, r: ArrayLike) -> Floats:
    """P(N >= k) of a negative binomial with this mean and size r (variance mean + mean^2 / r).

    Equals the regularised incomplete beta I_q(k, r) with q = mean / (mean + r).
    """
    count, level, size = np.broadcast_arrays(
        np.asarray(k, np.float64), np.asarray(mean, np.float64), np.asarray(r, np.float64)
    )
    share = level / (level + size)
    tail = beta_cdf(np.maximum(count, 1.0), size, share)
    return np.asarray(np.where(count <= 0.0, 1.0, tail))


def beta_cdf(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Floats:
    """Regularised incomplete beta I_x(a, b) (Lentz's continued fraction, NR 6.4)."""
    first, second, value = np.broadcast_arrays(
        np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(x, np.float64)
    )
    inside = np.clip(value, _TINY, 1.0 - 1e-16)
    swap = inside > (first + 1.0) / (first + second + 2.0)
    p = np.where(swap, second, first)
    q = np.where(swap, first, second)
    z = np.where(swap, 1.0 - inside, inside)
    front = np.exp(
        log_gamma(first + second)
        - log_gamma(first)
        - log_gamma(second)
        + p * np.log(z)
        + q * np.log1p(-z)
    )
    part = front * _beta_fraction(p, q, z) / p
    result = np.where(swap, 1.0 - part, part)
    return np.asarray(np.clip(np.where(value <= 0, 0.0, np.where(value >= 1, 1.0, result)), 0, 1))


def _beta_fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    c = np.ones_like(x)
    d = 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    h = d
    for m in range(1, _SERIES_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _away(1.0 + even * d)
        c = _away(1.0 + even / c)
        h = h * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _away(1.0 + odd * d)
        c = _away(1.0 + odd / c)
        step = d * c
        h = h * step
        if np.all(np.abs(step - 1.0) <= _EPSILON * 4):
            break
    return np.asarray(h)


def _away(value: Floats) -> Floats:
    return np.asarray(np.where(np.abs(value) < _TINY, _TINY, value))
