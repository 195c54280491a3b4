from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.candidate import Head, Kind
from swerve.domain.counts import count_window
from swerve.domain.early import Tail, early_candidates
from swerve.domain.event import COLUMN_TYPES, Events
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import totals_of
from swerve.domain.window import DAY_MS, WindowSpec

SPEC = WindowSpec(7, "UTC")
MONDAY = 17_168
WEEKS, USERS, CATEGORIES = 14, 800, 60
DICE = np.random.default_rng(7)
TASTE = np.array([DICE.permutation(CATEGORIES)[:4] for _ in range(USERS)])
P_MAX = 1e-4


def events(user: np.ndarray, category: np.ndarray, week: int) -> Events:
    size = user.size
    start = (MONDAY + 7 * week) * DAY_MS
    columns = {name: np.zeros(size, kind) for name, kind in COLUMN_TYPES.items()}
    columns |= {
        "user": user.astype(np.uint64) + 1,
        "key": np.arange(size, dtype=np.uint64),
        "time_ms": start + DICE.integers(7 * DAY_MS, size=size),
        "behaviour": np.full(size, 10, np.uint8),
        "category": category.astype(np.uint64) + 1,
    }
    return Events(**columns).canonical()


def usual_week(week: int, factor: float = 1.0) -> Events:
    counts = DICE.poisson(5 * factor, USERS)
    user = np.repeat(np.arange(USERS), counts)
    category = TASTE[user, DICE.integers(4, size=user.size)]
    curious = DICE.random(user.size) < 0.03
    category[curious] = DICE.integers(CATEGORIES, size=int(curious.sum()))
    return events(user, category, week)


@pytest.fixture(scope="module")
def history() -> tuple[bytes, bytes]:
    state, shop = ShardState.empty(SPEC), Population.empty(SPEC)
    for week in range(WEEKS):
        counts = count_window(usual_week(week), SPEC, MONDAY + 7 * week)
        totals, _ = totals_of(counts, state.cohort)
        shop, context, _ = shop.advance(counts.window, totals)
        state = state.advance(counts, context)
    return state.to_bytes(), shop.to_bytes()


def early(history: tuple[bytes, bytes], week_events: Events, p_max: float = P_MAX):
    state, shop = ShardState.from_bytes(history[0]), Population.from_bytes(history[1])
    counts = count_window(week_events, SPEC, MONDAY + 7 * WEEKS)
    totals, _ = totals_of(counts, state.cohort)
    _, context, _ = shop.advance(counts.window, totals)
    return early_candidates(state, counts, context, p_max, 6)


def with_more(base: Events, user: int, category: int, count: int) -> Events:
    more = events(np.full(count, user), np.full(count, category), WEEKS)
    return Events.concatenate([base, more]).canonical()


def test_an_ordinary_week_says_nothing(history):
    # GIVEN / WHEN / THEN
    assert early(history, usual_week(WEEKS)) == []


def test_a_surge_is_seen(history):
    # GIVEN user 3 does ten times as much
    busy = with_more(usual_week(WEEKS), 3, int(TASTE[3, 0]), 50)
    # WHEN
    (found,) = early(history, busy)
    # THEN
    assert (found.subject, found.kind, found.head) == (
        f"u-{4:016x}",
        Kind.SURGE,
        Head.SURGE,
    )
    assert found.p_value <= P_MAX
    assert found.facts["ratio"] > 5


def test_a_new_interest_is_seen_and_a_known_one_is_not(history):
    # GIVEN
    state = ShardState.from_bytes(history[0])
    row = np.flatnonzero(state.users == 6)
    used = set(state.categories.keys[state.categories.key[state.categories.user == row]].tolist())
    strange = next(c for c in range(CATEGORIES) if c + 1 not in used)
    base = usual_week(WEEKS)
    # WHEN
    new = early(history, with_more(base, 5, strange, 12))
    known = early(history, with_more(base, 5, int(TASTE[5, 1]), 12))
    # THEN
    assert [(c.subject, c.kind) for c in new if c.head is Head.INTEREST] == [
        (f"u-{6:016x}", Kind.NEW_INTEREST)
    ]
    assert new[0].rising[0].category == strange + 1
    assert not [c for c in known if c.head is Head.INTEREST]


def test_a_promotion_for_everybody_is_no_news(history):
    # GIVEN the whole shop does ten times as much
    # WHEN / THEN
    assert early(history, usual_week(WEEKS, factor=10)) == []


def test_more_data_only_lowers_the_p_value(history):
    # GIVEN the events of a surging user arrive in parts
    base = usual_week(WEEKS)
    # WHEN
    p_values = []
    for count in (0, 20, 40, 60, 80):
        found = early(history, with_more(base, 3, int(TASTE[3, 0]), count), p_max=1.0)
        p_values.append(next(c.p_value for c in found if c.subject == f"u-{4:016x}"))
    # THEN
    assert p_values == sorted(p_values, reverse=True)
    assert p_values[-1] < p_values[0]


def test_users_of_unknown_habits_are_not_spoken_of(history):
    # GIVEN a stranger who does a lot
    busy = with_more(usual_week(WEEKS), USERS + 7, 0, 200)
    # WHEN / THEN
    assert early(history, busy) == []


def test_the_tail_holds_the_rate_it_states():
    # GIVEN scores with a heavier tail than exponential
    dice = np.random.default_rng(1)
    past, future = dice.pareto(2.5, 40_000), dice.pareto(2.5, 400_000)
    # WHEN
    tail = Tail.of(past, past.size)
    # THEN
    assert tail is not None
    for p in (1e-3, 1e-4):
        realised = np.mean(tail.p_value(future) <= p)
        assert p / 2 < realised < p * 2


def test_too_few_scores_say_nothing():
    # GIVEN / WHEN / THEN
    assert Tail.of(np.arange(1, 3000.0), 3000) is None
