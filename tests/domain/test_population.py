from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from swerve.domain.profile import ShardState
from swerve.domain.window import DAY_MS, WindowSpec

from tests.domain.shop import FIRST_DAY, shop, walk


def habits(days, **shape):
    walked = walk(shop(users=150, weeks=13, rate=20, **shape), WindowSpec(days, "UTC"))
    return [context.habit for context, _, _ in walked]


@pytest.mark.parametrize("days", [7, 1])
def test_items_that_come_back_are_a_habit(days):
    # GIVEN users who choose among the same items all the time
    found = habits(days)
    # THEN their past tells as much as in a grocery
    assert found[0] == found[-1] == 1.0


@pytest.mark.parametrize("days", [7, 1])
def test_items_that_are_gone_after_a_week_tell_nothing(days):
    found = habits(days, fresh_items=True)
    assert found[0] == 1.0
    assert found[-1] < 0.3
    assert sorted(found[::10], reverse=True) == found[::10]


@pytest.mark.parametrize("days", [7, 1])
def test_how_much_users_differ_is_seen_through_baskets_of_everything(days):
    # GIVEN users of strong tastes, who meet most of four categories on each of their days
    rng = np.random.default_rng(8)
    rows = [
        (user + 1, week * 7 + day, category)
        for user, taste in enumerate(rng.dirichlet(np.full(4, 0.5), 150))
        for week in range(8)
        for day in (1, 4)
        for category in rng.choice(4, 4, p=taste)
    ]
    # WHEN they are walked through, and users who all want the same
    found = [
        [context.likeness for context, _, _ in walk(_bought(each), WindowSpec(days, "UTC"))][-1]
        for each in (rows, [(user, day, int(rng.integers(4))) for user, day, _ in rows])
    ]
    # THEN the first differ
    assert found[0] < 8.0
    assert found[1] > 80.0


def _bought(rows):
    user, day, category = (np.array(column, np.uint64) for column in zip(*rows, strict=True))
    return dataclasses.replace(
        shop(users=1, weeks=1, rate=20).take(np.zeros(len(rows), np.intp)),
        user=user * np.uint64(0x9E3779B97F4A7C15),
        key=np.arange(len(rows), dtype=np.uint64),
        time_ms=(FIRST_DAY + day.astype(np.int64)) * DAY_MS,
        category=(category + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9),
        item=category + np.uint64(7),
    )


def lately(state):
    """What users did in the last windows, categories first."""
    return *state.cohort.categories, *state.cohort.items


def test_what_was_done_lately_is_found_again_in_the_checkpoint():
    # GIVEN
    *_, (_, (state,), _) = walk(shop(users=20, weeks=12))
    # WHEN
    kept = ShardState.from_bytes(state.to_bytes()).cohort
    # THEN all that is compared
    for windows, before in (
        (kept.categories, state.cohort.categories),
        (kept.items, state.cohort.items),
    ):
        assert len(windows) == 8
        for one, other in zip(windows, before, strict=False):
            assert one.name.tolist() == other.name.tolist()
            assert one.days.tolist() == other.days.tolist()


def test_what_was_done_lately_follows_a_new_key():
    *_, (_, (state,), _) = walk(shop(users=20, weeks=12))
    fresh = state.users * np.uint64(0xD1342543DE82EF95)
    moved = state.rename(state.users, fresh)
    again = moved.rename(fresh, state.users)
    for one, other, back in zip(lately(moved), lately(state), lately(again), strict=True):
        assert one.name.size == other.name.size
        assert not np.array_equal(one.name, other.name)
        assert np.array_equal(back.name, other.name)
        assert np.array_equal(back.days, other.days)


@pytest.mark.parametrize("closed", [0, 2])
def test_rare_visitors_do_not_make_a_shop_seem_to_fall(closed):
    # GIVEN a steady shop, of which a user is seen once in two weeks, closed on some days of a week
    events = shop(users=600, weeks=30, rate=0.5 * 7 / (7 - closed))
    weekday = (events.time_ms // DAY_MS - FIRST_DAY) % 7
    factors = np.array(
        [
            context.factor[0, 0]
            for context, _, _ in walk(events.take(weekday < 7 - closed), WindowSpec(1, "UTC"))
        ]
    )
    # THEN its calendar stays where it was
    early, late = (factors[7 * a : 7 * b].mean() for a, b in ((4, 8), (26, 30)))
    assert late == pytest.approx(early, rel=0.15)
    assert factors[28:].mean() == pytest.approx((7 - closed) / 7, rel=0.2)


@pytest.mark.parametrize("days", [7, 1])
def test_what_lasts_is_no_gap_but_a_new_level(days):
    # GIVEN a shop whose views are tracked no more: a tenth of the events is left
    events = shop(users=150, weeks=22, rate=20, volume=lambda _, week: 0.1 if week >= 12 else 1.0)
    gaps = [context.gap for context, _, _ in walk(events, WindowSpec(days, "UTC"))]
    per_week = 7 // days
    # THEN data may be missing for some weeks, and users are judged from then on
    assert all(gaps[12 * per_week : 14 * per_week])
    assert not any(gaps[17 * per_week :])
