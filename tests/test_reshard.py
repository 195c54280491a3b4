"""A stack whose shards were split is a stack that had so many from the start."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve import close, early, plan
from swerve.close import Checkpoint
from swerve.deployed import check_deployed
from swerve.errors import LayoutChanged, Resharding, SwerveError
from swerve.ingest import ingest
from swerve.ledger import ledger
from swerve.ports import LAYOUT
from swerve.reshard import LEASE_S, reshard, survey, task

from tests import ingesting
from tests.closing import (
    EXPIRES_S,
    SETTINGS,
    Closer,
    alerts_of,
    before_last_week,
    history,
    shop,
    upload,
    weeks_of,
)
from tests.fakes import World
from tests.faults import Crash
from tests.resharding import (
    BEFORE,
    Meanwhile,
    assert_same,
    closed_weeks,
    deps_of,
    early_deps_of,
    split,
    under,
)
from tests.test_exactly_once import deliver, uploaded_both


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    users=st.integers(1, 9),
    before=st.sampled_from([1, 2, 4]),
    doublings=st.integers(1, 3),
    weeks=st.integers(1, 6),
    done=st.integers(0, 6),
)
def test_it_is_as_if_there_had_been_so_many_from_the_start(
    seed, users, before, doublings, weeks, done
):
    # GIVEN the same files under few shards and under many, some closed and some not. Everybody acts
    # every week: a shard in which nobody does is, to the network, one of a source without hours
    events = shop(weeks, users, seed, actions=25.0)
    after, files = before << doublings, weeks_of(events)
    few, many = under(World(), before), under(World(), after)
    for closer in (few, many):
        for week in files[:done]:
            upload(closer.world, week, closer.settings)
        closer.close()
        for week in files[done:]:
            upload(closer.world, week, closer.settings)
    # WHEN
    outcome, _ = split(few.world, after, few.settings)
    # THEN at once, and after the next close
    assert outcome.events == outcome.promised == len(events)
    assert outcome.unplaced == 0
    few = under(few.world, after)
    assert_same(few.world, many.world)
    few.close()
    many.close()
    assert_same(few.world, many.world)


def test_users_change_their_minds_as_if_nothing_had_happened():
    # GIVEN a history in which somebody alarms after the split
    few, many = closed_weeks(BEFORE), closed_weeks(8)
    split(few.world, 8)
    few = under(few.world, 8)
    # WHEN
    for closer in (few, many):
        for week in weeks_of(history())[10:]:
            upload(closer.world, week, closer.settings)
        closer.close()
    # THEN
    assert alerts_of(many.world)
    assert_same(few.world, many.world)


def test_a_key_rotated_before_the_split():
    # GIVEN the users of the last weeks have other names; of the first ones no partial is kept
    def renamed(shards: int) -> Closer:
        closer = closed_weeks(shards)
        week = weeks_of(history())[10]
        names = {int(user) ^ 0xABCDEF: int(user) for user in np.unique(week.user)[:5].tolist()}
        new = {old: name for name, old in names.items()}
        users = np.array([new.get(user, user) for user in week.user.tolist()], np.uint64)
        upload(closer.world, replace(week, user=users).canonical(), closer.settings, previous=names)
        closer.close()
        return closer

    few, many = renamed(BEFORE), renamed(4)
    # WHEN
    outcome, _ = split(few.world)
    # THEN
    assert outcome.unplaced == 0
    assert_same(few.world, many.world)


def test_who_has_no_event_left_is_still_remembered():
    # GIVEN all partials have expired
    closer = closed_weeks(BEFORE)
    users = np.unique(history().user).size
    closer.world.windows.stored.clear()
    closer.world.windows.batches.clear()
    # WHEN
    outcome, _ = split(closer.world)
    # THEN
    assert outcome.unplaced == users
    remembered = {
        int(key[-14:-12]): Checkpoint.from_bytes(body).state.users.size
        for key, body in sorted(closer.world.data.files.items())
        if "/shard=" in key
    }
    assert remembered.keys() == {0, 1, 2, 3}
    assert remembered[0] + remembered[2] == users


def test_a_crash_between_any_two_calls_and_a_second_call():
    # GIVEN
    expected = closed_weeks(4, 2).world
    straight = closed_weeks(BEFORE, 2).world
    straight.faults.heal()
    split(straight)
    calls = straight.faults.calls
    assert calls > 60
    for k in range(1, calls + 1):
        world = closed_weeks(BEFORE, 2).world
        world.break_with(crash_at=k)
        with pytest.raises(Crash):
            split(world)
        world.faults.heal()
        world.clock.advance(LEASE_S)
        # WHEN the operator calls again, unless the last call had done all
        if world.windows.state(LAYOUT) == {"shards": 4, "window": "7d", "time_zone": "UTC"}:
            world.windows = world.windows.under(4)
        else:
            split(world)
        # THEN
        assert_same(world, expected, f"call {k}")
        assert not world.windows.layouts[BEFORE], f"call {k}"
        assert not [key for key in world.data.files if key.endswith("of-0002.bin")], f"call {k}"


def test_an_upload_that_comes_meanwhile_is_refused_and_counted_once_when_it_comes_again():
    # GIVEN one file is closed
    world, (first, second) = uploaded_both()
    deliver(world, first)
    Closer(world).close()
    expected = copy.deepcopy(world)
    refused = []

    def arrives():
        with pytest.raises(Resharding, match="2 into 4"):
            deliver(world, second)
        refused.append(second)

    # WHEN the other comes during the split, and again after it
    deps = replace(deps_of(world), deployment=Meanwhile(arrives))
    reshard(deps, task(deps), "operator", lambda _: None)
    closer = under(world, 4)
    ingest(second, ingesting.deps_of(world, closer.settings))
    closer.close()
    # THEN it is as if it had come after the split
    assert refused
    split(expected)
    ingest(second, ingesting.deps_of(expected, closer.settings))
    under(expected, 4).close()
    assert_same(world, expected)
    assert ledger(world.windows, world.data, SETTINGS.windows).waiting == 0


@pytest.mark.parametrize("until", ["begun", "done"])
def test_an_upload_that_is_half_way_when_it_begins_leaves_nothing_that_counts(until, monkeypatch):
    # GIVEN a function that has written partials for the old count, and is about to say so
    world, (first, second) = uploaded_both()
    deliver(world, first)
    Closer(world).close()
    old, put = world.windows, world.windows.put_manifest

    def late(*arguments):
        monkeypatch.setattr(old, "put_manifest", put)
        if until == "done":
            split(world)
        else:
            world.break_with(crash_at=12)
            with pytest.raises(Crash):
                split(world)
            world.faults.heal()
        return put(*arguments)

    monkeypatch.setattr(old, "put_manifest", late)
    # WHEN the shards are split just then
    with pytest.raises(LayoutChanged):
        ingest(second, ingesting.deps_of(world, SETTINGS))
    if until == "begun":
        split(world)
    # THEN the redelivery, by a function with the new count, is the only one that counts
    closer = under(world, 4)
    assert len(world.windows.batches) == 1
    ingest(second, ingesting.deps_of(world, closer.settings))
    closer.close()
    many = under(World(), 4)
    for uploaded, body in world.uploads.objects.items():
        many.world.uploads.objects[uploaded] = body
        ingest(uploaded, ingesting.deps_of(many.world, many.settings))
        many.close()
    assert_same(world, many.world)


def test_closes_do_nothing_meanwhile_and_early_notices_wait():
    # GIVEN a window to close
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    said = []

    def asked():
        said.append(plan.plan(closer.deps, "execution")["next"])
        with pytest.raises(Resharding):
            early.notice(early_deps_of(closer), 0)

    deps = replace(deps_of(closer.world), deployment=Meanwhile(asked))
    # WHEN
    reshard(deps, task(deps), "operator", lambda _: None)
    # THEN
    assert said == ["nothing"]
    assert [json.loads(body)["shard"] for body in closer.world.score_queue.bodies] == [0, 1, 2, 3]
    assert under(closer.world, 4).close() == 1


def test_a_split_between_two_calls_of_plan_leaves_nothing_to_do(monkeypatch):
    # GIVEN plan has looked at the layout, and not yet taken the lease
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    old, deps, watermarks = closer.world.windows, closer.deps, closer.world.windows.watermarks

    def late():
        monkeypatch.setattr(old, "watermarks", watermarks)
        split(closer.world)
        return watermarks()

    monkeypatch.setattr(old, "watermarks", late)
    # WHEN / THEN
    assert plan.plan(deps, "execution")["next"] == "nothing"
    assert under(closer.world, 4).close("another") == 1


def test_a_close_that_runs_is_not_disturbed():
    # GIVEN
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(closer.deps, "execution")
    # WHEN / THEN
    with pytest.raises(SwerveError, match="in use: a close is running"):
        split(closer.world)
    closer.run(answer["run"], answer["shards"], "execution")
    split(closer.world)


def test_who_is_silent_too_long_is_replaced_and_stops():
    # GIVEN a call that sleeps after its first shard, while another does the work
    closer = closed_weeks(BEFORE)
    expected = closed_weeks(4).world
    deps = deps_of(closer.world)

    def sleeps(_):
        closer.world.clock.advance(LEASE_S)
        split(closer.world, owner="other")

    # WHEN / THEN
    with pytest.raises(SwerveError, match="took over"):
        reshard(deps, task(deps), "sleeper", sleeps)
    assert_same(closer.world, expected)


def test_score_says_how_many_users_a_shard_has_for_the_alarm():
    # GIVEN
    closer = before_last_week()
    closer.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(closer.deps, "execution")
    for shard in range(answer["shards"]):
        close.merge(closer.deps, answer["run"], shard)
    close.population(closer.deps, answer["run"])
    # WHEN
    users = [close.score(closer.deps, answer["run"], shard) for shard in range(answer["shards"])]
    # THEN
    assert sum(users) == np.unique(history().user).size


def test_functions_of_the_old_count_are_refused_afterwards():
    # GIVEN
    closer = closed_weeks(BEFORE)
    # WHEN
    split(closer.world)
    # THEN
    with pytest.raises(LayoutChanged, match="shards=4"):
        check_deployed(closer.world.windows, SETTINGS)
    check_deployed(closer.world.windows, replace(SETTINGS, shard_count=4))


def test_what_a_crashed_upload_left_is_not_taken_along():
    # GIVEN partials without a manifest
    closer = closed_weeks(BEFORE)
    crashed = next(iter(closer.world.windows.stored.values()))
    closer.world.windows.put_partials([replace(crashed, batch_id="crashed")], EXPIRES_S)
    # WHEN
    split(closer.world)
    # THEN
    assert "crashed" not in {key[2] for key in closer.world.windows.stored}
    assert not closer.world.windows.layouts[BEFORE]


def test_a_survey_says_what_would_be_and_writes_nothing():
    # GIVEN
    world, expected = closed_weeks(BEFORE).world, closed_weeks(BEFORE).world
    # WHEN
    deps = deps_of(world)
    portions = list(survey(deps, task(deps, 8)))
    # THEN
    assert_same(world, expected)
    assert world.data.files == expected.data.files
    _, done = split(world, 8)
    assert portions == done
    assert [list(portion.after) for portion in portions] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for portion in portions:
        after = portion.after.values()
        assert portion.held.users == sum(size.users for size in after)
        assert portion.held.events == sum(size.events for size in after)
    stored = world.windows.stored.values()
    assert sum(size.items for portion in done for size in portion.after.values()) == len(stored)


@pytest.mark.parametrize(
    ("stored", "to", "reason"),
    [
        (4, 6, "no power of two.*8, 16, 32"),
        (4, 0, "no power of two"),
        (4, 2, "never joined"),
        (4, 2048, "1024 at most"),
        (1024, None, "2048 shards are too many"),
    ],
)
def test_what_cannot_be_is_refused(stored, to, reason):
    # GIVEN
    deps = deps_of(World(), replace(SETTINGS, shard_count=stored))
    # WHEN / THEN
    with pytest.raises(SwerveError, match=reason):
        task(deps, to)


def test_what_was_begun_comes_first():
    # GIVEN
    world = closed_weeks(BEFORE).world
    world.break_with(crash_at=20)
    with pytest.raises(Crash):
        split(world, 8)
    world.faults.heal()
    # WHEN / THEN
    with pytest.raises(SwerveError, match="2 into 8 shards was begun"):
        task(deps_of(world), 4)
    assert task(deps_of(world)).is_begun
    split(world, 8)
    assert task(deps_of(world), 8) is None
    assert not task(deps_of(world)).is_begun
