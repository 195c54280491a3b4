from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.calibration import Calibration, soft_maximum
from swerve.domain.candidate import Head
from swerve.domain.tables import TailTable
from swerve.domain.window import WindowSpec


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(5)
    values = rng.exponential(2.0, (40_000, 2)) * [1, 3]
    return TailTable.fitted(values, rng.integers(0, 3, 40_000), 3)


def test_p_values_of_fresh_data_are_uniform_also_in_the_tail(fitted):
    rng = np.random.default_rng(6)
    values = rng.exponential(2.0, (200_000, 2)) * [1, 3]
    p = np.exp(fitted.log_p(values, rng.integers(0, 3, 200_000)))
    for level in (0.5, 0.1, 0.01, 0.001):
        assert (p <= level).mean(axis=0) == pytest.approx(level, rel=0.2)


def test_a_tail_is_at_least_as_long_as_believed():
    # GIVEN users who can hardly reach a statistic
    values = np.minimum(np.random.default_rng(7).exponential(1.0, (9_000, 1)), 0.5)
    bucket = np.zeros(9_000, int)
    # WHEN another shop's user lies six beyond
    free = TailTable.fitted(values, bucket, 1).log_p(np.array([[6.5]]), bucket[:1])
    bound = TailTable.fitted(values, bucket, 1, least_slope=0.8).log_p(
        np.array([[6.5]]), bucket[:1]
    )
    # THEN a tail of nothing makes it impossible, and one of .8 improbable
    assert free[0, 0] < -20
    assert bound[0, 0] == pytest.approx(np.log(0.02) - 6 / 0.8, abs=0.1)


def test_a_likelihood_ratio_is_nowhere_rarer_than_its_own_bound():
    # GIVEN a statistic that the users of the tables hardly ever show
    values = np.random.default_rng(8).exponential(0.05, (9_000, 1))
    bucket = np.zeros(9_000, int)
    table = TailTable.fitted(values, bucket, 1, least_slope=1.0, as_ratios=True)
    # WHEN another shop's users show it
    shown = np.array([0.5, 1.0, 3.0, 6.0, 9.0])
    log_p = table.log_p(shown[:, None], np.zeros(5, int))[:, 0]
    # THEN x has a probability of exp(-x)
    assert log_p == pytest.approx(-shown, abs=0.02)


def test_tables_survive_json(fitted):
    back = TailTable.from_facts(fitted.to_facts())
    values, bucket = np.array([[0.1, 3.0], [40.0, 90.0]]), np.array([0, 2])
    assert back.log_p(values, bucket) == pytest.approx(fitted.log_p(values, bucket), rel=1e-3)


def test_nothing_measured_stays_nothing(fitted):
    assert np.isnan(fitted.log_p(np.full((1, 2), np.nan), np.array([0]))).all()


def test_soft_maximum_lies_between_mean_and_maximum():
    values, weights = np.array([[1.0, 5.0, 2.0]]), np.array([0.5, 0.25, 0.25])
    assert values @ weights < soft_maximum(values, weights, 0.4)[0] < 5.0
    assert soft_maximum(values, weights, 50.0)[0] == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("days", [1, 7])
def test_shipped_thresholds_grow_with_the_budget(days):
    shipped = Calibration.shipped()
    budgets = [0.01, 0.1, 1.0, 2.0, 5.0, 20.0, 500.0]
    for head in Head:
        limits = [shipped.p_threshold(b, WindowSpec(days))[head] for b in budgets]
        assert limits == sorted(set(limits))
        assert all(0 < limit <= 1 for limit in limits)


def test_calibration_survives_json():
    shipped = Calibration.shipped()
    assert Calibration.from_json(shipped.to_json()).to_json() == shipped.to_json()
