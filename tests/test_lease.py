"""One close at a time: leases, waiting for uploads to settle, and who takes over from the dead."""

from __future__ import annotations

import pytest
from swerve import plan, run
from swerve.errors import SwerveError

from tests.closing import SETTINGS, before_last_week
from tests.faults import Crash


def test_after_a_crash_another_execution_takes_over_when_the_lease_ends():
    # GIVEN
    straight, closer = before_last_week(), before_last_week()
    straight.close()
    closer.world.break_with(crash_at=30)
    with pytest.raises(Crash):
        closer.close("dead")
    closer.world.faults.heal()
    # WHEN / THEN
    assert closer.close("heir") == 0
    closer.world.clock.advance(run.LEASE_S)
    assert closer.close("heir") == 1
    assert closer.world.data.files == straight.world.data.files
    assert closer.world.alerts.rows == straight.world.alerts.rows


def test_one_execution_at_a_time():
    # GIVEN
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    first = plan.plan(closer.deps, "first")
    # WHEN / THEN
    assert first["next"] == "go"
    assert plan.plan(closer.deps, "second")["next"] == "nothing"
    assert plan.plan(closer.deps, "first")["run"] == first["run"]


def test_a_run_whose_lease_was_lost_selects_nothing():
    # GIVEN
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    rows = dict(closer.world.alerts.rows)
    answer = plan.plan(closer.deps, "slow")
    closer.world.clock.advance(run.LEASE_S)
    plan.plan(closer.deps, "fast")
    # WHEN / THEN
    with pytest.raises(SwerveError, match="ran out"):
        closer.run(answer["run"], answer["shards"], "slow")
    assert closer.world.alerts.rows == rows


def test_uploads_that_never_settle_are_closed_after_so_many_waits():
    # GIVEN
    closer = before_last_week()
    # WHEN
    answers = [plan.plan(closer.deps, "execution", waits) for waits in (0, plan.MOST_WAITS)]
    # THEN
    assert [answer["next"] for answer in answers] == ["wait", "go"]
    assert answers[0]["waits"] == 1


def test_one_execution_waits_for_all():
    # GIVEN
    closer = before_last_week()
    # WHEN
    answers = [plan.plan(closer.deps, owner)["next"] for owner in ("first", "second", "first")]
    # THEN
    assert answers == ["wait", "nothing", "wait"]


def test_a_waiter_that_died_is_followed_by_another():
    # GIVEN
    closer = before_last_week()
    plan.plan(closer.deps, "dead")
    closer.world.clock.advance(SETTINGS.settle_s + 61)
    store_again(closer)
    # WHEN / THEN
    assert plan.plan(closer.deps, "next")["next"] == "wait"


def test_a_waiter_that_goes_makes_room_for_the_next():
    # GIVEN
    closer = before_last_week()
    plan.plan(closer.deps, "first")
    closer.world.clock.advance(SETTINGS.settle_s)
    # WHEN
    gone = plan.plan(closer.deps, "first", 1)
    store_again(closer)
    # THEN
    assert gone["next"] == "go"
    assert plan.plan(closer.deps, "second")["next"] == "wait"


def store_again(closer):
    """A batch comes now: uploads are not settled."""
    source, (watermark_ms, _) = next(iter(closer.world.windows.watermarks().items()))
    closer.world.windows.put_watermark(source, watermark_ms, closer.world.clock.now_ms())
