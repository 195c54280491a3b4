from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from cli.journey import products, split

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(path: Path) -> int:
    found = duckdb.execute("SELECT count(*) FROM query_table(?)", [str(path)]).fetchone()
    assert found
    return int(found[0])


def test_a_week_is_a_file_and_no_purchase_is_lost(tmp_path: Path) -> None:
    # WHEN
    files = list(split(tmp_path, weeks=3))
    # THEN: as counted in the published log
    assert [file.rows for file in files] == [3722, 31454, 27398]
    assert [rows_of(file.path) for file in files] == [3722, 31454, 27398]
    assert [file.path.suffix for file in files] == [".gz", ".parquet", ".csv"]


def test_some_households_are_the_same_ones_every_time(tmp_path: Path) -> None:
    first = list(split(tmp_path / "a", weeks=1, households=100))
    second = list(split(tmp_path / "b", weeks=1, households=100))
    assert first[0].path.read_bytes()[10:] == second[0].path.read_bytes()[10:]  # after gzip's date
    assert 0 < first[0].rows < 3722


def test_products_have_categories() -> None:
    assert "product_category" in duckdb.read_parquet(str(products())).columns
