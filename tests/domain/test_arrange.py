from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.arrange import People, by_user
from swerve.domain.kept import Kept
from swerve.domain.pseudonym import UserTable

# Keys that differ in their lowest or highest bits only, or not at all, or anywhere.
KEY = st.one_of(
    st.integers(0, 3), st.integers(0, 3).map(lambda k: k << 62), st.integers(0, 2**64 - 1)
)


ROW = st.tuples(st.integers(1, 3), st.integers(0, 2), KEY)


@given(st.lists(ROW, min_size=1, max_size=60))
def test_rows_lie_by_user_then_time_then_key(rows):
    # GIVEN rows of few users and times, so that keys decide
    user, time_s, key = (np.array(column, np.uint64) for column in zip(*rows, strict=True))
    zeros = np.zeros(user.size, np.uint32)
    kept = Kept(
        key=key,
        time_ms=time_s.astype(np.int64) * 1000,
        user=user.astype(np.uint32),
        category=zeros,
        item=zeros,
        campaign=zeros,
        value=zeros.astype(np.float32),
        behaviour=zeros.astype(np.uint8),
        by_content=zeros.astype(bool),
    )
    ids = np.array([0, 30, 10, 20], np.uint64)
    table = UserTable(np.array([10, 20, 30], np.uint64), np.zeros(3, np.uint32), ids[1:] * 0)
    # WHEN
    found = by_user(kept, People(table, ids))
    # THEN
    assert rows_of(found, ids) == sorted(rows_of(kept, ids))


def rows_of(kept, ids):
    return list(zip(ids[kept.user].tolist(), kept.time_ms.tolist(), kept.key.tolist(), strict=True))
