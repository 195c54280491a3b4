from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from swerve.adapters import sql
from swerve.adapters.parse import connect
from swerve.domain.numbers import decimals

from tests.domain.test_coding import texts_of

PLAIN = re.compile(r"\d+(\.\d+)?")


def by_duckdb(texts: list[str]) -> list[float]:
    with connect(Path("unused")) as connection:
        found = connection.execute(sql.values("$1"), [sql.SEPARATOR.join(texts)]).fetchnumpy()
    return found["value"].tolist()


@given(st.lists(st.from_regex(r"[-+0-9.e_ ]{0,10}", fullmatch=True), min_size=1, max_size=20))
@example(["", ".", "5.", ".5", "1.2.3", "12345678", "1234567.", "0.000001", "00.10", "-1", "1e3"])
@settings(max_examples=300, deadline=None)
def test_decimals_are_numbers_and_nothing_else_is(texts: list[str]) -> None:
    # GIVEN short texts, WHEN read eight bytes at once
    value, good = decimals(texts_of(texts))
    # THEN just the plain numbers of up to eight bytes are
    assert good.tolist() == [bool(PLAIN.fullmatch(text)) and len(text) <= 8 for text in texts]
    assert value[good].tolist() == [
        float(np.float32(text)) for text, fits in zip(texts, good.tolist(), strict=True) if fits
    ]


def test_every_price_is_the_number_that_duckdb_reads() -> None:
    # GIVEN many prices of every size and number of digits
    rng = np.random.default_rng(2)
    texts = [
        f"{rng.random() * 10 ** rng.integers(0, 7):.{rng.integers(0, 7)}f}"[:8].rstrip(".")
        for _ in range(20_000)
    ]
    # WHEN / THEN both ways give the same bits
    value, good = decimals(texts_of(texts))
    assert good.all()
    assert value.tolist() == by_duckdb(texts)
