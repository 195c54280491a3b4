"""Erasing that dies, is throttled, or meets a close or an upload: erasing again finishes it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from swerve import plan, run
from swerve.erase import LEASE_S
from swerve.errors import SwerveError, TransientFault

from tests.closing import Closer
from tests.erasing import (
    EVENTS,
    SETTINGS,
    USER,
    balance,
    csv_of,
    deliver,
    erase_from,
    erased,
    kept,
    same,
    traces,
)
from tests.faults import Crash


def calls() -> int:
    world = kept()
    erase_from(world)
    return world.faults.calls


@pytest.mark.parametrize("part", range(4))
def test_a_crash_between_any_two_calls_and_erasing_again(part: int) -> None:
    assert calls() > 100
    for k in range(1 + part, calls() + 1, 4):
        # GIVEN
        world = kept()
        world.break_with(crash_at=k)
        # WHEN
        with pytest.raises(Crash):
            erase_from(world)
        world.faults.heal()
        # THEN whatever was reached, the ledger balances
        balance(world)
        erase_from(world)
        assert same(world, erased()), k


@pytest.mark.parametrize("k", [20, 60, 90, 115])
def test_a_close_between_the_crash_and_erasing_again(k: int) -> None:
    # GIVEN
    world = kept()
    world.break_with(crash_at=k)
    with pytest.raises(Crash):
        erase_from(world)
    world.faults.heal()
    world.windows.raise_dirty([min(world.windows.counters)])
    # WHEN
    assert Closer(world, SETTINGS).close() == 1
    balance(world)
    erase_from(world)
    # THEN
    assert [place for place in traces(world, USER) if "/" not in place or "bin" in place] == []
    balance(world)


@pytest.mark.parametrize("seed", range(3))
def test_throttled_erasing_is_tried_until_it_is_through(seed: int) -> None:
    # GIVEN
    world = kept()
    world.break_with(throttle=0.05, seed=seed)
    # WHEN
    for _ in range(200):
        try:
            erase_from(world)
        except TransientFault:
            continue
        break
    world.faults.heal()
    # THEN
    assert list(traces(world, USER)) == []
    assert balance(world) == balance(erased())


def test_no_erasing_while_a_close_is_at_work() -> None:
    # GIVEN
    world = kept()
    world.windows.raise_dirty([max(world.windows.counters)])
    world.clock.advance(SETTINGS.settle_s)
    assert plan.plan(Closer(world, SETTINGS).deps, "closing")["next"] == "go"
    before = copy.deepcopy(world.windows.stored)
    # WHEN / THEN
    with pytest.raises(SwerveError, match="a close, a split or another erasure is at work"):
        erase_from(world)
    assert world.windows.stored == before


def test_no_close_while_erasing_is_at_work() -> None:
    # GIVEN a close that asks before each write
    world, answers = kept(), []
    world.windows.raise_dirty([max(world.windows.counters)])
    world.clock.advance(SETTINGS.settle_s)
    closer, put = Closer(world, SETTINGS), world.eraser.put

    def put_and_plan(key: str, body: bytes, content_type: str) -> None:
        world.clock.advance(LEASE_S // 2)  # slow, so that the lease is taken again
        answers.append(plan.plan(closer.deps, "closing")["next"])
        put(key, body, content_type)

    world.eraser.put = put_and_plan  # type: ignore[method-assign] - a slow port
    # WHEN
    erase_from(world)
    # THEN
    assert set(answers) == {"nothing"}
    assert closer.close() == 1
    assert list(traces(world, USER)) == []


def test_a_dead_eraser_keeps_the_close_waiting_for_minutes_only() -> None:
    # GIVEN
    world = kept()
    world.windows.acquire_lease(run.LEASE, "dead", world.clock.ms, world.clock.ms + LEASE_S * 1000)
    # WHEN / THEN
    with pytest.raises(SwerveError, match="try again"):
        erase_from(world)
    world.clock.advance(LEASE_S)
    assert erase_from(world).anything


def test_partials_of_a_file_that_is_being_read_stay_whole() -> None:
    # GIVEN the function died, or is about to write the manifest
    world = kept()
    known = set(world.windows.batches)

    def dies(*_: object) -> bool:
        raise Crash

    world.windows.put_manifest = dies  # type: ignore[method-assign] - the call that is not reached
    with pytest.raises(Crash):
        deliver(world, "events/dying.csv", csv_of(EVENTS.take(slice(0, None, 5))))
    del world.windows.put_manifest
    orphans = {key for key in world.windows.stored if key[2] not in known}
    mine = {key for key in orphans if f"partial {key}" in set(traces(world, USER))}
    assert mine
    # WHEN a message waits
    report = erase_from(copy.deepcopy(world), waiting=1)
    # THEN
    assert (report.unfinished, report.waiting_uploads) == (len(mine), 1)
    # WHEN none waits
    report = erase_from(world)
    # THEN nobody misses them: a redelivery writes them anew
    assert report.unfinished == 0
    assert orphans - mine <= set(world.windows.stored)
    assert list(traces(world, USER)) == []


def test_a_manifest_that_came_while_erasing_counts() -> None:
    # GIVEN a file that is read after the manifests were listed
    world = kept()
    deliver(world, "events/more.csv", csv_of(replace(EVENTS, key=EVENTS.key + np.uint64(9))))
    late = max(world.windows.batches.values(), key=lambda m: m.key)
    listed = [m for m in world.windows.batches.values() if m is not late]
    world.windows.manifests = lambda: iter(listed)  # type: ignore[method-assign] - an older list
    # WHEN
    erase_from(world, waiting=1)
    # THEN
    assert list(traces(world, USER)) == []
    assert world.windows.batches[late.batch_id].erased
