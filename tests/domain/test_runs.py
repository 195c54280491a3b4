from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.runs import Runs, as_bytes, as_values

LISTS = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]), max_size=6), max_size=20)


def laid_out(lists):
    """Each user's values, one user after the other."""
    values = [value for own in lists for value in own]
    return Runs(np.array([len(own) for own in lists], np.intp)), np.array(values, np.float32)


@given(LISTS)
def test_sums_and_spreads_are_those_of_lists(lists):
    runs, values = laid_out(lists)
    assert runs.sum(values).tolist() == [sum(own) for own in lists]
    assert runs.spread(np.arange(len(lists))).tolist() == [
        u for u, v in enumerate(lists) for _ in v
    ]


@given(LISTS, st.integers(1, 9))
def test_largest_are_told_in_order_and_of_equal_ones_the_first(lists, count):
    # GIVEN / WHEN
    runs, values = laid_out(lists)
    told = [[] for _ in lists]
    for users, rows in runs.largest(values, count):
        for user, row in zip(users.tolist(), rows.tolist(), strict=True):
            told[user].append(row - int(runs.first[user]))
    # THEN
    for own, rows in zip(lists, told, strict=True):
        assert rows == sorted(range(len(own)), key=lambda row: -own[row])[:count]


@given(LISTS, st.data())
def test_rows_of_some_users_and_runs_of_some_rows(lists, data):
    # GIVEN
    runs, _ = laid_out(lists)
    owner = runs.spread(np.arange(len(lists)))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    users = np.flatnonzero(chosen)
    # WHEN
    rows, some = runs.rows(users)
    # THEN
    assert rows.tolist() == np.flatnonzero(np.isin(owner, users)).tolist()
    assert some.sizes.tolist() == runs.sizes[users].tolist()
    assert (
        runs.among(rows).sizes.tolist() == np.bincount(owner[rows], minlength=len(lists)).tolist()
    )
    mine, same = runs.only(users)
    assert np.arange(owner.size)[mine].tolist() == rows.tolist()
    assert same.sizes.tolist() == some.sizes.tolist()


@pytest.mark.parametrize("shape", [(0, 2), (1, 1), (7, 1), (7, 2), (7, 3)])
def test_rows_of_bytes_are_values_and_back(shape):
    rows = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    mask = np.arange(shape[0]) % 3 != 1
    assert np.array_equal(as_bytes(as_values(rows)[mask]), rows[mask])
