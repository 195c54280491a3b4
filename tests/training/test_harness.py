"""The benchmark's protocol: thresholds keep the budget, peers know nothing of later weeks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detection import peers, shop
from benchmarks.detection.harness import COOLDOWN_WEEKS, alarms, threshold
from training import panels


@pytest.fixture(scope="module")
def small() -> shop.Shop:
    rng = np.random.default_rng(5)
    taste = rng.dirichlet(np.full(12, 0.5), 15)
    rate = rng.uniform(2, 20, (15, 1, 1))
    counts = rng.poisson(rate * taste[:, None, :], (15, 30, 12)).astype(np.float32)
    days = np.minimum(7, counts.sum(axis=2))
    return shop.Shop([f"s{n}" for n in range(15)], counts, days, np.arange(30.0) + 1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 5.0, 20.0, 80.0]))
@settings(max_examples=40, deadline=None)
def test_the_limit_is_the_smallest_that_keeps_the_budget(seed, budget):
    score = np.random.default_rng(seed).normal(size=(60, 40)).round(1)
    limit = threshold(score, budget).limit
    told = score[:, 12:]
    assert alarms(score, limit).sum() <= budget * told.size / 1000
    lower = told[told < limit]
    if lower.size:
        assert alarms(score, lower.max()).sum() > budget * told.size / 1000


def test_alarms_of_a_user_keep_their_distance():
    fired = alarms(np.ones((3, 52)), 0.0)
    for weeks in map(np.flatnonzero, fired):
        assert weeks[0] == 12
        assert (np.diff(weeks) == COOLDOWN_WEEKS).all()


@pytest.mark.parametrize(
    "peer",
    [
        peers.iqr,
        peers.mann_kendall,
        peers.jensen_shannon,
        peers.weekly_divergence,
        lambda one: peers.features(one)[..., 2],
    ],
)
def test_a_score_does_not_change_when_later_weeks_do(small, peer):
    cut = 20
    later = replace(small, counts=small.counts.copy(), days=small.days.copy())
    later.counts[:, cut:] = 7
    later.days[:, cut:] = 1
    np.testing.assert_array_equal(peer(small)[:, :cut], peer(later)[:, :cut])


def test_weeks_of_a_panel_are_those_of_the_product(tmp_path):
    folder = panels.simulated_panel(1, tmp_path, users=20)
    one = shop.read(folder)
    assert one.counts.shape[:2] == (20, 52)
    assert (one.days <= np.minimum(7, one.total)).all()
    assert np.diff(one.ends) == pytest.approx(1)
