"""Ingest and close together: whatever fails between two calls, the windows hold the same events."""

from __future__ import annotations

import copy
import csv
import io
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from swerve.errors import TransientFault
from swerve.ingest import Delivery, ingest
from swerve.ledger import ledger

from tests.closing import SETTINGS, Closer, alerts_of, shop, state_of
from tests.fakes import World
from tests.faults import Crash
from tests.ingesting import deps_of

if TYPE_CHECKING:
    from swerve.domain.event import Events
    from swerve.ports import UploadedObject

WEEKS = 4


def csv_of(events: Events) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["user_id", "timestamp", "behavior", "item_id", "category_id", "value", "event_id"]
    )
    for n in range(len(events)):
        user, item, category = events.user[n], events.item[n], events.category[n]
        seconds = int(events.time_ms[n]) // 1000
        rows.writerow([user, seconds, "purchase", item, f"c/{category}", 1.5, events.key[n]])
    return text.getvalue().encode()


@cache
def files() -> tuple[bytes, bytes]:
    """Two files that overlap by a third."""
    events = shop(WEEKS, users=6)
    third = len(events) // 3
    return csv_of(events.take(slice(0, 2 * third))), csv_of(events.take(slice(third, None)))


def uploaded_both() -> tuple[World, list[UploadedObject]]:
    world = World()
    keys = ("events/a.csv", "events/b.csv")
    both = [
        world.uploads.add(k, body, world.clock.ms) for k, body in zip(keys, files(), strict=True)
    ]
    return world, both


def deliver(world: World, uploaded: UploadedObject, attempt: int = 1) -> None:
    ingest(uploaded, deps_of(world, SETTINGS), Delivery(attempt))


@cache
def straight() -> World:
    world, both = uploaded_both()
    for uploaded in both:
        deliver(world, uploaded)
    Closer(world).close()
    return world


@cache
def _after_first() -> tuple[World, UploadedObject]:
    world, (first, second) = uploaded_both()
    deliver(world, first)
    Closer(world).close()
    return world, second


def calls_of_second() -> int:
    world, second = copy.deepcopy(_after_first())
    world.faults.heal()
    deliver(world, second)
    return world.faults.calls


def assert_exact(world: World, note: str = "") -> None:
    balance = ledger(world.windows, world.data, SETTINGS.windows)
    assert balance.balanced, note
    assert balance.waiting == 0, note
    assert state_of(world) == state_of(straight()), note
    assert sorted(alerts_of(world)) == sorted(alerts_of(straight())), note


def test_the_overlap_is_counted_once():
    # GIVEN / WHEN
    balance = ledger(straight().windows, straight().data, SETTINGS.windows)
    # THEN
    events = len(shop(WEEKS, users=6))
    assert balance.balanced
    assert balance.unique == events
    assert balance.duplicates_across == balance.packed - events > 0


@pytest.mark.parametrize("part", range(3))
def test_a_crash_of_ingest_between_any_two_calls_then_a_redelivery(part):
    # GIVEN one file is closed, the other arrives
    calls = calls_of_second()
    assert calls > 20
    for k in range(1 + part, calls + 1, 3):
        world, second = copy.deepcopy(_after_first())
        world.break_with(crash_at=k)
        # WHEN
        with pytest.raises(Crash):
            deliver(world, second)
        world.faults.heal()
        deliver(world, second, attempt=2)
        Closer(world).close()
        # THEN
        assert_exact(world, f"call {k}")


@pytest.mark.parametrize("k", [8, 15, 22])
def test_a_close_between_the_crash_and_the_redelivery(k):
    # GIVEN ingest crashed and a close ran before the queue delivered again
    world, second = copy.deepcopy(_after_first())
    world.break_with(crash_at=k)
    with pytest.raises(Crash):
        deliver(world, second)
    world.faults.heal()
    Closer(world).close()
    # WHEN
    deliver(world, second, attempt=2)
    Closer(world).close()
    # THEN
    assert_exact(world)


@pytest.mark.parametrize("seed", range(3))
def test_throttled_ingest_is_redelivered_until_it_is_through(seed):
    # GIVEN
    world, both = uploaded_both()
    world.break_with(throttle=0.2, seed=seed, retries=1)
    # WHEN every message comes again until it succeeds, and once more
    for uploaded in both:
        for _ in range(100):
            try:
                deliver(world, uploaded)
            except TransientFault:
                continue
            break
    world.faults.heal()
    deliver(world, both[1])
    Closer(world).close()
    # THEN
    assert_exact(world)


def test_uploading_again_changes_nothing():
    # GIVEN
    world = copy.deepcopy(straight())
    before = copy.deepcopy(world.alerts.rows)
    # WHEN the same bytes come under other names
    for n, body in enumerate(files()):
        deliver(world, world.uploads.add(f"events/again-{n}.csv", body, world.clock.ms))
    # THEN
    assert Closer(world).close() == 0
    assert world.alerts.rows == before
    assert_exact(world)


def test_the_other_order_gives_the_same():
    # GIVEN
    world, both = uploaded_both()
    # WHEN
    for uploaded in reversed(both):
        deliver(world, uploaded)
        Closer(world).close()
    # THEN
    assert_exact(world)


def test_data_behind_the_horizon_is_counted_and_changes_no_window():
    # GIVEN the horizon is two weeks
    short = replace(SETTINGS, horizon_days=14)
    world, both = uploaded_both()
    ingest(both[0], deps_of(world, short))
    ingest(both[1], deps_of(world, short))
    Closer(world, short).close()
    events = shop(WEEKS, users=6)
    old = events.take(slice(0, 20))
    # WHEN
    late = world.uploads.add("events/late.csv", csv_of(replace(old, key=old.key + 1)), 0)
    ingest(late, deps_of(world, short))
    # THEN
    balance = ledger(world.windows, world.data, SETTINGS.windows)
    assert balance.rejected["behind_horizon"] > 0
    assert balance.balanced
