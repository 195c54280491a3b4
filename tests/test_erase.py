"""Erasing a customer: nothing of them is left, nothing of anybody else changes, and it can fail."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve import plan, run
from swerve.domain.pseudonym import Keyring, subject_of
from swerve.erase import LEASE_S, Place, Report, erase, survey
from swerve.errors import SwerveError, TransientFault
from swerve.ledger import ledger
from swerve.person import Records, find

from tests.closing import Closer, alerts_of, shop, state_of, upload
from tests.erasing import (
    EVENTS,
    IDS,
    OTHER,
    SETTINGS,
    WHO,
    bodies,
    csv_of,
    deliver,
    erase_deps,
    erase_from,
    kept,
    others_in,
    payload_subjects,
    person_of,
    tell_all,
    traces,
    user_of,
)
from tests.fakes import Crash, World
from tests.ingesting import KEYRING, SECRET

USER = user_of(WHO)
ROWS = int((EVENTS.user == np.unique(EVENTS.user)[IDS.index(WHO)]).sum())


@cache
def _erased() -> tuple[World, Report]:
    world = kept()
    return world, erase_from(world)


def erased() -> World:
    return copy.deepcopy(_erased()[0])


def balance(world: World):
    found = ledger(world.windows, world.data, SETTINGS.windows)
    assert found.balanced
    return found


def same(one: World, other: World) -> bool:
    stores = [
        (w.windows.stored, w.windows.batches, w.data.files, w.data.old, w.alerts.rows)
        for w in (one, other)
    ]
    return stores[0] == stores[1]


def test_nothing_of_the_customer_is_left() -> None:
    # GIVEN
    world = kept()
    before = {place.split("/")[0].split(" ")[0] for place in traces(world, USER)}
    assert before >= {"partial", "checkpoints", "selection", "alert", "quarantine", "outbox"}
    page = next(row for row in world.alerts.rows.values() if subject_of(USER) in row.subject_kind)
    assert f"pages/{page.alert_id}.html" in world.data.files
    # WHEN
    report = erase_from(world)
    # THEN
    assert list(traces(world, USER)) == []
    assert f"pages/{page.alert_id}.html" not in world.data.files
    assert not [key for key in world.data.files if key.startswith("runs/")]
    assert report.found[Place.EVENTS] > ROWS  # some came in both files
    assert all(report.found[place] for place in Place)
    assert (report.batches, report.told) == (2, report.found[Place.ALERTS])
    assert [found.key for found in report.uploads] == ["events/0.csv", "events/1.csv"]


def test_nothing_of_anybody_else_changes() -> None:
    # GIVEN
    before, after = kept(), erased()
    # THEN what is remembered of the others is the same, bit by bit
    mine, others = others_in(before, USER), others_in(after, USER)
    assert mine.keys() == others.keys()
    for key, columns in mine.items():
        assert columns.keys() == others[key].keys()
        for name, column in columns.items():
            assert column.tobytes() == others[key][name].tobytes(), (key, name)
    # and their alerts, pages, messages, refused rows
    who = subject_of(USER)
    assert after.alerts.rows == {k: r for k, r in before.alerts.rows.items() if who not in k[1]}
    assert subject_of(user_of(OTHER)) in payload_subjects(after)
    assert set(traces(after, user_of(OTHER))) == {
        place for place in traces(before, user_of(OTHER)) if not place.startswith("runs/")
    }


def test_the_partials_are_those_of_files_without_the_customer() -> None:
    # GIVEN the same files without these rows
    never, user = World(), np.unique(EVENTS.user)[IDS.index(WHO)]
    place = np.arange(len(EVENTS)) % 3
    for n, missing in enumerate((0, 2)):
        rows = (place != missing) & (EVENTS.user != user)
        deliver(never, f"events/{n}.csv", csv_of(EVENTS.take(rows), (WHO, OTHER)))
    ids = {m.key: m.batch_id for m in never.windows.batches.values()}
    names = {m.batch_id: ids[m.key] for m in erased().windows.batches.values()}
    # THEN
    assert {
        (shard, window, names[batch], segment): item.data
        for (shard, window, batch, segment), item in erased().windows.stored.items()
    } == {key: item.data for key, item in never.windows.stored.items()}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(range(4)))
def test_erased_and_closed_anew_is_never_uploaded(seed: int, who: int) -> None:
    # GIVEN a shop, and the same one without a user
    events = shop(8, users=4, seed=seed, changed=1)
    user = np.unique(events.user)[who]
    world, never = World(), World()
    for part in (slice(0, None, 2), slice(1, None, 2)):
        upload(world, events.take(part))
        rows = np.zeros(len(events), np.bool_)
        rows[part] = True
        upload(never, events.take(rows & (events.user != user)))
    Closer(world).close()
    # WHEN
    where = Records(SETTINGS, world.windows, world.data)
    erase(erase_deps(world), find(where, np.array([user], np.uint64), range(2)), "erasing")
    # and all is closed anew, as docs/operations.md says how
    world.data.files.clear()
    world.windows.states.pop(run.PROGRESS)
    world.windows.raise_dirty(list(world.windows.counters))
    Closer(world).close()
    Closer(never).close()
    # THEN
    ours, theirs = state_of(world), state_of(never)
    assert ours.pop(run.LEDGER_KEY) != theirs.pop(run.LEDGER_KEY)
    assert ours == theirs
    assert sorted(alerts_of(world)) == sorted(alerts_of(never))


def test_the_ledger_balances_before_and_after_the_next_close() -> None:
    # GIVEN
    before, world = balance(kept()), erased()
    gone = _erased()[1].found[Place.EVENTS]
    # THEN
    after = balance(world)
    assert (after.rows, after.packed, after.rejected) == (
        before.rows,
        before.packed,
        before.rejected,
    )
    assert (after.erased, after.unique) == (gone, before.unique - ROWS)
    assert after.duplicates_across == before.duplicates_across - (gone - ROWS)
    # WHEN every window is closed again
    world.windows.raise_dirty([min(world.windows.counters)])
    assert balance(world).waiting
    Closer(world, SETTINGS).close()
    # THEN
    assert balance(world) == after


def test_others_are_erased_as_well_and_the_counts_add_up() -> None:
    # GIVEN
    world = erased()
    one = balance(world).erased
    # WHEN
    report = erase_from(world, OTHER)
    # THEN
    assert balance(world).erased == one + report.found[Place.EVENTS]
    assert balance(world).unique == len(EVENTS) - sum(
        int((EVENTS.user == np.unique(EVENTS.user)[IDS.index(who)]).sum()) for who in (WHO, OTHER)
    )


def test_the_last_customer_leaves_an_empty_stack() -> None:
    # GIVEN
    world = kept()
    # WHEN
    for user_id in IDS:
        erase_from(world, user_id)
    # THEN
    assert world.windows.stored == {}
    assert balance(world).erased == balance(world).packed
    # and it closes on
    world.windows.raise_dirty([min(world.windows.counters)])
    assert Closer(world, SETTINGS).close() == 1
    assert balance(world).unique == 0


def test_a_dry_run_changes_nothing_and_says_the_same() -> None:
    # GIVEN
    world = kept()
    # WHEN
    report = survey(erase_deps(world), person_of(world))
    # THEN
    assert same(world, kept())
    assert world.windows.leases == {}
    assert report == _erased()[1]


def test_erasing_again_finds_nothing() -> None:
    # GIVEN
    world = erased()
    # WHEN
    report = erase_from(world)
    # THEN
    assert not report.anything
    assert same(world, erased())
    # the uploads are named as long as they are there
    assert [found.key for found in report.uploads] == ["events/0.csv", "events/1.csv"]


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
    with pytest.raises(SwerveError, match="a close or another erasure is at work"):
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


def test_the_same_file_does_not_bring_the_customer_back() -> None:
    # GIVEN
    world = erased()
    # WHEN
    for n, body in enumerate(bodies()):
        deliver(world, f"events/again-{n}.csv", body)
    assert Closer(world, SETTINGS).close() == 0
    # THEN
    assert list(traces(world, USER)) == []
    # and the second upload is named as well
    uploads = erase_from(world).uploads
    assert {found.key for found in uploads} >= {"events/again-0.csv", "events/0.csv"}


def test_a_new_file_is_a_new_customer_known_from_nothing() -> None:
    # GIVEN
    world = erased()
    week = EVENTS.take(SETTINGS.windows.window_of(EVENTS.time_ms) == max(world.windows.counters))
    later = replace(week, time_ms=week.time_ms + 7 * 86_400_000, key=week.key + np.uint64(5))
    # WHEN
    deliver(world, "events/later.csv", csv_of(later))
    Closer(world, SETTINGS).close()
    tell_all(world)
    # THEN
    (partial,) = [place for place in traces(world, USER) if place.startswith("partial")]
    assert str(max(world.windows.counters)) in partial
    states = [place for place in traces(world, USER) if place.startswith("checkpoints")]
    assert len(states) == 1
    assert subject_of(USER) not in payload_subjects(world)
    balance(world)


def test_a_customer_is_followed_through_rotations_of_the_key() -> None:
    # GIVEN the key changed twice, and the first one is forgotten
    second = Keyring.rotated(SECRET, "the second secret of all")
    forgotten = json.dumps({k: v for k, v in json.loads(second).items() if k != "previous"})
    third = Keyring.rotated(forgotten, "the third secret of all")
    world, weeks = World(), SETTINGS.windows.window_of(EVENTS.time_ms)
    first, *_, last = np.unique(weeks)
    rings = [KEYRING, Keyring.parse(second), Keyring.parse(third)]
    bounds = [first, first + 28, first + 56, last + 7]
    for n, keyring in enumerate(rings):
        rows = (weeks >= bounds[n]) & (weeks < bounds[n + 1])
        deliver(world, f"events/{n}.csv", csv_of(EVENTS.take(rows), (WHO,)), keyring)
        Closer(world).close()
    names = [user_of(WHO, keyring) for keyring in rings]
    assert all(any(traces(world, name)) for name in names)
    # WHEN by the id, or by a pseudonym that is two rotations old
    for world_, person in [
        (by_id := copy.deepcopy(world), person_of(world, WHO, rings[-1])),
        (
            by_name := copy.deepcopy(world),
            find(
                Records(SETTINGS, world.windows, world.data),
                np.array(names[:1], np.uint64),
                range(SETTINGS.shard_count),
            ),
        ),
    ]:
        assert set(person.users.tolist()) == set(names)
        erase(erase_deps(world_), person, "erasing")
    # THEN
    assert not [place for name in names for place in traces(by_id, name)]
    assert same(by_id, by_name)
    balance(by_id)


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


def test_who_is_not_there_is_not_found() -> None:
    world = kept()
    report = survey(erase_deps(world), person_of(world, "nobody"))
    assert not report.anything
    assert person_of(world, "nobody").shards == ()
