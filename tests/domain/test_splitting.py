from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.event import Events
from swerve.domain.merge import Renames
from swerve.domain.packing import pack, unpack
from swerve.domain.pseudonym import UserTable
from swerve.domain.shard import children_of, shard_of
from swerve.domain.splitting import Homes, split_partial

from tests.closing import shop, table_of


@given(
    routing=st.lists(st.integers(0, 2**32 - 1), min_size=1),
    bits=st.integers(0, 8),
    more=st.integers(0, 8),
)
def test_every_user_of_a_shard_goes_to_one_that_follows_it(routing, bits, more):
    # GIVEN
    hashes, before, after = np.array(routing, np.uint32), 1 << bits, 1 << (bits + more)
    # WHEN
    was, now = shard_of(hashes, before).tolist(), shard_of(hashes, after).tolist()
    # THEN
    for old, new in zip(was, now, strict=True):
        assert new in children_of(old, before, after)
    every = [child for shard in range(before) for child in children_of(shard, before, after)]
    assert every == list(range(after))


@pytest.mark.parametrize("after", [1, 2, 4, 64])
def test_a_partial_is_split_into_what_ingest_would_have_packed(after):
    # GIVEN more events than one segment holds
    events = shop(8, users=40, actions=60.0)
    table = table_of(events)
    assert len(pack(events, table)) > 1
    # WHEN
    split = split_partial(pack(events, table), after)
    # THEN
    home = shard_of(table.routing, after)[np.searchsorted(table.users, events.user)]
    assert split == {
        int(shard): pack(events.take(home == shard), table) for shard in np.unique(home)
    }
    back = [unpack(data)[0] for packed in split.values() for data in packed]
    assert len(Events.concatenate(back)) == len(events)


def test_users_are_found_by_every_name_they_have_had():
    # GIVEN 10 was called 9 when its partials were packed, and is called 20 since
    users = UserTable(
        np.array([10, 11], np.uint64),
        np.array([1 << 31, 0], np.uint32),
        np.array([9, 0], np.uint64),
    )
    renames = Renames(np.array([10], np.uint64), np.array([20], np.uint64))
    # WHEN
    homes = Homes.of(users, renames, first=0, after=2)
    # THEN of 77 no event is kept
    names = np.array([9, 10, 11, 20, 77], np.uint64)
    assert homes.of_users(names).tolist() == [1, 1, 0, 1, 0]
    assert homes.known(names).tolist() == [True, True, True, True, False]
    assert homes.renames(renames, 1).new.tolist() == [20]
    assert len(homes.renames(renames, 0)) == 0
