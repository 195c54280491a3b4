"""Erasing and splitting shards: in either order, one after the other, one amid the other."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve import run
from swerve.domain.pseudonym import Keyring
from swerve.domain.shard import shard_of
from swerve.erase import LEASE_S, Place, erase, survey
from swerve.errors import LayoutChanged, Resharding, SwerveError, TransientFault
from swerve.person import Records, find
from swerve.ports import LAYOUT
from swerve.reshard import reshard, task

from tests.closing import Closer, alerts_of, shop, state_of, upload
from tests.erasing import (
    EVENTS,
    IDS,
    SETTINGS,
    USER,
    WHO,
    balance,
    csv_of,
    deliver,
    erase_deps,
    erase_from,
    erased,
    kept,
    others_in,
    person_of,
    same,
    settings_of,
    traces,
    user_of,
)
from tests.fakes import World
from tests.faults import Crash
from tests.ingesting import KEYRING, SECRET
from tests.resharding import Meanwhile, deps_of, split, under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.domain.event import Events
    from swerve.domain.manifest import Manifest

WEEK_MS = 7 * 86_400_000


@cache
def _split_kept() -> World:
    world = kept()
    split(world)
    return world


def split_kept() -> World:
    """Eight customers in four shards that were two."""
    return copy.deepcopy(_split_kept())


@cache
def _split_then_erased() -> World:
    world = split_kept()
    erase_from(world)
    return world


def split_then_erased() -> World:
    """Seven of them."""
    return copy.deepcopy(_split_then_erased())


def batches_of(world: World) -> Sequence[Manifest]:
    """Manifests without how many partials were written: later ones of nobody are not."""
    return [replace(m, shards=(), segments=0) for m in world.windows.manifests()]


def assert_alike(one: World, other: World, note: str = "") -> None:
    """Whether two stacks hold the same, apart from old versions."""
    assert one.windows.stored == other.windows.stored, note
    assert batches_of(one) == batches_of(other), note
    assert one.windows.states == other.windows.states, note
    assert one.data.files == other.data.files, note
    assert one.alerts.rows == other.alerts.rows, note
    assert balance(one) == balance(other), note


def test_either_order_leaves_the_same_and_nothing_of_the_customer() -> None:
    # GIVEN
    first, then = erased(), split_kept()
    old = [place for place in traces(then, USER) if place.endswith("-of-0002.bin")]
    assert old  # the bucket keeps for a week what the split deleted
    # WHEN
    outcome, _ = split(first)
    report = erase_from(then)
    # THEN
    assert outcome.events == outcome.promised == balance(first).packed - balance(first).erased
    assert list(traces(first, USER)) == list(traces(then, USER)) == []
    assert balance(first).erased == report.found[Place.EVENTS] == balance(erased()).erased
    assert_alike(first, then)


def test_what_is_remembered_of_others_is_what_the_split_gave_them() -> None:
    expected, found = others_in(split_kept(), USER), others_in(split_then_erased(), USER)
    assert expected.keys() == found.keys()
    for key, columns in expected.items():
        for name, column in columns.items():
            assert column.tobytes() == found[key][name].tobytes(), (key, name)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    who=st.sampled_from(range(4)),
    to=st.sampled_from([4, 8]),
    erase_first=st.booleans(),
)
def test_closed_anew_it_is_as_if_never_uploaded(
    seed: int, who: int, to: int, erase_first: bool
) -> None:
    # GIVEN a shop, and the same one without a user and with many shards from the start
    events = shop(8, users=4, seed=seed, changed=1)
    user = np.unique(events.user)[who]
    few, never = under(World(), 2), under(World(), to)
    for part in (slice(0, None, 2), slice(1, None, 2)):
        rows = np.zeros(len(events), np.bool_)
        rows[part] = True
        upload(few.world, events.take(rows), few.settings)
        upload(never.world, events.take(rows & (events.user != user)), never.settings)
    few.close()
    world = few.world

    def erase_user() -> None:
        now = settings_of(world)
        where = Records(now, world.windows, world.data)
        person = find(where, np.array([user], np.uint64), range(now.shard_count))
        erase(erase_deps(world), person, "erasing")

    # WHEN
    steps = [lambda: split(world, to), erase_user]
    for step in reversed(steps) if erase_first else steps:
        step()
    assert list(traces(world, int(user))) == []
    # and all is closed anew
    world.data.files.clear()
    world.windows.states.pop(run.PROGRESS)
    world.windows.raise_dirty(list(world.windows.counters))
    under(world, to).close()
    never.close()
    # THEN
    ours, theirs = state_of(world), state_of(never.world)
    assert ours.pop(run.LEDGER_KEY) != theirs.pop(run.LEDGER_KEY)
    assert ours == theirs
    assert sorted(alerts_of(world)) == sorted(alerts_of(never.world))
    assert balance(world).waiting == 0


def calls_of_split() -> int:
    world = kept()
    split(world)
    return world.faults.calls


def test_while_a_split_is_half_done_nothing_is_erased() -> None:
    # GIVEN
    expected, seen = split_then_erased(), set()
    for k in range(2, calls_of_split(), 13):
        world = kept()
        world.break_with(crash_at=k)
        with pytest.raises(Crash):
            split(world)
        world.faults.heal()
        world.clock.advance(LEASE_S * 2)
        layout = world.windows.state(LAYOUT)
        assert layout is not None
        if len(layout) == len(SETTINGS.layout):
            continue  # it had not begun, or was done
        seen |= layout.keys()
        if "from" in layout:
            world.windows = world.windows.under(4)  # the functions have the new count
        before = copy.deepcopy(world)
        # WHEN / THEN neither tells nor erases, and says the way out
        for attempt in (survey_of, erase_from):
            with pytest.raises(Resharding, match="run it again where it was interrupted"):
                attempt(world)
        assert same(world, before), k
        # AND the way out is one: the lease is free
        split(world, settings=replace(SETTINGS, shard_count=2))
        erase_from(world)
        assert list(traces(world, USER)) == [], k
        assert_alike(world, expected, f"call {k}")
    assert seen >= {"to", "from"}


def survey_of(world: World) -> None:
    survey(erase_deps(world), person_of(world))


def test_a_split_since_the_settings_were_read_is_noticed() -> None:
    # GIVEN an eraser that looked the customer up before
    world = kept()
    deps, person = erase_deps(world), person_of(world)
    split(world)
    # WHEN / THEN
    with pytest.raises(LayoutChanged, match="run the same command again"):
        erase(deps, person, "erasing")
    assert erase_from(world).found[Place.EVENTS]


def test_each_waits_for_the_other() -> None:
    # GIVEN a split that is at work
    world = kept()
    asked = []

    def erases() -> None:
        with pytest.raises(SwerveError, match="a close, a split or another erasure is at work"):
            erase_from(world)
        asked.append("erase")

    deps = replace(deps_of(world), deployment=Meanwhile(erases))
    reshard(deps, task(deps), "operator", lambda _: None)
    # AND an erasure that is at work
    world = kept()
    put = world.eraser.put

    def put_and_split(key: str, body: bytes, content_type: str) -> None:
        with pytest.raises(SwerveError, match="in use: a close is running, a `swerve erase`"):
            split(world)
        asked.append("split")
        put(key, body, content_type)

    world.eraser.put = put_and_split  # type: ignore[method-assign] - the operator's colleague
    # WHEN
    erase_from(world)
    # THEN
    assert set(asked) == {"erase", "split"}
    del world.eraser.put
    assert same(world, erased())


def test_an_erasure_that_slept_while_shards_were_split_writes_nothing_more() -> None:
    # GIVEN
    world = kept()
    keys = world.data.keys
    deps, person = erase_deps(world), person_of(world)

    def sleeps(prefix: str) -> object:
        if prefix == "checkpoints/":
            world.data.keys = keys  # type: ignore[method-assign] - once
            world.clock.advance(LEASE_S)
            split(world)
        return keys(prefix)

    world.data.keys = sleeps  # type: ignore[method-assign] - the lid of a laptop is closed
    # WHEN
    with pytest.raises(SwerveError, match="stood still for longer"):
        erase(deps, person, "erasing")
    # THEN no checkpoint of two shards is there again, and another call goes on
    assert not [key for key in world.data.files if key.endswith("-of-0002.bin")]
    erase_from(world)
    assert list(traces(world, USER)) == []
    assert_alike(world, split_then_erased())


def test_a_partial_is_not_replaced_once_a_split_has_begun() -> None:
    # GIVEN an eraser that is about to write, and a split that has copied the partial
    world = kept()
    replace_partial = world.eraser.replace_partial

    def late(*arguments: object) -> None:
        found = world.windows.states[LAYOUT]
        world.windows.states[LAYOUT] = found | {"to": 4}
        replace_partial(*arguments)  # type: ignore[arg-type] - passed on

    world.eraser.replace_partial = late  # type: ignore[method-assign] - a slow port
    before = copy.deepcopy(world.windows.stored)
    # WHEN / THEN
    with pytest.raises(TransientFault):
        erase_from(world)
    assert world.windows.stored == before


@pytest.mark.parametrize("known_elsewhere", [True, False])
def test_what_a_function_slower_than_the_split_wrote_goes_too(known_elsewhere: bool) -> None:
    # GIVEN partials under the old count, of a batch that came again or never did
    world = split_kept() if known_elsewhere else split_then_erased()
    late = kept().windows.stored
    world.windows.layouts[2].update(late)
    expected = split_then_erased()
    # WHEN
    told = survey(erase_deps(world), person_of(world))
    report = erase_from(world)
    # THEN
    assert list(traces(world, USER)) == []
    assert told == report
    assert report.found[Place.EVENTS]
    assert_alike(world, expected)  # the ledger counts what exists, only
    assert world.windows.layouts[2].keys() < late.keys()  # those of others expire


def test_whom_the_split_could_not_place_is_found_and_followed_by_every_name() -> None:
    # GIVEN customers who were renamed, of whom no event is left: they stay in the first of two
    second = Keyring.rotated(SECRET, "the second secret of all")
    third = Keyring.rotated(second, "the third secret of all")
    forgotten = json.dumps({k: v for k, v in json.loads(third).items() if k != "previous"})
    rings = [KEYRING, Keyring.parse(second), Keyring.parse(third)]
    world = kept()
    deliver(world, "events/second.csv", csv_of(last_week(1)), rings[1])
    Closer(world, SETTINGS).close()
    world.windows.stored.clear()
    world.windows.batches.clear()
    split(world)
    active = np.searchsorted(np.unique(EVENTS.user), np.unique(last_week(2).user))
    user_id = next(IDS[n] for n in active if shard_now(world, IDS[n]) % 2)
    (first,) = person_of(world, user_id, rings[1]).shards
    assert first == shard_now(world, user_id) - 1
    # AND one comes back under a third key to where they belong, and the second is forgotten
    deliver(world, "events/third.csv", csv_of(last_week(2)), rings[2])
    names = [user_of(user_id, ring) for ring in rings]
    # WHEN
    person = person_of(world, user_id, Keyring.parse(forgotten))
    # THEN what the one shard knows leads on in the other
    assert set(person.users.tolist()) == set(names)
    assert person.shards == (first, first + 1)
    erase(erase_deps(world), person, "erasing")
    assert not [place for name in names for place in traces(world, name)]


def last_week(on: int) -> Events:
    """The last week of the shop, so many weeks later."""
    weeks = SETTINGS.windows.window_of(EVENTS.time_ms)
    week = EVENTS.take(weeks == weeks.max())
    return replace(week, time_ms=week.time_ms + on * WEEK_MS, key=week.key + np.uint64(on))


def shard_now(world: World, user_id: str) -> int:
    routing = KEYRING.pseudonyms([user_id]).routing
    return int(shard_of(routing, world.windows.shard_count)[0])


def test_nobody_found_leaves_old_versions_alone() -> None:
    # GIVEN
    world = split_kept()
    before = [key for key, _ in world.data.old if key.startswith("checkpoints/")]
    assert before
    # WHEN
    erase_from(world, "nobody")
    # THEN
    assert [key for key, _ in world.data.old if key.startswith("checkpoints/")] == before


def test_more_splits_and_erasures_one_after_the_other() -> None:
    # GIVEN
    one, other = kept(), kept()
    # WHEN
    erase_from(one, IDS[0])
    for user_id in (IDS[1], WHO):
        split(one, settings=settings_of(one))
        erase_from(one, user_id)
    for user_id in (WHO, IDS[1], IDS[0]):
        erase_from(other, user_id)
    split(other, 8)
    # THEN
    assert_alike(one, other)
    for user_id in (IDS[0], IDS[1], WHO):
        assert list(traces(one, user_of(user_id))) == []
