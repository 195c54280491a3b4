from __future__ import annotations

import numpy as np
import pymannkendall
import pytest
from swerve.domain.trend import mann_kendall, sen_slope


@pytest.mark.parametrize("top", [2, 5, 1000])
def test_trend_agrees_with_pymannkendall_with_and_without_ties(top):
    # GIVEN short whole-number series, many of them tied
    rng = np.random.default_rng(top)
    series = rng.integers(0, top, (60, 9)).astype(float) + np.arange(9) * (top > 900) * 3
    series = series[np.ptp(series, axis=1) > 0]
    # WHEN
    z, p = mann_kendall(series)
    slope = sen_slope(series)
    # THEN
    expected = [pymannkendall.original_test(row) for row in series]
    assert z == pytest.approx([e.z for e in expected])
    assert p == pytest.approx([e.p for e in expected], abs=1e-12)
    assert slope == pytest.approx([e.slope for e in expected])


def test_a_constant_series_has_no_trend():
    z, p = mann_kendall(np.ones((1, 8)))
    assert (z[0], p[0]) == (0.0, 1.0)
