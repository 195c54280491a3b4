"""Special functions that numpy lacks, vectorised (scipy costs a Lambda a second of import).

All take arrays and broadcast; all are tested against scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_HALF_LOG_2PI = 0.9189385332046727
_STIRLING_FROM = 10.0
_SERIES_STEPS = 500
_EPSILON = 1e-15
_TINY = 1e-300
_PRODUCTS = 6
_PI = 3.141592653589793


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
    return log_gamma(start + n) - log_gamma(start)


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
    k = 1
    while rows.size and k < _PRODUCTS:
        ratio[rows] *= (a[rows] + k) / (b[rows] + k)
        k += 1
        rows = rows[n[rows] > k]
    result = np.log(ratio)
    if rows.size:
        rest = n[rows].astype(np.float64) - k
        start_a, start_b = a[rows].astype(np.float64) + k, b[rows].astype(np.float64) + k
        result[rows] += log_rising(start_a, rest) - log_rising(start_b, rest)
    return result.astype(np.float32)


def normal_sf(z: ArrayLike) -> Floats:
    """P(Z > z) of the standard normal; relative error below 1e-11, in the far tail too."""
    value = np.asarray(z, np.float64)
    upper = 0.5 * gamma_sf(0.5, 0.5 * value * value)
    return np.asarray(np.where(value > 0, upper, 1.0 - upper))


def normal_isf(p: ArrayLike) -> Floats:
    """Inverse of `normal_sf` for 0 < p < 1.

    Acklam's rational approximation (relative error 1.2e-9), then one Halley step.
    """
    prob = np.clip(np.asarray(p, np.float64), _TINY, 1.0 - 1e-16)
    low = np.minimum(prob, 1.0 - prob)
    tail = np.sqrt(-2.0 * np.log(low))
    far = _poly(_ACKLAM_C, tail) / (_poly(_ACKLAM_D, tail) * tail + 1.0)
    centre = 0.5 - low
    square = centre * centre
    near = _poly(_ACKLAM_A, square) * centre / (_poly(_ACKLAM_B, square) * square + 1.0)
    z = np.where(low < 0.02425, -far, near)
    z = np.maximum(z, 0.0)
    density = np.exp(-0.5 * z * z) / 2.5066282746310002
    step = (normal_sf(z) - low) / np.maximum(density, _TINY)
    z = z + step / (1.0 - 0.5 * z * step)
    return np.asarray(np.where(prob > 0.5, -z, z))


def chi2_sf(x: ArrayLike, degrees: ArrayLike) -> Floats:
    """P(X > x) of the chi-squared distribution."""
    return gamma_sf(0.5 * np.asarray(degrees, np.float64), 0.5 * np.asarray(x, np.float64))


def gamma_sf(a: ArrayLike, x: ArrayLike) -> Floats:
    """Regularised upper incomplete gamma Q(a, x), a > 0, x >= 0.

    Series below a + 1, Lentz's continued fraction above (Numerical Recipes 6.2).
    """
    shape, value = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    positive = np.maximum(value, _TINY)
    front = np.exp(shape * np.log(positive) - positive - log_gamma(shape))
    below = value < shape + 1.0
    result = np.where(
        below,
        1.0 - front * _gamma_series(shape, np.where(below, positive, 0.0)),
        front * _gamma_fraction(shape, np.where(below, shape + 1.0, positive)),
    )
    return np.asarray(np.where(value <= 0.0, 1.0, np.clip(result, 0.0, 1.0)))


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


def cauchy_combination(p: Floats, axis: int = -1) -> Floats:
    """Combine dependent p-values (Liu & Xie 2020); ones count as no evidence for or against.

    The statistic is the mean of tan((1/2 - p) pi); near p = 1 it is bounded so that one p of 1
    cannot cancel a small one.
    """
    bounded = np.clip(p, 1e-300, 0.99)
    score = np.where(bounded < 1e-8, 1.0 / (bounded * _PI), np.tan((0.5 - bounded) * _PI))
    mean = score.mean(axis=axis)
    tail = np.where(mean > 1e8, 1.0 / (np.maximum(mean, 1.0) * _PI), 0.5 - np.arctan(mean) / _PI)
    return np.asarray(np.clip(tail, _TINY, 1.0))


def _gamma_series(a: Floats, x: Floats) -> Floats:
    term = 1.0 / a
    total = term.copy()
    for n in range(1, _SERIES_STEPS):
        term = term * x / (a + n)
        total = total + term
        if np.all(term <= total * _EPSILON):
            break
    return np.asarray(total)


def _gamma_fraction(a: Floats, x: Floats) -> Floats:
    b = x + 1.0 - a
    c = np.full_like(b, 1.0 / _TINY)
    d = 1.0 / b
    h = d
    for i in range(1, _SERIES_STEPS):
        an = -i * (i - a)
        b = b + 2.0
        d = 1.0 / _away(an * d + b)
        c = _away(b + an / c)
        step = d * c
        h = h * step
        if np.all(np.abs(step - 1.0) <= _EPSILON * 4):
            break
    return np.asarray(h)


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


def _poly(coefficients: tuple[float, ...], x: Floats) -> Floats:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


_ACKLAM_A = (
    -3.969683028665376e01,
    2.209460984245205e02,
    -2.759285104469687e02,
    1.383577518672690e02,
    -3.066479806614716e01,
    2.506628277459239e00,
)
_ACKLAM_B = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
)
_ACKLAM_C = (
    -7.784894002430293e-03,
    -3.223964580411365e-01,
    -2.400758277161838e00,
    -2.549732539343734e00,
    4.374664141464968e00,
    2.938163982698783e00,
)
_ACKLAM_D = (
    7.784695709041462e-03,
    3.224671290700398e-01,
    2.445134137142996e00,
    3.754408661907416e00,
)
