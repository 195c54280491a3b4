"""Lines read by their pattern say what a parser says of them; all others are left."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.domain.fields import PADDING
from swerve.domain.flat_json import FlatReader

KEYS = ["user_id", "timestamp", "value", "other"]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False), TEXT
)
RECORD = st.dictionaries(st.sampled_from(KEYS), SCALAR, max_size=4)
NESTED = st.fixed_dictionaries({"user_id": TEXT, "items": st.lists(RECORD, max_size=2)})


def read(lines: list[str]) -> tuple[dict[int, dict[str, str]], list[int]]:
    data = "".join(f"{line}\n" for line in lines).encode() + bytes(PADDING)
    found, left = FlatReader(["user_id"]).read(data)
    records = {}
    for flat in found:
        columns = {key: list(texts) for key, texts in flat.texts.items()}
        for row, line in enumerate(flat.lines.tolist()):
            records[line] = {key: texts[row] for key, texts in columns.items()}
    return records, np.flatnonzero(left).tolist()


@given(
    st.lists(st.tuples(st.one_of(RECORD, NESTED), st.booleans(), st.booleans()), max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_what_is_read_is_what_the_json_says(drawn: list[tuple[dict, bool, bool]]) -> None:
    # GIVEN records of several patterns, written tight or loosely, escaped or not
    lines = [
        json.dumps(record, ensure_ascii=escaped, separators=(",", ":") if tight else None)
        for record, escaped, tight in drawn
    ]
    # WHEN they are read by pattern
    records, left = read(lines)
    # THEN each line is either read rightly or left
    assert sorted([*records, *left]) == list(range(len(lines)))
    for line, texts in records.items():
        for key, value in drawn[line][0].items():
            if value is None or isinstance(value, str):
                assert texts[key] == (value or "")
            else:
                assert json.loads(texts[key]) == value


@pytest.mark.parametrize(
    "broken",
    [
        '{"user_id":"u","value":1',
        '{"user_id":"u","value":01}',
        '{"user_id":"u","value":NaN}',
        '{"user_id":"u" "value":1}',
        '{"user_id":"u","value":1}}',
        '{"user_id":"u","value":1}x',
        '{"user_id":"u\tv","value":1}',
        '{"user_id":"u\\","value":1}',
        '{"user_id":"u","user_id":1}',
        '{"user_id":1.50,"value":1}',
        "[]",
        "",
    ],
)
def test_a_line_that_is_no_plain_json_is_left(broken: str) -> None:
    # GIVEN a broken line before and among good ones
    good = '{"user_id":"u","value":1}'
    # WHEN / THEN
    records, left = read([broken, good, broken, good])
    assert left == [0, 2]
    assert records[3] == {"user_id": "u", "value": "1"}
