from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.evidence_engagement import HIGH, LOW, Trailing, gains, weekly
from swerve.domain.totals import WEEKLY_DECAY

from tests.domain.shop import shop, walk

ALL = slice(0, 8)


def trailing(seen, level, worth, factor=1.0):
    """Users with eight weeks each and the same past before all of them."""
    seen = np.atleast_2d(np.asarray(seen, float))
    wide = np.ones_like(seen)
    level = np.reshape(level, (-1, 1)) * wide
    return Trailing(seen.T, np.full(8, factor), level.T, worth * wide.T)


@pytest.mark.parametrize(("r", "mean"), [(0.6, 6.0), (4.0, 8.0), (4.0, 40.0)])
@pytest.mark.parametrize("factors", [LOW, HIGH])
@pytest.mark.parametrize("calendar", [1.0, 0.3, 5.0])
def test_an_unchanged_user_exceeds_x_with_a_chance_of_about_exp_x(r, mean, factors, calendar):
    # GIVEN users of whom twenty weeks are known, and who go on in the same way, as all do
    rng = np.random.default_rng(11)
    times = np.where(np.arange(28) < 8, calendar, 1.0)
    weeks = rng.poisson(rng.gamma(r, mean / r, (40_000, 28)) * times)
    level = weeks[:, 8:].mean(axis=1)
    # WHEN the last eight weeks are compared with them
    best = gains(trailing(weeks[:, :8], level, 20.0, calendar), ALL, r, {"": factors})[""].max(
        axis=0
    )
    # THEN a scan over eight ages and some factors is hardly more than one test
    for x in (3.0, 4.0, 5.0):
        assert 0.01 < np.mean(best > x) / np.exp(-x) < 2.0


def test_a_short_past_says_less_than_a_long_one():
    # GIVEN somebody who came ten times a week and stopped
    stopped = [0, 0, 0, 0, 10, 10, 10, 10]
    # WHEN
    short, long = (
        gains(trailing(stopped, 10.0, w), ALL, 1.0, {"": LOW})[""][3, 0] for w in (6.0, 40.0)
    )
    # THEN
    assert 0 < short < long - 0.5


@given(st.floats(0.3, 3.0), st.floats(0.5, 50.0), st.sampled_from([LOW, HIGH]))
def test_a_calendar_that_moves_everybody_moves_nobody(factor, level, factors):
    # GIVEN the same user in a usual time, and where all do `factor` times as much as usual
    usual = gains(trailing([level] * 8, level, 20.0), ALL, 50.0, {"": factors})[""]
    moved = gains(trailing([level * factor] * 8, level, 20.0, factor), ALL, 50.0, {"": factors})[""]
    # THEN neither has changed
    assert usual.max() <= 0
    assert moved.max() <= 0


def test_nobody_seen_and_nothing_known_is_no_evidence():
    assert np.all(np.abs(gains(trailing([0] * 8, 0.0, 2.0), ALL, 1.0, {"": LOW})[""]) < 1e-3)


@pytest.mark.parametrize("grown", [0.5, 1.0, 3.0, 20.0])
def test_a_past_is_worth_no_more_weeks_than_decay_leaves(grown):
    # GIVEN a user who came every week for three years, in a shop that grew for good
    *_, (context, (state,), _) = walk(shop(users=3, weeks=20, rate=8))
    span = sum(WEEKLY_DECAY**week for week in range(150))
    state.old[:, [1, 3]] = grown * span
    # WHEN
    worth = weekly(state, context, np.arange(state.users.size))["events"].worth
    # THEN it is what a mean of so fading weights is worth at most
    most = (1 + WEEKLY_DECAY) / (1 - WEEKLY_DECAY)
    assert np.all(np.isfinite(worth))
    assert np.all(worth > 0)
    assert grown > 1 or worth.max() <= most
    assert worth.max() <= 2 * (grown * span + 8) + 2
