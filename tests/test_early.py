from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from swerve import early, run
from swerve.domain.alert import StackFacts
from swerve.domain.candidate import Head, Kind, Level
from swerve.domain.event import Events
from swerve.domain.selection import Selection, Standing
from swerve.early import EarlyDeps, notice

from tests.closing import MONDAY, SETTINGS, Closer, shop, upload
from tests.fakes import World
from tests.faults import Crash

WEEKS = 9
OPEN = MONDAY + 7 * WEEKS
EARLY = replace(SETTINGS, early="on", lateness_s=86_400, shard_count=1, budget_per_1000=20)


def deps(world: World) -> EarlyDeps:
    facts = StackFacts.of(EARLY)
    queue = world.notify_queue
    return EarlyDeps(EARLY, world.windows, world.data, world.alerts, queue, world.clock, facts)


@cache
def all_weeks() -> Events:
    return shop(WEEKS + 2, users=520, changed=0, actions=3)


def week(number: int) -> Events:
    events = all_weeks()
    return events.take(SETTINGS.windows.window_of(events.time_ms) == MONDAY + 7 * number)


@cache
def _closed() -> World:
    closer = Closer(settings=EARLY)
    events = all_weeks()
    before = SETTINGS.windows.window_of(events.time_ms) < OPEN
    upload(closer.world, events.take(before), EARLY)
    # The source goes on a day into the open window, so all before it are complete.
    closer.world.windows.put_watermark("web", (OPEN + 1) * 86_400_000, closer.world.clock.ms)
    assert closer.close() == 1
    return closer.world


@pytest.fixture
def world() -> World:
    return copy.deepcopy(_closed())


def surge(user: int, count: int = 150) -> Events:
    """One user's flood of events in the open window."""
    like = week(WEEKS).take(slice(0, 1))
    many = Events.concatenate([like] * count)
    return replace(
        many,
        user=np.full(count, np.unique(all_weeks().user)[user]),
        key=np.arange(count, dtype=np.uint64) + np.uint64(10**9),
        time_ms=many.time_ms + np.arange(count),
    )


def early_rows(world: World) -> list[str]:
    return [row.subject_kind for row in world.alerts.in_window(OPEN)]


def test_a_surge_is_told_before_its_window_closes(world):
    # GIVEN
    upload(world, surge(3), EARLY)
    # WHEN
    told = notice(deps(world), 0)
    # THEN
    assert told >= 1
    subject = f"u-{int(np.unique(all_weeks().user)[3]):016x}"
    row = world.alerts.rows[OPEN, f"{subject}#surge"]
    assert json.loads(row.payload)["provisional"] is True
    assert row.state == "selected"
    assert world.notify_queue.bodies == ['{"task": "tell"}']


def test_what_was_seen_is_not_looked_at_again(world):
    # GIVEN
    upload(world, surge(3), EARLY)
    notice(deps(world), 0)
    world.faults.heal()
    # WHEN
    told = notice(deps(world), 0)
    # THEN
    assert told == 0
    assert "data.put" not in world.faults.names
    assert len(world.notify_queue.bodies) == 1


def test_one_notice_a_subject_however_often_it_grows(world):
    # GIVEN
    for part in np.split(np.arange(150), 3):
        upload(world, surge(3).take(part), EARLY)
        notice(deps(world), 0)
    # WHEN / THEN
    assert len(early_rows(world)) == len(set(early_rows(world)))
    assert sum(name.endswith("#surge") for name in early_rows(world)) == 1


def test_partials_without_a_manifest_are_not_seen(world):
    # GIVEN
    batch_id = upload(world, surge(3), EARLY)
    del world.windows.batches[batch_id]
    # WHEN / THEN
    assert notice(deps(world), 0) == 0


def test_the_close_confirms_or_withdraws(world):
    # GIVEN notices of two users
    upload(world, surge(3), EARLY)
    upload(world, surge(4), EARLY)
    notice(deps(world), 0)
    told = early_rows(world)
    assert told
    # WHEN
    upload(world, week(WEEKS), EARLY)
    upload(world, week(WEEKS + 1), EARLY)
    closer = Closer(world, EARLY)
    world.clock.advance(10 * 86_400)
    assert closer.close() >= 1
    # THEN
    for subject_kind in told:
        row = world.alerts.rows[OPEN, subject_kind]
        provisional = json.loads(row.payload).get("provisional", False)
        assert row.status == "withdrawn" or not provisional


def test_a_notice_that_its_close_overtook_is_closed_again(world, monkeypatch):
    # GIVEN the close of the open window ends while the notice is being written
    upload(world, surge(3), EARLY)
    put = type(world.alerts).put

    def overtaken(alerts, row, expected):
        world.windows.states["close"]["through"] = OPEN
        return put(alerts, row, expected)

    monkeypatch.setattr(type(world.alerts), "put", overtaken)
    dirty = world.windows.counters[OPEN].dirty
    # WHEN
    notice(deps(world), 0)
    # THEN
    assert world.windows.counters[OPEN].dirty == dirty + 1


def test_a_backlog_is_left_to_the_close(world):
    # GIVEN data runs three windows ahead of the last close
    upload(world, surge(3), EARLY)
    world.windows.put_watermark("web", (OPEN + 22) * 86_400_000, world.clock.ms)
    # WHEN / THEN
    assert notice(deps(world), 0) == 0


def test_before_the_first_close_nothing_is_said():
    # GIVEN
    world = World()
    upload(world, surge(3), EARLY)
    # WHEN / THEN
    assert notice(deps(world), 0) == 0


def test_off_is_off(world):
    # GIVEN
    upload(world, surge(3), EARLY)
    # WHEN / THEN
    assert notice(replace(deps(world), settings=replace(EARLY, early="off")), 0) == 0


def test_subjects_in_their_cool_down_are_left_alone(world):
    # GIVEN the user alarmed in the last closed window
    upload(world, surge(3), EARLY)
    fresh = copy.deepcopy(world)
    notice(deps(fresh), 0)
    (key,) = [name for name in early_rows(fresh) if name.endswith("#surge")]
    subject = key.partition("#")[0]
    standing = Standing(Level.USER, subject, Head.SURGE, Kind.SURGE, window=OPEN - 7, p_limit=0.01)
    memory = Selection(OPEN - 7, (standing,))
    selected = run.selection_key(SETTINGS.windows, OPEN - 7)
    world.data.files[selected] = memory.to_json().encode()
    # WHEN
    notice(deps(world), 0)
    # THEN
    assert key not in early_rows(world)


def test_a_crash_between_any_two_calls_then_a_retry_tells_the_same(world):
    # GIVEN
    upload(world, surge(3), EARLY)
    straight = copy.deepcopy(world)
    straight.faults.heal()
    notice(deps(straight), 0)
    for k in range(1, straight.faults.calls + 1):
        # WHEN
        broken = copy.deepcopy(world)
        broken.break_with(crash_at=k)
        with pytest.raises(Crash):
            notice(deps(broken), 0)
        broken.faults.heal()
        notice(deps(broken), 0)
        # THEN a message may be sent twice, never lost
        assert broken.alerts.rows == straight.alerts.rows
        assert broken.notify_queue.bodies, f"call {k}"


def test_the_budget_of_early_notices_is_a_tenth():
    # GIVEN / WHEN
    p_max = early._p_max(deps(World()))
    # THEN both statistics of a user in a week
    assert 2 * p_max == pytest.approx(0.1 * EARLY.budget_per_1000 / 1000)
