"""What a new network is given to remember."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from swerve.domain.counts import count_window, split_windows
from swerve.domain.network_input import FEATURES, frame_of, inputs
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.replay import replayed
from swerve.domain.totals import totals_of
from swerve.domain.window import WindowSpec

from tests.domain.shop import shop

WEEKS, LATE_USERS = 24, 5
# The ring does not know the time of day nor weights; of categories it knows items, not events; of
# a silence that began before it, that it is at least so long.
UNKNOWN = {
    "log_mean_weight",
    "night_share",
    "morning_share",
    "afternoon_share",
    "evening_share",
    "weekend_share",
    "has_clock",
}
NEARLY = {"entropy", "top_share", "novelty_share", "log_idle_weeks"}


@dataclass
class Watcher:
    """Writes down what it is shown, and counts in its state how often."""

    hidden: int = 3
    seen: list[np.ndarray] = field(default_factory=list)

    def step(self, inputs, state):
        self.seen.append(inputs)
        return np.full((len(inputs), 5), len(self.seen), np.float32), state + 1


def late(user, week):
    """The last users come in the last month."""
    return float(user < 60 - LATE_USERS or week >= WEEKS - 4)


@pytest.fixture(scope="module", params=[7, 1])
def walked(request):
    """The state after all windows but the last, the last's context, and what was seen of each."""
    spec = WindowSpec(request.param)
    population, state = Population.empty(spec), ShardState.empty(spec)
    shown = []
    for window, inside in split_windows(shop(weeks=WEEKS, volume=late), spec):
        before, counts = state, count_window(inside, spec, window)
        totals, _ = totals_of(counts, state.cohort)
        population, context, _ = population.advance(window, totals)
        state = state.advance(counts, context)
        shown.append((state.users, inputs(frame_of(state, counts, context))))
    return before, context, shown[:-1]


def test_the_ring_shows_again_what_was_seen(walked):
    # GIVEN
    state, context, shown = walked
    width = state.events.shape[1]
    # WHEN
    network = Watcher()
    replayed(network, state, context)
    # THEN window by window, of everybody who had come by then
    assert len(network.seen) == width
    for again, (users, once) in zip(network.seen, shown[-width:], strict=True):
        rows = np.searchsorted(state.users, users)
        for column, name in enumerate(FEATURES):
            if name not in UNKNOWN:
                told = again[rows, column] - once[:, column]
                assert np.abs(told).mean() < (0.1 if name in NEARLY else 0.02), name


def test_nobody_is_remembered_from_before_he_came(walked):
    # GIVEN
    state, context, _ = walked
    # WHEN
    done = replayed(Watcher(), state, context)
    # THEN
    lived = (context.window - state.first) // state.days
    expected = np.minimum(lived, state.events.shape[1])
    np.testing.assert_array_equal(done.hidden[:, 0], expected)
    assert len(np.unique(expected)) > 1
    assert (done.forecast == state.events.shape[1]).all()


def test_nothing_but_the_networks_part_changes(walked):
    # GIVEN
    state, context, _ = walked
    # WHEN
    done = replayed(Watcher(state.hidden.shape[1]), state, context)
    # THEN
    assert done.to_bytes() != state.to_bytes()
    same = replace(done, hidden=state.hidden, forecast=state.forecast)
    assert same.to_bytes() == state.to_bytes()


def test_a_shard_without_users_is_no_trouble(walked):
    # GIVEN
    state, context, _ = walked
    # WHEN
    done = replayed(Watcher(), state.only(np.empty(0, np.intp)), context)
    # THEN
    assert done.hidden.shape == (0, 3)
