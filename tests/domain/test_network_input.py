"""Inputs of the network: finite, blind to names, and nothing from windows not yet over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from swerve.domain.behaviour import Behaviour
from swerve.domain.counts import count_window
from swerve.domain.event import Events
from swerve.domain.network_input import FEATURES, frame_of, inputs
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import Totals, totals_of
from swerve.domain.window import DAY_MS, WindowSpec

MONDAY = 19_723  # 1 January 2024
NUMBER = {name: number for number, name in enumerate(FEATURES)}


def shop(days: int, seed: int = 0, users: int = 20, category_shift: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    size = users * 8 * days
    return Events(
        user=rng.integers(1, users + 1, size).astype(np.uint64),
        key=np.arange(size, dtype=np.uint64),
        time_ms=MONDAY * DAY_MS + rng.integers(0, days * DAY_MS, size),
        behaviour=rng.choice([Behaviour.VIEW, Behaviour.PURCHASE], size).astype(np.uint8),
        category=(rng.integers(1, 15, size) + category_shift).astype(np.uint64),
        item=rng.integers(1, 200, size).astype(np.uint64),
        campaign=np.zeros(size, np.uint64),
        value=np.full(size, np.nan, np.float32),
    )


def walked(events: Events, spec: WindowSpec, windows: int):
    """Frames of the first windows."""
    for (frame,) in walked_in((events,), spec, windows):
        yield frame


def walked_in(shards: tuple[Events, ...], spec: WindowSpec, windows: int):
    """Frames of the first windows, one a shard."""
    population = Population.empty(spec)
    states = [ShardState.empty(spec) for _ in shards]
    for window in range(MONDAY, MONDAY + windows * spec.days, spec.days):
        counts = [
            count_window(e.take(spec.window_of(e.time_ms) == window), spec, window) for e in shards
        ]
        totals = [totals_of(c, s.cohort)[0] for c, s in zip(counts, states, strict=True)]
        population, context, _ = population.advance(window, Totals.sum(totals))
        states = [s.advance(c, context) for s, c in zip(states, counts, strict=True)]
        yield [frame_of(s, c, context) for s, c in zip(states, counts, strict=True)]


@pytest.mark.parametrize("days", [1, 7])
def test_inputs_are_finite_and_bounded(days):
    for frame in walked(shop(70), WindowSpec(days), 70 // days):
        x = inputs(frame)
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert (np.abs(x) < 10).all()


def test_names_of_categories_do_not_matter():
    plain = list(walked(shop(70), WindowSpec(7), 10))
    renamed = list(walked(shop(70, category_shift=1000), WindowSpec(7), 10))
    for one, other in zip(plain, renamed, strict=True):
        np.testing.assert_array_equal(inputs(one), inputs(other))


def test_later_events_change_nothing_said_before():
    events = shop(70)
    early = events.take(events.time_ms < (MONDAY + 35) * DAY_MS)
    for one, other in zip(
        walked(early, WindowSpec(7), 5), walked(events, WindowSpec(7), 5), strict=True
    ):
        np.testing.assert_array_equal(inputs(one), inputs(other))


def test_a_shard_in_which_nobody_acts_sees_the_same_source():
    # GIVEN a user who stops, in a shard with others and in one alone
    events = shop(28)
    events = events.take((events.user != 7) | (events.time_ms < (MONDAY + 14) * DAY_MS))
    lone = events.user == 7
    whole = walked(events, WindowSpec(7), 4)
    apart = walked_in((events.take(~lone), events.take(lone)), WindowSpec(7), 4)
    # THEN the network is told the same of the user in every window, the empty ones too
    for one, (_, alone) in zip(whole, apart, strict=True):
        np.testing.assert_array_equal(inputs(alone)[0], inputs(one)[6])


def test_a_silent_user_is_seen_as_silent():
    events = shop(28)
    stopped = events.take((events.user != 7) | (events.time_ms < (MONDAY + 14) * DAY_MS))
    *_, last = walked(stopped, WindowSpec(7), 4)
    row = inputs(last)[6]  # users are 1 to 20
    assert row[NUMBER["silent"]] == 1
    assert row[NUMBER["log_total"]] == 0
    assert row[NUMBER["log_idle_weeks"]] == pytest.approx(np.log(3))
    assert row[NUMBER["log_total_to_level"]] < -2


def test_novelty_counts_events_in_categories_never_seen_before():
    spec = WindowSpec(7)
    first = shop(7)
    second = replace(shop(7, seed=1), category=first.category + np.uint64(500))
    second = replace(second, time_ms=second.time_ms + 7 * DAY_MS)
    frames = list(walked(Events.concatenate([first, second]), spec, 2))
    assert (inputs(frames[0])[:, NUMBER["novelty_share"]] == 1).all()
    assert (inputs(frames[1])[:, NUMBER["novelty_share"]] == 1).all()
    same = replace(first, time_ms=first.time_ms + 7 * DAY_MS)
    frames = list(walked(Events.concatenate([first, same]), spec, 2))
    assert (inputs(frames[1])[:, NUMBER["novelty_share"]] == 0).all()


def test_a_source_with_dates_only_has_no_hours():
    events = shop(14)
    dated = replace(events, time_ms=events.time_ms // DAY_MS * DAY_MS)
    for frame in walked(dated, WindowSpec(7), 2):
        x = inputs(frame)
        first = NUMBER["night_share"]
        assert (x[:, first : first + 4] == 0).all()
        assert (x[:, NUMBER["has_clock"]] == 0).all()
