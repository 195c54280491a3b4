from __future__ import annotations

import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain import (
    alert,
    circumstances,
    detectors,
    digest,
    figures,
    layout,
    lint,
    selection,
    sms,
)
from swerve.domain.layout import wrap
from swerve.domain.lint import (
    NAME_CHARACTERS,
    ascii_only,
    body_faults,
    clean,
    clean_path,
    display_width,
    personal_data,
    subject_faults,
    subject_line,
)


@given(st.text())
def test_law_every_subject_line_is_accepted(text: str) -> None:
    assert subject_faults(subject_line(text), ascii_mode=False) == ()
    assert subject_faults(subject_line(ascii_only(text)), ascii_mode=True) == ()


@given(st.text(max_size=300))
def test_law_a_clean_name_is_short_and_printable(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= NAME_CHARACTERS
    assert cleaned == cleaned.strip()
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in cleaned)
    assert personal_data(cleaned) == () or cleaned.isdigit()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Baby\x00 toys\u202e", "Baby toys"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("see www.evil.com now", "see www[.]evil[.]com now"),
        ("JavaScript:alert(1)", "script-:alert(1)"),
        ("jane.doe@example.com", "(hidden)"),
        ("call +44 20 7946 0958", "call (hidden)"),
        ("Dr.Martens 1460 size 42", "Dr.Martens 1460 size 42"),
        ("u-7f3a91c2d4e5f607", "u-7f3a91c2d4e5f607"),
        ("2053013555631882655", "2053013555631882655"),
        ("x" * 50, "x" * 38 + ".."),
    ],
)
def test_clean(name: str, shown: str) -> None:
    assert clean(name) == shown


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("x" * 100, "100 characters"),
        ("two\nlines", "control"),
        ("bell\x07", "control"),
        ("母婴", "not ASCII"),
        ("", "empty"),
    ],
)
def test_subject_faults(subject: str, fault: str) -> None:
    assert fault in " ".join(subject_faults(subject, ascii_mode=True))


def test_body_faults() -> None:
    body = "x" * 77 + "\ntail \nmail jane@example.com\n母\n\x07"
    assert [fault.split(":")[0] for fault in body_faults(body, ascii_mode=True)] == [
        "line 1",
        "line 2",
        "line 5",
        "not ASCII",
        "looks like personal data",
    ]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" ")))
def test_law_wrapping_loses_nothing(text: str) -> None:
    lines = wrap(text, 40)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(display_width(line) <= 40 or " " not in line for line in lines)


@pytest.mark.parametrize(
    "module", [alert, circumstances, detectors, digest, figures, layout, lint, selection, sms]
)
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_clean_path() -> None:
    assert clean_path("home//Mail jane@example.com/2053013555631882655") == (
        "home/Mail (hidden)/2053013555631882655"
    )
