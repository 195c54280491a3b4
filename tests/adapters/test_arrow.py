import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.adapters.arrow import columns_of

TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@given(st.lists(st.tuples(TEXT, st.integers(-(2**62), 2**62), TEXT), max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_columns_are_what_duckdb_fetches(
    rows: list[tuple[str | None, int, str | None]],
) -> None:
    # GIVEN texts of any characters, some missing, beside numbers
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a VARCHAR, n BIGINT, b VARCHAR)")
        if rows:
            connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        # WHEN they are taken where they lie
        texts, numbers = columns_of(connection.sql("SELECT * FROM t"))
    # THEN they are those that went in, NULL as no text
    assert list(texts["a"]) == [a or "" for a, _, _ in rows]
    assert list(texts["b"]) == [b or "" for *_, b in rows]
    assert numbers["n"].tolist() == [n for _, n, _ in rows]


def test_more_rows_than_one_batch_holds() -> None:
    # GIVEN more than a million rows, every third text missing
    count = 1_200_000
    with duckdb.connect() as connection:
        query = "SELECT CASE WHEN n % 3 > 0 THEN n::VARCHAR END AS t, n FROM range(1200000) r(n)"
        # WHEN
        texts, numbers = columns_of(connection.sql(query))
    # THEN the batches are put together
    chosen = np.array([0, 1, count // 2, count - 2, count - 1])
    assert list(texts["t"].take(chosen)) == [str(n) if n % 3 else "" for n in chosen.tolist()]
    assert np.array_equal(np.sort(numbers["n"]), np.arange(count))


def test_a_query_that_fails_is_an_error_of_duckdb() -> None:
    # GIVEN WHEN THEN
    with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="no number"):
        columns_of(connection.sql("SELECT error('no number') AS t FROM range(10)"))
