"""The close as a whole: order, crashes, throttling, late data, leases and the ledger."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from swerve import close, plan, run
from swerve.domain.event import Events
from swerve.errors import LayoutChanged, PartialsMissing, TransientFault
from swerve.ledger import ledger

from tests.closing import (
    MONDAY,
    SETTINGS,
    WEEKS,
    Closer,
    alerts_of,
    at_once,
    before_last_week,
    history,
    shop,
    state_of,
    upload,
    weeks_of,
)
from tests.faults import Crash

if TYPE_CHECKING:
    from swerve.ports import AlertRow

    from tests.fakes import World

SLOW = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def remembered(world: World) -> dict[str, bytes]:
    return {key: body for key, body in state_of(world).items() if key != run.LEDGER_KEY}


def final_rows(world: World) -> dict[tuple[int, str], AlertRow]:
    """Rows, but for how often they were rewritten on the way."""
    return {key: replace(row, revision=0) for key, row in world.alerts.rows.items()}


def test_the_history_gives_alerts():
    # GIVEN / WHEN
    rows = at_once().world.alerts.rows
    # THEN the tests below compare something
    assert any(row.state == "selected" for row in rows.values())


@SLOW
@given(data=st.data())
def test_order_split_overlap_and_duplication_change_nothing(data):
    # GIVEN events dealt to batches, some to several, uploaded in any order with closes in between
    events, count = history(), 4
    dice = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    home = dice.integers(count, size=len(events))
    batches = []
    for batch in range(count):
        rows = (home == batch) | (dice.random(len(events)) < 0.1)
        batches.append(events.take(dice.permutation(np.flatnonzero(rows))))
    order = data.draw(st.permutations([*range(count), 0]), label="order")
    closes = data.draw(st.sets(st.integers(0, count)), label="closes after")
    # WHEN
    closer = Closer()
    for place, batch in enumerate(order):
        upload(closer.world, batches[batch])
        if place in closes:
            closer.close()
    closer.close()
    # THEN
    assert remembered(closer.world) == remembered(at_once().world)
    assert sorted(alerts_of(closer.world)) == sorted(alerts_of(at_once().world))
    assert ledger(closer.world.windows, closer.world.data, SETTINGS.windows).balanced


def test_week_by_week_equals_at_once():
    # GIVEN
    closer = Closer()
    # WHEN
    for week in weeks_of(history()):
        upload(closer.world, week)
        assert closer.close() == 1
    # THEN
    assert remembered(closer.world) == remembered(at_once().world)
    assert final_rows(closer.world) == final_rows(at_once().world)


def test_a_second_close_finds_nothing_to_do():
    # GIVEN
    closer = copy.deepcopy(at_once())
    upload(closer.world, history())
    # WHEN / THEN
    assert closer.close() == 0


@pytest.mark.parametrize("part", range(4))
def test_a_crash_between_any_two_calls_then_a_retry_gives_the_same(part):
    # GIVEN
    straight = before_last_week()
    straight.world.faults.heal()
    straight.close()
    calls = straight.world.faults.calls
    assert calls > 50
    for k in range(1 + part, calls + 1, 4):
        # WHEN it dies before call k, and the same execution tries again
        closer = before_last_week()
        closer.world.break_with(crash_at=k)
        with pytest.raises(Crash):
            closer.close()
        closer.world.faults.heal()
        closer.close()
        # THEN
        assert state_of(closer.world) == state_of(straight.world), f"call {k}"
        assert closer.world.alerts.rows == straight.world.alerts.rows, f"call {k}"
        assert closer.world.windows.counters == straight.world.windows.counters, f"call {k}"


@pytest.mark.parametrize("seed", range(3))
def test_throttling_is_retried_to_the_same_bytes(seed):
    # GIVEN
    straight, closer = before_last_week(), before_last_week()
    straight.close()
    closer.world.break_with(throttle=0.2, seed=seed)
    closer.world.clock.advance(SETTINGS.settle_s)

    def persist(task, *arguments):
        for _ in range(2000):
            try:
                return task(*arguments)
            except TransientFault:
                continue
        raise AssertionError("throttled for ever")

    # WHEN
    answer = persist(plan.plan, closer.deps, "execution")
    for shard in range(answer["shards"]):
        persist(close.merge, closer.deps, answer["run"], shard)
    persist(close.population, closer.deps, answer["run"])
    for shard in range(answer["shards"]):
        persist(close.score, closer.deps, answer["run"], shard)
    persist(close.calibrate, closer.deps, answer["run"])
    persist(closer.select, answer["run"], "execution")
    # THEN
    assert closer.world.data.files == straight.world.data.files
    assert closer.world.alerts.rows == straight.world.alerts.rows
    assert closer.world.windows.counters == straight.world.windows.counters


def test_a_batch_that_lands_during_a_run_is_taken_by_the_next():
    # GIVEN a run is planned and merged when another file of its window arrives
    closer, straight = before_last_week(), before_last_week()
    late = shop(WEEKS, seed=5)
    late = late.take(SETTINGS.windows.window_of(late.time_ms) == MONDAY + 7 * (WEEKS - 1))
    closer.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(closer.deps, "execution")
    close.merge(closer.deps, answer["run"], 0)
    # WHEN
    upload(closer.world, late)
    closer.run(answer["run"], answer["shards"], "execution")
    assert closer.close() == 1
    # THEN
    upload(straight.world, late)
    straight.close()
    assert remembered(closer.world) == remembered(straight.world)
    assert sorted(alerts_of(closer.world)) == sorted(alerts_of(straight.world))


def test_a_told_alert_that_late_data_removes_is_withdrawn_and_never_new():
    # GIVEN every alert was told
    closer = copy.deepcopy(at_once())
    told = {}
    for key, row in closer.world.alerts.rows.items():
        if row.state == "selected":
            told[key] = replace(row, state="sent", told="email", revision=row.revision + 1)
    closer.world.alerts.rows |= told
    # WHEN a late file changes the whole history
    upload(closer.world, shop(WEEKS, seed=10, changed=0, actions=100))
    closer.close()
    # THEN
    rows = closer.world.alerts.rows
    withdrawn = [row for key, row in rows.items() if key in told and row.status == "withdrawn"]
    assert withdrawn
    for key, row in rows.items():
        if key in told:
            assert row.alert_id == told[key].alert_id
            assert row.status in {"withdrawn", "updated", "open", "resolved"}
            assert row.status != "open" or row.state == "sent"


def test_a_window_without_events_is_a_gap_without_evidence():
    # GIVEN
    closer, events = Closer(), history()
    windows = SETTINGS.windows.window_of(events.time_ms)
    missing = MONDAY + 7 * (WEEKS - 3)
    # WHEN
    upload(closer.world, events.take(windows != missing))
    closer.close()
    # THEN
    label = SETTINGS.windows.label(missing)
    (said,) = [
        json.loads(body)
        for key, body in closer.world.data.files.items()
        if key.endswith(f"candidates/{label}.json")
    ]
    assert said["gap"]
    assert not closer.world.alerts.in_window(missing)
    assert f"selection/window={label}.json" in closer.world.data.files


def test_checkpoints_are_kept_within_the_horizon_and_late_data_starts_from_one():
    # GIVEN the horizon reaches back two weeks and a day
    closer = Closer(settings=replace(SETTINGS, horizon_days=15))
    *_, third, second, last = weeks_of(history())
    upload(closer.world, history())
    closer.close()
    kept = sorted({key.split("/")[1] for key in state_of(closer.world) if "shard=" in key})
    assert len(kept) == 4  # windows that late data may reach, and the one before them
    # WHEN
    upload(closer.world, replace(second, key=second.key + np.uint64(3)))
    upload(closer.world, replace(third, key=third.key + np.uint64(3)))
    closer.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(closer.deps, "execution")
    # THEN
    planned = run.Run.load(closer.world.data, answer["run"])
    assert planned.start == MONDAY + 7 * (WEEKS - 4)
    assert planned.windows == tuple(MONDAY + 7 * week for week in range(WEEKS - 3, WEEKS))
    assert last.time_ms.max() > 0


def test_without_a_checkpoint_the_close_begins_at_the_beginning():
    # GIVEN
    closer = before_last_week()
    for key in [key for key in closer.world.data.files if "population" in key]:
        del closer.world.data.files[key]
    straight = before_last_week()
    # WHEN
    closer.close()
    straight.close()
    # THEN
    assert remembered(closer.world) == remembered(straight.world)


def test_a_long_history_is_closed_in_several_runs(monkeypatch):
    # GIVEN
    monkeypatch.setattr(plan, "MOST_WINDOWS", 5)
    closer = Closer()
    upload(closer.world, history())
    # WHEN
    runs = closer.close()
    # THEN
    assert runs == 3
    assert remembered(closer.world) == remembered(at_once().world)
    assert final_rows(closer.world) == final_rows(at_once().world)


def test_late_data_of_a_long_history_is_carried_to_its_end(monkeypatch):
    # GIVEN a close that needs several runs is interrupted after the first
    monkeypatch.setattr(plan, "MOST_WINDOWS", 5)
    second = weeks_of(history())[1]
    closer = Closer()
    upload(closer.world, history().take(~np.isin(history().key, second.key)))
    closer.close()
    upload(closer.world, second)
    closer.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(closer.deps, "execution")
    closer.run(answer["run"], answer["shards"], "execution")
    # WHEN
    closer.close()
    # THEN
    assert remembered(closer.world) == remembered(at_once().world)
    assert sorted(alerts_of(closer.world)) == sorted(alerts_of(at_once().world))


def test_lost_partials_stop_the_close():
    # GIVEN
    closer = before_last_week()
    lost = next(key for key in closer.world.windows.stored if key[1] == MONDAY + 7 * (WEEKS - 1))
    del closer.world.windows.stored[lost]
    closer.world.clock.advance(SETTINGS.settle_s)
    # WHEN
    answer = plan.plan(closer.deps, "execution")
    # THEN
    with pytest.raises(PartialsMissing, match="upload the file again"):
        closer.run(answer["run"], answer["shards"], "execution")


def test_partials_without_a_manifest_do_not_exist():
    # GIVEN a crash of ingest before its manifest
    closer = before_last_week()
    more = shop(WEEKS, seed=3)
    batch_id = upload(closer.world, more)
    del closer.world.windows.batches[batch_id]
    # WHEN
    closer.close()
    straight = before_last_week()
    straight.close()
    # THEN
    assert closer.world.alerts.rows == straight.world.alerts.rows


def test_a_changed_shard_count_is_refused():
    # GIVEN
    closer = Closer()
    upload(closer.world, history())
    closer.close()
    closer.settings = replace(SETTINGS, shard_count=4)
    # WHEN / THEN
    with pytest.raises(LayoutChanged, match="reshard"):
        closer.close()


def test_a_rotated_key_continues_the_users_history():
    # GIVEN all users get new pseudonyms for the last six weeks
    events, cut = history(), (MONDAY + 7 * (WEEKS - 6)) * 86_400_000
    old = events.take(events.time_ms < cut)
    new = replace(recent := events.take(events.time_ms >= cut), user=recent.user + np.uint64(1))
    previous = {int(user) + 1: int(user) for user in np.unique(events.user)}
    # WHEN
    closer = Closer()
    upload(closer.world, old)
    closer.close()
    upload(closer.world, new, previous=previous)
    closer.close()
    # THEN the same users, by their new names, with the same evidence
    last = SETTINGS.windows.label(MONDAY + 7 * (WEEKS - 1))

    def users_at_the_end(world):
        keys = [key for key in world.data.files if f"{last}/shard" in key]
        states = [close.Checkpoint.from_bytes(world.data.files[key]).state for key in keys]
        return {
            int(user): int(events)
            for state in states
            for user, events in zip(state.users, state.events.sum(axis=1), strict=True)
        }

    before = users_at_the_end(at_once().world)
    assert users_at_the_end(closer.world) == {user + 1: n for user, n in before.items()}


def test_the_ledger_balances_and_sees_what_waits():
    # GIVEN
    closer = Closer()
    first, second, *_ = weeks_of(history())
    upload(closer.world, first)
    closer.close()
    # WHEN an overlapping batch and a batch of another week come
    upload(closer.world, Events.concatenate([first.take(slice(0, 7)), second]))
    waiting = ledger(closer.world.windows, closer.world.data, SETTINGS.windows)
    closer.close()
    done = ledger(closer.world.windows, closer.world.data, SETTINGS.windows)
    # THEN
    packed = len(first) + len(second) + 7
    assert waiting.balanced
    assert (waiting.packed, waiting.waiting) == (packed, packed)
    assert done.balanced
    assert (done.closed, done.unique, done.duplicates_across) == (packed, packed - 7, 7)
    assert (done.waiting, done.lost, done.conflicts) == (0, 0, 0)


def test_an_item_of_few_users_in_every_shard_is_counted_over_all() -> None:
    # GIVEN 24 users in many shards buy one item in the same week, none of them with a neighbour
    weekly = shop(WEEKS, users=24)
    closers = [Closer(settings=replace(SETTINGS, shard_count=count)) for count in (1, 16)]
    # WHEN
    for closer in closers:
        upload(closer.world, weekly, closer.settings)
        closer.close()
    # THEN
    one, many = (
        {
            key: body
            for key, body in closer.world.data.files.items()
            if key.endswith("population.bin")
        }
        for closer in closers
    )
    assert one
    assert many == one
