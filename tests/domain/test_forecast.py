"""The network's residual and its box plot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from swerve.domain.behaviour import Behaviour
from swerve.domain.counts import count_window
from swerve.domain.event import Events
from swerve.domain.forecast import WHISKER, box, watched
from swerve.domain.network_input import FEATURES, own_level
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import totals_of
from swerve.domain.window import DAY_MS, WindowSpec

MONDAY = 19_723
SPEC = WindowSpec(7)


class Habit:
    """Forecasts "as by habit", and counts in its state how often it was asked."""

    hidden = 4

    def step(self, inputs, state):
        assert inputs.shape[1] == len(FEATURES)
        return np.zeros((len(inputs), 5), np.float32), state + 1


def week(number: int, user: int, events: int) -> Events:
    start = (MONDAY + 7 * number) * DAY_MS
    return Events(
        user=np.full(events, user, np.uint64),
        key=np.arange(events, dtype=np.uint64),
        time_ms=start + np.arange(events, dtype=np.int64) * 1000,
        behaviour=np.full(events, Behaviour.PURCHASE, np.uint8),
        category=np.arange(1, events + 1, dtype=np.uint64),
        item=np.arange(1, events + 1, dtype=np.uint64),
        campaign=np.zeros(events, np.uint64),
        value=np.full(events, np.nan, np.float32),
    )


def walked(weeks: list[Events], network: Habit | None = None):
    population, state = Population.empty(SPEC), ShardState.empty(SPEC)
    for number, events in enumerate(weeks):
        window = MONDAY + 7 * number
        counts = count_window(events, SPEC, window)
        totals, _ = totals_of(counts, state.cohort)
        population, context, _ = population.advance(window, totals)
        state = watched(network or Habit(), state.advance(counts, context), counts, context)
        yield state, context


def test_the_residual_is_what_came_over_what_was_forecast():
    *_, (state, context) = walked([week(n, 7, 10) for n in range(5)] + [week(5, 7, 30)])
    usual = own_level(state, context)[0, 0] * context.factor[0, 0]
    assert state.residuals[0, 0] == pytest.approx(np.log(30.5 / (usual + 0.5)), abs=1e-2)


def test_a_new_user_has_no_residual_and_a_fresh_state():
    weeks = [week(n, 7, 10) for n in range(3)]
    weeks.append(Events.concatenate([week(3, 7, 10), week(3, 9, 10)]))
    *_, (state, _) = walked(weeks)
    assert np.isfinite(state.residuals[0, 0])
    assert np.isnan(state.residuals[1]).all()
    np.testing.assert_array_equal(state.hidden[:, 0], [4, 1])


def test_a_window_without_data_says_nothing_of_anybody():
    *_, (state, _) = walked([*(week(n, 7, 10) for n in range(5)), Events.empty()])
    assert np.isnan(state.residuals[0, 0])


def test_a_network_of_another_size_starts_afresh():
    class Wider(Habit):
        hidden = 6

    *_, (state, context) = walked([week(n, 7, 10) for n in range(3)])
    counts = count_window(week(3, 7, 10), SPEC, MONDAY + 21)
    state = watched(Wider(), replace(state), counts, context)
    np.testing.assert_array_equal(state.hidden, np.ones((1, 6)))


@given(arrays(np.float16, (5, 16), elements=st.floats(-8, 8, width=16)), st.integers(0, 15))
@settings(max_examples=60, deadline=None)
def test_the_box_is_tukeys_on_the_residuals_before_the_newest(residuals, missing):
    residuals[:, 16 - missing :] = np.nan
    low, high = box(residuals)
    past = residuals[:, 1 : 16 - missing].astype(float)
    if past.shape[1] < 8:
        assert np.isnan(low).all()
        return
    first, third = np.quantile(past, [0.25, 0.75], axis=1)
    reach = WHISKER * np.maximum(third - first, 0.05)
    np.testing.assert_allclose(low, first - reach, atol=1e-9)
    np.testing.assert_allclose(high, third + reach, atol=1e-9)
