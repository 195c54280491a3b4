"""The fuzzing targets on what was found before, and on rows drawn to be odd."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import COLUMNS, TARGETS

FINDINGS = sorted((Path(__file__).parent / "findings").glob("*-*"))
ODD = st.sampled_from(
    ["", " ", "\t", "-", "+1", ".5", "1.", "-0", "1e5", "1E400", "nan", "inf", "0x1f", "1_000", "١",
     "1,5", " 7 ", "007", "null", "NULL", "true", '"', '""', "\\", "\\n", "\x1f", "\x1b0", "\x1b",
     "a\x00b", "\u202eabc", "\ufeff", "é", "e\u0301", "\u00a0x", "用户", "😀", "line\nbreak",
     "a\rb", "a\r\nb", "x" * 300, "=1+1", "'", "a;b", "}{", "[]", "{}"]
)  # fmt: skip
TIMES = st.sampled_from(
    ["2026-11-02T10:00:00Z", "2026-11-02 10:00:00", "2026-11-02T10:00:00.123456789Z",
     "2026-11-02T10:00:00+08:00", "2026-11-02T10:00:00-0330", "2026-11-02T10:00:00+05",
     "2026-11-02 10:00:00 UTC", "2026-11-02 10:00:00.5", "2026-11-02T10:00", "2026-11-02",
     "2026-11-02T10:00:00z", "2026-11-02t10:00:00Z", "2026-11-02  10:00:00", "2026-1-2 3:04:05",
     "2026-02-29T00:00:00Z", "2026-11-02T24:00:00Z", "2026-11-02T23:59:60Z", "20261102T100000Z",
     "2026-11-02T10:00:00 +08:00", "2026-11-02T10:00:00 Europe/Berlin", "2026-11-02T10:00:00+99:00",
     "-2026-11-02T10:00:00Z", "1989-12-31T23:59:59Z", "2103-12-31T00:00:00Z", "infinity", "epoch",
     "1793613600", "1793613600.5", "1793613600123", "1793613600123456", "1793613600123456789",
     "1.7936136e9", "1793613600e3", "-1793613600", "+1793613600", " 1793613600", "0001793613600",
     "999999999", "4200000001", "2026-11-02 10:00:00 BC", "2026-11-02T10:00:00,5Z", "now", "today"]
)  # fmt: skip
NUMBERS = st.one_of(ODD, st.floats().map(str), st.integers().map(str))
FIELDS = {
    "user_id": st.one_of(ODD, st.text(max_size=6)),
    "timestamp": st.one_of(TIMES, TIMES, ODD),
    "behavior": st.one_of(st.sampled_from(["view", "VIEW ", "purchase", "fly"]), ODD),
    "item_id": ODD,
    "category_id": st.one_of(ODD, st.text(max_size=6)),
    "value": NUMBERS,
    "event_id": ODD,
}
ROWS = st.lists(st.fixed_dictionaries(FIELDS), max_size=8)
JSON_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), ODD, TIMES, st.lists(ODD, max_size=2)
)
JSON_ROWS = st.lists(
    st.one_of(
        st.fixed_dictionaries(FIELDS),
        st.fixed_dictionaries({}, optional=dict.fromkeys([*FIELDS, "x"], JSON_VALUE)),
    ),
    max_size=8,
)


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    TARGETS[path.name.partition("-")[0]](path.read_bytes())


@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]))
@settings(max_examples=30, deadline=None)
def test_both_readers_of_csv_agree(rows: list[dict[str, str]], quoting: int) -> None:
    # GIVEN rows of odd fields, well quoted or not at all
    text = io.StringIO()
    quotechar = '"' if quoting != csv.QUOTE_NONE else None
    for row in rows:
        if quoting == csv.QUOTE_NONE:
            text.write(",".join(row.values()) + "\n")
        else:
            csv.DictWriter(
                text, COLUMNS, quoting=quoting, quotechar=quotechar, lineterminator="\n"
            ).writerow(row)
    # WHEN / THEN
    TARGETS["csv_rows"](text.getvalue().encode())


@given(JSON_ROWS, st.booleans(), st.sampled_from([None, (",", ":"), (" , ", " : ")]))
@settings(max_examples=30, deadline=None)
def test_both_readers_of_json_agree(
    rows: list[dict[str, object]], ascii_only: bool, separators: tuple[str, str] | None
) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_only, separators=separators) for row in rows]
    TARGETS["json_lines"]("".join(f"{line}\n" for line in lines).encode())
