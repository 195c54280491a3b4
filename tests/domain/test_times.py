from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.domain.siphash import identities
from swerve.domain.times import epoch, wall_clock, whole_numbers

from tests.domain.test_coding import texts_of

EDGES = [
    "1989-12-31T23:59:59Z",
    "1990-01-01T00:00:00Z",
    "2024-02-29 12:00:00",
    "2023-02-29T12:00:00",
    "2026-04-31T00:00:00",
    "2026-11-24T24:00:00",
    "2026-11-24T23:60:00",
    "2026-11-24T23:59:60",
    "2026-13-01T00:00:00",
    "2026-00-01T00:00:00",
    "2026-01-00T00:00:00",
    "2026-11-24t10:00:00",
    "2026/11/24T10:00:00",
    "2026-11-24T10:00",
    "2026-11-2:T10:00:00",
    "",
]


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2103, 12, 31)),  # noqa: DTZ001 - drawn without
    st.sampled_from("T "),
)
@settings(max_examples=200)
def test_a_wall_clock_is_read_as_the_standard_library_reads_it(moment: datetime, mark: str) -> None:
    moment = moment.replace(microsecond=0)
    ms, good = wall_clock(texts_of([moment.isoformat(mark)]))
    assert good.all()
    assert ms[0] == moment.replace(tzinfo=UTC).timestamp() * 1000


@given(st.lists(st.sampled_from([*EDGES, "2026-11-24T10:00:07", "2026-11-24 10:00:59"])))
def test_rows_of_one_minute_are_read_as_others_are(texts: list[str]) -> None:
    # GIVEN each text on its own, and the same texts many times, one after the other
    alone = [wall_clock(texts_of([text])) for text in texts]
    ms, good = wall_clock(texts_of([text for text in texts for _ in range(10)]))
    # THEN
    assert good.tolist() == [bool(fits[0]) for _, fits in alone for _ in range(10)]
    assert ms[good].tolist() == [int(of[0]) for of, fits in alone if fits[0] for _ in range(10)]


def test_days_and_hours_that_do_not_exist_are_not_read() -> None:
    good = wall_clock(texts_of(EDGES))[1]
    assert [text for text, fits in zip(EDGES, good, strict=True) if fits] == EDGES[1:3]


@given(st.lists(st.from_regex(r"[0-9a-f]{0,18}", fullmatch=True), min_size=1, max_size=20))
def test_digits_are_numbers_and_nothing_else_is(texts: list[str]) -> None:
    number, good = whole_numbers(texts_of(texts))
    for text, value, fits in zip(texts, number.tolist(), good.tolist(), strict=True):
        assert fits == (text.isdecimal() and len(text) <= 16)
        assert not fits or value == int(text)


@pytest.mark.parametrize(
    ("text", "unit", "ms"),
    [
        ("1793613600", "auto", 1793613600_000),
        ("1793613600123", "auto", 1793613600_123),
        ("1793613600123999", "auto", 1793613600_123),
        ("1793613600", "s", 1793613600_000),
        ("1793613600", "ms", None),
        ("0793613600", "auto", None),
        ("9999999999", "s", None),
    ],
)
def test_the_unit_of_an_epoch_is_told_by_its_size(text: str, unit: str, ms: int | None) -> None:
    found, good = epoch(texts_of([text]), unit)
    assert (int(found[0]) if good[0] else None) == ms


def test_identities_tell_parts_apart_and_need_all_of_them() -> None:
    # GIVEN ids of two parts that are spelled alike when joined
    left = texts_of(["ab", "a", "", "a-very-long-basket-number", "ab"])
    right = texts_of(["c", "bc", "c", "c", "c"])
    # WHEN
    found = identities([left, right], "salt")
    # THEN
    assert found[0] == found[4]
    assert len(set(found.tolist())) == 4
    assert found[2] == 0
    assert identities([left, right], "pepper")[0] != found[0]
    assert found.dtype == np.uint64
