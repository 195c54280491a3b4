from __future__ import annotations

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


def test_baskets_are_found_again_in_the_checkpoint():
    # GIVEN
    *_, (_, (state,), _) = walk(shop(users=20, weeks=12))
    # WHEN
    kept = ShardState.from_bytes(state.to_bytes()).cohort.baskets
    # THEN those of eight weeks
    assert len(kept) == 8
    for one, other in zip(kept, state.cohort.baskets, strict=False):
        assert one.tolist() == other.tolist()


def test_baskets_follow_a_new_key():
    *_, (_, (state,), _) = walk(shop(users=20, weeks=12))
    fresh = state.users * np.uint64(0xD1342543DE82EF95)
    moved = state.rename(state.users, fresh)
    again = moved.rename(fresh, state.users)
    assert len(moved.cohort.baskets) == len(state.cohort.baskets)
    for one, other, back in zip(
        moved.cohort.baskets, state.cohort.baskets, again.cohort.baskets, strict=True
    ):
        assert one.size == other.size
        assert not np.array_equal(one, other)
        assert np.array_equal(back, other)


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
