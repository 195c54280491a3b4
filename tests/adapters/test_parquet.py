"""Texts that repeat in a Parquet file are read once each, and what is read is the same."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.adapters import parquet
from swerve.adapters.parquet import Dictionary, ParquetFile
from swerve.domain.coding import Coder
from swerve.domain.fields import PADDING, Texts
from swerve.domain.file import Shape

from tests.filewriting import FIELDS
from tests.fuzz.targets import _read

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = Shape("none", "parquet", "", FIELDS, [])
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
TIMES = ["2026-06-01T10:00:00Z", "2026-06-01 10:00", "1780308000123", "1 June 2026", "soon", "Z"]
NUMBERS = ["1.25", "17", "-3", "1e3", "x", " 2 "]
EVENTS = ["view", "purchase", "teleport"]
SOME = [["u1", " u1", "用户", "x" * 300, ""], TIMES, EVENTS, ["i1", "", "I1"], ["Home"], NUMBERS]


def file_of(pools: list[list[str | None]], rows: int = 3000) -> bytes:
    """Rows with texts of each pool, in dictionaries of three row groups."""
    rng = random.Random(7)  # noqa: S311 - test data
    columns = [pa.array([rng.choice(pool) for _ in range(rows)], pa.string()) for pool in pools]
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(FIELDS, columns, strict=True))), sink, row_group_size=1100)
    return sink.getvalue()


@pytest.fixture
def coded() -> Iterator[list[Dictionary]]:
    """Dictionaries that rows were told by."""
    used: list[Dictionary] = []
    column = Dictionary.column

    def noted(self: Dictionary, hashed: np.ndarray[Any, Any]) -> object:
        used.append(self)
        return column(self, hashed)

    with patch.object(Dictionary, "column", noted):
        yield used


def as_texts(data: bytes) -> object:
    with patch.object(ParquetFile, "dictionaries", lambda *_: {}):
        return _read(data, SHAPE, quick=True)


def test_texts_that_repeat_are_told_by_their_hashes(coded: list[Dictionary]) -> None:
    # GIVEN columns of few texts, good and odd ones and none
    data = file_of([[*pool, None] for pool in SOME])
    # WHEN / THEN all six columns are coded, and rows and refusals are those of the texts
    expected = as_texts(data)
    assert not coded
    assert _read(data, SHAPE, quick=True) == expected
    assert len(coded) == len(FIELDS)


@given(st.lists(st.lists(TEXT | st.none(), min_size=1, max_size=4), min_size=6, max_size=6))
@settings(max_examples=20, deadline=None)
def test_any_texts_that_repeat_are_read_as_they_are(pools: list[list[str | None]]) -> None:
    data = file_of([pool + some for pool, some in zip(pools, SOME, strict=True)], 600)
    assert _read(data, SHAPE, quick=True) == as_texts(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_DISTINCT_HASHED", "SELECT text, 7::UBIGINT AS hash FROM different"),
        ("_MOST_TEXTS", 0),
        ("_MOST_BYTES", 0),
    ],
)
def test_texts_that_collide_or_are_many_are_read_row_by_row(
    name: str, value: object, coded: list[Dictionary]
) -> None:
    # GIVEN texts with one hash, or too many for memory
    data = file_of([[*pool, None] for pool in SOME])
    expected = as_texts(data)
    # WHEN / THEN nobody's events become those of another
    with patch.object(parquet, name, value):
        assert _read(data, SHAPE, quick=True) == expected
    assert not coded


@pytest.mark.parametrize(
    ("hashed", "exact"), [([5, 6, 7], True), ([5, 6, 5], False), ([5, 0, 7], False)]
)
def test_a_dictionary_is_exact_where_each_text_has_a_hash(hashed: list[int], exact: bool) -> None:
    places = np.array([0, 1, 2], np.int32)
    texts = Texts(b"abc" + bytes(PADDING), places, np.ones(3, np.int32))
    assert Dictionary("user_id", texts, np.array(hashed)).is_exact == exact


def test_nothing_has_no_code_whatever_slot_it_is_looked_up_in() -> None:
    # GIVEN a hash that takes the slot where 0 is looked up, new in the same block
    codes, fresh = Coder().codes(np.array([0, 3, 0, 3], np.uint64))
    # WHEN / THEN
    assert (codes.tolist(), fresh.tolist()) == ([0, 1, 0, 1], [1])
