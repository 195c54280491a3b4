"""Erasing a customer: nothing of them is left, nothing of anybody else changes, and it can fail."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve import run
from swerve.domain.pseudonym import Keyring, subject_of
from swerve.erase import Place, erase, survey
from swerve.person import Records, find

from tests.closing import Closer, alerts_of, shop, state_of, upload
from tests.erasing import (
    EVENTS,
    IDS,
    OTHER,
    SETTINGS,
    USER,
    WHO,
    balance,
    bodies,
    csv_of,
    deliver,
    erase_deps,
    erase_from,
    erased,
    first_report,
    kept,
    others_in,
    payload_subjects,
    person_of,
    same,
    tell_all,
    traces,
    user_of,
)
from tests.fakes import World
from tests.ingesting import KEYRING, SECRET

ROWS = int((EVENTS.user == np.unique(EVENTS.user)[IDS.index(WHO)]).sum())


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
    gone = first_report().found[Place.EVENTS]
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
    assert report == first_report()


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


def test_who_is_not_there_is_not_found() -> None:
    world = kept()
    report = survey(erase_deps(world), person_of(world, "nobody"))
    assert not report.anything
    assert person_of(world, "nobody").shards == ()
