"""What the running calibration may learn of a user: of what has ended, and of who is calm."""

from __future__ import annotations

import numpy as np
import pytest
from swerve.domain.candidate import Head
from swerve.domain.matching import BIN_WIDTH, own_part
from swerve.domain.profile import ShardState
from swerve.domain.running import ENDING, RunningCalibration
from swerve.domain.window import DAY_MS, WindowSpec

from tests.domain.shop import FIRST_DAY, WEEKLY, name, shop, walk


def test_a_silence_is_counted_when_it_has_ended():
    # GIVEN a shop in which one user pauses for six weeks, and another leaves
    def volume(user, week):
        paused, left = user == 0 and 14 <= week < 20, user == 1 and week >= 14
        return 0.0 if paused or left else 1.0

    lone = np.array([name(0), name(1)], np.uint64)
    deepest = {}
    for context, (state,), (scores,) in walk(shop(users=30, weeks=22, rate=20, volume=volume)):
        told = scores.histograms.ended[list(ENDING).index(Head.ENGAGEMENT)]
        deepest[context.age] = int(np.flatnonzero(told.sum(axis=0)).max(initial=0))
        known = state.engaged[np.isin(state.users, lone), 0]
    # THEN the pause stands for what it was in the week of the return, and not before
    assert deepest[20] > 2 * max(deepest[age] for age in range(14, 20))
    # AND who left is never counted but as one who does nothing unusual
    assert np.isfinite(known).all()
    assert deepest[21] < deepest[20]


def test_a_surge_is_counted_when_it_has_ended():
    # GIVEN a shop in which one user does four times as much for six weeks, and another for good
    def volume(user, week):
        return 4.0 if (user == 0 and 30 <= week < 36) or (user == 1 and week >= 30) else 1.0

    both = np.array([name(0), name(1)], np.uint64)
    peak, deepest, going = {}, {}, {}
    for context, (state,), (scores,) in walk(shop(users=30, weeks=50, rate=20, volume=volume)):
        told = scores.histograms.ended[list(ENDING).index(Head.SURGE)]
        deepest[context.age] = int(np.flatnonzero(told.sum(axis=0)).max(initial=0))
        at = np.searchsorted(state.users, both)
        going[context.age] = np.isfinite(state.surged[at, 0]).tolist()
        peak[context.age] = -np.log(scores.p[Head.SURGE][at]) / BIN_WIDTH
    over = min(age for age, (first, _) in going.items() if age > 36 and not first)
    largest = max(peak[age][0] for age in range(30, over))
    # THEN it counts as what it was at most, once, in the week in which it is over
    assert deepest[over] == int(largest)
    assert all(deepest[age] < largest - 1 for age in range(28, 50) if age != over)
    # AND the other goes on, and is not counted
    assert all(going[age][1] for age in range(36, 50))


def test_a_tenth_of_the_shop_that_leaves_is_no_holiday():
    # GIVEN a tenth of the users leaves in week 24
    def volume(user, week):
        return 0.0 if user < 40 and week >= 24 else 1.0

    running, part = RunningCalibration.empty(), {}
    for context, _, (scores,) in walk(shop(users=400, weeks=32, rate=20, volume=volume)):
        place = list(Head).index(Head.ENGAGEMENT)
        now, before = (h.calm[place] for h in (scores.histograms, running))
        part[context.age] = own_part(now, before)
        running = running.advance(scores.histograms, WEEKLY)
    # THEN it is not taken for something that everybody does, once it lasts
    assert all(part[age] == 1.0 for age in range(27, 32))


def test_what_goes_on_while_the_shop_is_closed_goes_on():
    # GIVEN windows of one day of a shop that is closed at weekends
    events = shop(users=40, weeks=12, rate=20)
    weekday = (events.time_ms // DAY_MS - FIRST_DAY) % 7
    steps = list(walk(events.take(weekday < 5), WindowSpec(1, "UTC")))
    # THEN on Monday it is still known what was unusual on Friday
    closed = [place for place, (context, _, _) in enumerate(steps) if context.gap and place > 60]
    assert len(closed) >= 4
    for place in closed:
        (_, (before,), _), (_, (after,), _) = steps[place - 1], steps[place]
        assert np.isfinite(before.engaged[:, 0]).any()
        assert np.isfinite(before.surged[:, 0]).any()
        assert np.array_equal(after.engaged, before.engaged, equal_nan=True)
        assert np.array_equal(after.surged, before.surged, equal_nan=True)


def test_who_has_a_last_p_value_keeps_it_in_the_checkpoint():
    *_, (_, (state,), (scores,)) = walk(shop(users=10, weeks=14))
    back = ShardState.from_bytes(state.to_bytes())
    assert np.array_equal(back.surged, state.surged, equal_nan=True)
    kept = back.engaged
    assert np.exp(kept[:, 0].astype(float)) == pytest.approx(scores.p[Head.ENGAGEMENT], rel=0.01)
    assert kept[:, 1].tolist() == scores.bucket[Head.ENGAGEMENT].tolist()
