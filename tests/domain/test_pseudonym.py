from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.pseudonym import Keyring, UserTable, shown, subject_of

SECRET = json.dumps({"current": "a secret of the tests"})


def sorted_table(ring: Keyring, ids: list[str]) -> UserTable:
    return UserTable.union([ring.pseudonyms(ids)])


def test_pseudonyms_never_change() -> None:
    # GIVEN pseudonyms that live in stored checkpoints
    table = Keyring.parse(SECRET).pseudonyms(["17850", "家"])
    # THEN a new release must find the same ones
    assert table.users.tolist() == [14138661674021204220, 16999395661647750907]
    assert table.routing.tolist() == [2529220166, 1037380948]
    assert not table.previous.any()


@given(st.lists(st.text(min_size=1), unique=True, max_size=30))
def test_rotation_keeps_routing_and_knows_the_old_name(ids: list[str]) -> None:
    # GIVEN a stack that has rotated its key once
    old = Keyring.parse(SECRET)
    new = Keyring.parse(Keyring.rotated(SECRET, "another secret of the tests"))
    # WHEN the same users come again
    before, after = old.pseudonyms(ids), new.pseudonyms(ids)
    # THEN routing is the same, and each new pseudonym names the old one
    assert np.array_equal(before.routing, after.routing)
    assert np.array_equal(before.users, after.previous)
    assert not np.isin(after.users, before.users).any()
    assert old.event_salt == new.event_salt
    assert old.key_id != new.key_id


def test_two_rotations_keep_routing() -> None:
    once = Keyring.rotated(SECRET, "another secret of the tests")
    twice = Keyring.rotated(once, "a third secret of the tests")
    assert Keyring.parse(twice).routing == Keyring.parse(SECRET).routing


@given(st.lists(st.lists(st.integers(1, 50)), max_size=4))
def test_a_union_holds_each_user_once_in_order(groups: list[list[int]]) -> None:
    tables = [
        UserTable(
            np.array(users, np.uint64),
            np.array(users, np.uint32),
            np.array([user % 2 for user in users], np.uint64),
        )
        for users in groups
    ]
    union = UserTable.union(tables)
    expected = sorted({user for users in groups for user in users})
    assert union.users.tolist() == expected
    assert union.routing.tolist() == expected


def test_a_union_prefers_a_known_previous_pseudonym() -> None:
    def table(previous: int) -> UserTable:
        return UserTable(
            np.array([7], np.uint64), np.array([1], np.uint32), np.array([previous], np.uint64)
        )

    for parts in ([table(0), table(9)], [table(9), table(0)]):
        assert UserTable.union(parts).previous.tolist() == [9]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"current": "short"}', '{"current": 5}'])
def test_an_unusable_secret_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="pseudonym secret must be JSON"):
        Keyring.parse(text)


def test_subjects() -> None:
    assert subject_of(0xAB) == "u-00000000000000ab"
    assert shown("u-0123456789abcdef") == "u-01234567"
