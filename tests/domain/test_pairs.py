from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from swerve.domain.pairs import FLOOR, PairTable
from swerve.domain.totals import WEEKLY_DECAY

WINDOW = 14_000
KEYS = np.arange(30, dtype=np.uint64)


def walked(seed: int, weeks: int = 30):
    """A table, and the same kept in dicts."""
    rng = np.random.default_rng(seed)
    table, counts = PairTable.empty(8, 1, 50), []
    names = np.arange(50, dtype=np.uint64)
    for week in range(weeks):
        drawn = rng.integers(0, 50, 80), rng.integers(1, 30, 80)
        pairs = sorted(set(zip(*(d.tolist() for d in drawn), strict=True)))
        count = rng.integers(1, 5, len(pairs))
        user = np.array([u for u, _ in pairs], np.int32)
        key = np.array([k for _, k in pairs], np.int32)
        found = (user, key, count[:, None].astype(np.int32))
        season = (np.arange(1, 30, dtype=np.uint64), np.ones(29))
        table = table.advance(WINDOW + 7 * week, 7, names, found, KEYS, season)
        counts.append(dict(zip(pairs, count.tolist(), strict=True)))
    return table, counts


def test_table_holds_what_a_dict_would():
    # GIVEN / WHEN
    table, counts = walked(1)
    # THEN the ring is exact
    recent = defaultdict(int)
    for week in counts[-8:]:
        for pair, count in week.items():
            recent[pair] += count
    pairs = list(zip(table.user.tolist(), table.keys[table.key].tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert dict(zip(pairs, table.recent()[:, 0].tolist(), strict=True)) == {
        p: recent.get(p, 0) for p in pairs
    }
    # AND the decayed past is right within its rounding
    past = defaultdict(float)
    for week in counts[:-8]:
        for pair in past:
            past[pair] *= WEEKLY_DECAY
        for pair, count in week.items():
            past[pair] += count
    for pair, value in zip(pairs, table.past(0).tolist(), strict=True):
        assert value == pytest.approx(past.get(pair, 0.0), rel=0.15, abs=2 * FLOOR)
    assert set(past) <= set(pairs)


def test_rounding_does_not_drift():
    """A habit of one a week must settle near its true sum, 1 / (1 - decay)."""
    table = PairTable.empty(8, 1, 200)
    users = np.arange(200, dtype=np.int32)
    names = users.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    one = (users, np.ones(200, np.int32), np.ones((200, 1), np.int32))
    season = (np.ones(1, np.uint64), np.ones(1))
    for week in range(300):
        table = table.advance(WINDOW + 7 * week, 7, names, one, KEYS, season)
    assert table.past(0).mean() == pytest.approx(1 / (1 - WEEKLY_DECAY), rel=0.03)


def test_forgotten_pairs_leave():
    table, _ = walked(2, weeks=3)
    nothing = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 1), np.int32))
    names = np.arange(50, dtype=np.uint64)
    for week in range(3, 420):
        season = (np.arange(1, 30, dtype=np.uint64), np.ones(29))
        table = table.advance(WINDOW + 7 * week, 7, names, nothing, KEYS, season)
    assert table.user.size == 0


@pytest.mark.parametrize(("least", "weeks"), [(0.5, 42), (0.2, 87)])
def test_one_deed_is_remembered_until_little_of_it_is_left(least, weeks):
    # GIVEN a deed of the first week
    once = (np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones((1, 1), np.int32))
    nothing = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 1), np.int32))
    names, season = np.zeros(1, np.uint64), (np.ones(1, np.uint64), np.ones(1))
    table, known = PairTable.empty(8, 1, 1), []
    # WHEN
    for week in range(120):
        found = nothing if week else once
        table = table.advance(WINDOW + 7 * week, 7, names, found, KEYS, season, least)
        known.append(table.user.size > 0)
    # THEN rounding and pruning every other week move the end a little
    assert known.index(False) == pytest.approx(weeks, abs=5)
    assert not any(known[known.index(False) :])


@pytest.mark.parametrize("weeks", [0, 1, 30])
def test_what_is_stored_comes_back_row_by_row(weeks):
    # GIVEN two kinds of count, users without a pair, and windows without one
    rng = np.random.default_rng(weeks)
    table, names = PairTable.empty(8, 2, 40), np.arange(40, dtype=np.uint64)
    for week in range(weeks):
        pairs = np.unique(rng.integers(0, 300, 0 if week % 5 == 0 else 60))
        user, key = (pairs // 10).astype(np.int32), (pairs % 10).astype(np.int32)
        count = rng.integers(0, 300, (pairs.size, 2)).astype(np.int32)
        season = (np.arange(10, dtype=np.uint64), rng.uniform(0.5, 2.0, 10))
        table = table.advance(WINDOW + 7 * week, 7, names, (user, key, count), KEYS, season)
    # WHEN
    back = PairTable.from_arrays("x", table.arrays("x"))
    # THEN
    for name in ("keys", "user", "key", "code"):
        assert np.array_equal(getattr(back, name), getattr(table, name))
        assert getattr(back, name).dtype == getattr(table, name).dtype
    for mine, theirs in zip(back.ring, table.ring, strict=True):
        assert np.array_equal(mine.rows, theirs.rows)
        assert np.array_equal(mine.count, theirs.count)


def test_bytes_and_subsets_and_permutations():
    table, _ = walked(4)
    back = PairTable.from_arrays("x", table.arrays("x"))
    assert np.array_equal(back.code, table.code)
    assert np.array_equal(back.recent(), table.recent())
    some = table.only(np.array([3, 7, 20]))
    mine = np.isin(table.user, [3, 7, 20])
    assert np.array_equal(some.recent(), table.recent()[mine])
    assert np.array_equal(some.key, table.key[mine])
    place = np.random.default_rng(0).permutation(50)
    moved = table.permuted(place).permuted(np.argsort(place))
    assert np.array_equal(moved.recent(), table.recent())
    assert np.array_equal(moved.user, table.user)


@pytest.mark.parametrize("seed", range(4))
def test_some_users_apart_are_as_if_there_had_never_been_others(seed):
    # GIVEN keys that the chosen users meet later than others do, in seasons of their own
    dice = np.random.default_rng(seed)
    chosen = np.sort(dice.choice(50, 6, replace=False))
    every, alone = PairTable.empty(8, 2, 50), PairTable.empty(8, 2, 6)
    names = np.arange(50, dtype=np.uint64)
    for week in range(30):
        drawn = np.unique(dice.integers(0, 50 * 30, 60))
        user, code = (drawn // 30).astype(np.int32), (drawn % 30).astype(np.int32)
        count = dice.integers(1, 5, (drawn.size, 2)).astype(np.int32)
        season = KEYS, dice.uniform(0.5, 2.0, KEYS.size)
        mine = np.isin(user, chosen)
        row = np.searchsorted(chosen, user[mine]).astype(np.int32)
        # WHEN
        window = WINDOW + 7 * week
        every = every.advance(window, 7, names, (user, code, count), KEYS, season)
        some = (row, code[mine], count[mine])
        alone = alone.advance(window, 7, names[chosen], some, KEYS, season)
        # THEN
        apart = every.only(chosen).trimmed().arrays("t")
        for column, expected in alone.arrays("t").items():
            np.testing.assert_array_equal(apart[column], expected, column)
