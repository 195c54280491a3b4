"""Whole records come out of a text wherever it is cut, and bad ones take no neighbour with them."""

from __future__ import annotations

import pytest
from swerve.adapters.split import PLAIN_BYTES, split_lines
from swerve.domain.manifest import RowReason

from tests.ingesting import SETTINGS, new_world, upload

ROW = b"user-1,view,Home\n"


def numbers(text: bytes, enough: int, columns: int = 3) -> tuple[list[int], dict[str, list[int]]]:
    """Numbers of the good and of the bad records, when pieces hold so many bytes."""
    good: list[int] = []
    bad: dict[str, list[int]] = {}
    chunks = (text[at : at + enough] for at in range(0, len(text), enough))
    for piece in split_lines(chunks, enough, ",", columns):
        good += piece.numbers.tolist()
        assert piece.bounds is None or piece.bounds.shape[1] == piece.numbers.size
        for reason, rows in piece.bad.items():
            bad.setdefault(reason, []).extend(rows.tolist())
    return sorted(good), bad


@pytest.mark.parametrize("before", range(4))
def test_a_quoted_newline_on_the_edge_of_a_piece(before: int) -> None:
    # GIVEN a record over two lines, that opens in one piece and closes in the next
    text = ROW * before + b'user-2,view,"Home\nand garden"\n' + ROW * 9
    # WHEN / THEN
    for enough in range(len(ROW) + 3, len(text)):
        assert numbers(text, enough) == (list(range(1, before + 11)), {}), enough


def test_an_inch_sign_near_the_edge_of_a_piece() -> None:
    # GIVEN a file of more than one piece, with a quote that opens nothing just before the edge
    header = b"user_id,timestamp,behavior,item_id,category_id,value\n"
    row = b"u1,2026-11-02T10:00:00Z,view,i1,Home,\n"
    inch = b'u1,2026-11-02T10:00:00Z,view,i1,TV 55" wide,\n'
    before = PLAIN_BYTES // len(row) - 5
    # WHEN
    receipt = upload(new_world(), header + row * before + inch + row * 9, settings=SETTINGS)
    # THEN
    assert receipt.rows == before + 10
    assert receipt.rejected["ragged"] == 1


@pytest.mark.parametrize("text", [b'u,view,"a\nb"\n', b'u,"\n",view\n', b'"\nu",view,x\n'])
def test_the_lines_of_a_quoted_record_may_be_short(text: bytes) -> None:
    # GIVEN lines too short for all the fields, inside of quotes
    many = text.replace(b"view", b"view,,,,,,,")
    # WHEN / THEN
    assert numbers(ROW + text + ROW, enough=1 << 20) == ([1, 2, 3], {})
    assert numbers(many, enough=1 << 20, columns=10) == ([1], {})


def test_an_unclosed_quote_hurts_its_own_line_only() -> None:
    text = ROW + b'user-2,view,"Home\n' + ROW * 3 + b"x\n"
    assert numbers(text, 1 << 20) == ([1, 3, 4, 5], {RowReason.RAGGED: [2, 6]})
