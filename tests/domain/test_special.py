from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from swerve.domain import special

GRID = np.concatenate([np.geomspace(1e-6, 1e6, 400), np.arange(1, 60) / 2])


def test_log_gamma_agrees_with_scipy():
    expected = scipy.special.gammaln(GRID)
    assert np.max(np.abs(special.log_gamma(GRID) - expected) / np.maximum(1, np.abs(expected))) < (
        1e-12
    )


def test_log_rising_ratio_agrees_with_log_gammas():
    # GIVEN parameters over seven decades and counts on both sides of the switch to log gammas
    rng = np.random.default_rng(1)
    a, b = 10 ** rng.uniform(-4, 3, 5000), 10 ** rng.uniform(-4, 3, 5000)
    n = rng.integers(1, 200, 5000)
    # WHEN / THEN
    g = scipy.special.gammaln
    expected = g(a + n) - g(a) - g(b + n) + g(b)
    assert special.log_rising_ratio(a, b, n) == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_normal_tail():
    z = np.linspace(-8, 30, 500)
    assert special.normal_sf(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-10)


@pytest.mark.parametrize("mean", [0.01, 0.7, 9.0, 250.0])
@pytest.mark.parametrize("r", [0.5, 4.0, 60.0])
def test_negative_binomial_tail(mean, r):
    k = np.concatenate([np.arange(0, 40), np.arange(50, 1500, 97)])
    expected = scipy.stats.nbinom.sf(k - 1, r, r / (r + mean))
    assert special.negative_binomial_sf(k, mean, r) == pytest.approx(expected, rel=1e-8, abs=1e-13)
