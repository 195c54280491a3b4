from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.domain.event import Events
from swerve.domain.packing import SEGMENT_BYTES, pack, unpack, users_in, without
from swerve.domain.pseudonym import UserTable
from swerve.domain.ranks import NAMED, Ranks

STORED = (
    "5357500203000000020000000068e5cf8b010000e803000101010100010200000002000000010000"
    "000300000002000000000000000500000000000000010000000200000000000000000000004d0000"
    "000000000008000000000000000900000000000000000000000000000000000000000020400000c0"
    "7f0b000000000000000c000000000000000d0000000000000028b52ffd2411890000010201003c01"
    "0a0501000100010002010009055619"
)
U64 = st.integers(0, 2**64 - 1)
ROW = st.tuples(
    st.integers(1, 6),
    U64,
    st.one_of(st.integers(-(2**40), 2**42), st.integers(0, 400).map(lambda s: s * 1000)),
    st.integers(0, 14),
    st.one_of(st.just(0), U64),
    st.one_of(st.just(0), U64),
    st.one_of(st.just(0), U64),
    st.floats(width=32),
)


def events_of(rows: list[tuple]) -> Events:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    return Events(
        user=np.array(columns[0], np.uint64),
        key=np.array(columns[1], np.uint64),
        time_ms=np.array(columns[2], np.int64),
        behaviour=np.array(columns[3], np.uint8),
        category=np.array(columns[4], np.uint64),
        item=np.array(columns[5], np.uint64),
        campaign=np.array(columns[6], np.uint64),
        value=np.array(columns[7], np.float32),
    )


def table_of(users: int, previous: bool = False) -> UserTable:
    ids = np.arange(1, users + 1, dtype=np.uint64)
    return UserTable(ids, (ids * 7).astype(np.uint32), ids * np.uint64(previous))


def assert_same(left: Events, right: Events) -> None:
    for field in fields(Events):
        a, b = getattr(left, field.name), getattr(right, field.name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b, equal_nan=field.name == "value"), field.name


@given(st.lists(ROW, max_size=40, unique_by=lambda row: (row[0], row[1])), st.booleans())
def test_what_is_packed_comes_back(rows: list[tuple], previous: bool) -> None:
    # GIVEN any events
    events, users = events_of(rows), table_of(9, previous)
    # WHEN they are packed and read
    read = [unpack(segment) for segment in pack(events, users)]
    # THEN they are there in canonical order, with the users they need and no others
    assert_same(Events.concatenate([part for part, _ in read]), events.canonical())
    present = UserTable.union([table for _, table in read])
    expected = users.of(events.user)
    for name in ("users", "routing", "previous"):
        assert getattr(present, name).tolist() == getattr(expected, name).tolist()


@given(
    st.lists(ROW, min_size=1, max_size=20, unique_by=lambda row: (row[0], row[1])),
    st.randoms(use_true_random=False),
)
def test_order_does_not_change_the_bytes(rows: list[tuple], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pack(events_of(rows), table_of(6)) == pack(events_of(shuffled), table_of(9))


def random_events(count: int, seed: int) -> Events:
    rng = np.random.default_rng(seed)
    return Events(
        user=rng.integers(1, 4, count).astype(np.uint64),
        key=rng.integers(0, 2**63, count).astype(np.uint64),
        time_ms=rng.integers(0, 2**50, count),
        behaviour=rng.integers(0, 15, count).astype(np.uint8),
        category=rng.integers(0, 2**63, count).astype(np.uint64),
        item=rng.integers(0, 2**63, count).astype(np.uint64),
        campaign=rng.integers(0, 2**63, count).astype(np.uint64),
        value=rng.random(count, np.float32),
    )


def test_segments_stay_under_the_item_limit_even_where_nothing_compresses() -> None:
    events = random_events(40_000, seed=1)
    segments = pack(events, table_of(3))
    assert max(map(len, segments)) <= SEGMENT_BYTES
    assert_same(Events.concatenate([unpack(s)[0] for s in segments]), events.canonical())


@given(st.data())
@settings(max_examples=50)
def test_damage_is_told_never_crashed_on(data: st.DataObject) -> None:
    # GIVEN a segment that was cut or scribbled on
    whole = pack(random_events(50, seed=2), table_of(3))[0]
    cut = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    for damaged in (whole[:cut], whole[:cut] + bytes([byte]) + whole[cut + 1 :]):
        # WHEN it is read
        # THEN it is either refused with a reason, or a flipped byte only changed a value
        try:
            read = len(unpack(damaged)[0])
        except ValueError as told:
            read = 50 * ("damaged" in str(told) or "of another version" in str(told))
        assert read == 50


@given(st.lists(ROW, min_size=1, max_size=20, unique_by=lambda row: (row[0], row[1])))
def test_names_by_rank_give_the_same_bytes_however_many_there_are(rows: list[tuple]) -> None:
    # GIVEN events whose names are places among those of a larger file
    events, users = events_of(rows), table_of(6)
    others = np.array([3, 2**63, 2**64 - 5], np.uint64)
    ranks = Ranks.of({name: np.append(getattr(events, name), others) for name in NAMED})
    places = {name: ranks.of_code[name][: len(events)] for name in NAMED}
    ranked = replace(events, **places)
    # THEN
    assert_same(ranks.spelled(ranked), events)
    assert pack(ranked, users, ranks.keys) == pack(events, users)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("swerve.domain.packing._MANY_NAMES", 0)
        assert pack(ranked, users, ranks.keys) == pack(events, users)


def test_a_user_missing_from_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks users"):
        pack(random_events(10, seed=3), table_of(1))


def test_the_same_events_give_the_same_bytes_every_time() -> None:
    # GIVEN columns of all widths, some that compress and some that do not
    plain, skewed = random_events(9_000, seed=4), random_events(9_000, seed=5)
    skewed.behaviour[1:] = 1
    skewed.time_ms[:] = np.arange(9_000) // 3 * 1000
    users = table_of(3)
    few = random_events(9, seed=6)

    def packed() -> list[list[bytes]]:
        return [pack(events, users) for events in (plain, skewed, few)]

    first = packed()
    # THEN a retry writes them again, whatever was packed before, and in whichever thread
    with ThreadPoolExecutor(4) as threads:
        again = threads.map(lambda _: packed(), range(200))
        assert all(segments == first for segments in again)


def test_a_partial_of_another_version_is_not_called_damaged() -> None:
    older = bytearray(bytes.fromhex(STORED))
    older[3] -= 1
    with pytest.raises(ValueError, match="another version"):
        unpack(bytes(older))


def test_stored_partials_stay_readable() -> None:
    # GIVEN a partial as this version writes it
    stored = bytes.fromhex(STORED)
    # THEN it reads as what it was
    events, users = unpack(stored)
    assert events.user.tolist() == [2, 5, 5]
    assert events.time_ms.tolist() == [1_700_000_001_000, 1_700_000_000_000, 1_700_000_060_000]
    assert events.behaviour.tolist() == [1, 10, 5]
    assert events.category.tolist() == [77, 0, 77]
    assert np.isnan(events.value[0])
    assert events.value[1:].tolist() == [2.5, 0.0]
    assert users.users.tolist() == [2, 5]


@given(
    st.lists(ROW, min_size=1, max_size=40), st.sets(st.integers(1, 6), max_size=3), st.booleans()
)
def test_who_is_taken_out_was_never_there(rows: list[tuple], gone: set[int], renamed: bool):
    # GIVEN
    table, events = table_of(6, renamed), events_of(rows)
    (data,) = pack(events, table)
    users = np.array(sorted(gone), np.uint64)
    theirs = np.isin(events.user, users)
    # WHEN
    left, taken = without(data, users)
    # THEN
    assert left == b"".join(pack(events.take(~theirs), table))
    assert_same(taken, events.take(theirs).canonical())
    assert without(left, users)[0] == left if left else theirs.all()


def test_who_is_in_a_segment_is_read_without_the_events():
    # GIVEN
    table = table_of(6, previous=True)
    rows = [(user, user, 0, 0, 0, 0, 0, 1.0) for user in (2, 5)]
    (data,) = pack(events_of(rows), table)
    # WHEN
    found = users_in(data)
    # THEN
    expected = unpack(data)[1]
    for name in ("users", "routing", "previous"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    with pytest.raises(ValueError, match="damaged"):
        users_in(data[:40])
    with pytest.raises(ValueError, match="another version"):
        users_in(data[:3] + b"\x01" + data[4:])
