"""`swerve check` on files made to hurt, at their full size, each in a process of its own.

Memory is asserted; how long each takes is in docs/benchmarks-ingest.md.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from swerve.domain.codec import zstd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_MB = 1200
HEADER = b"user_id,timestamp,behavior,item_id,category_id,value\n"
ROW = b"u1,2026-11-02T10:00:00Z,view,i1,Home,\n"
JSON_ROW = b'{"user_id":"u","timestamp":"2026-11-02T10:00:00Z","behavior":"view"}\n'
FIELD = b"x" * 100_000_000


def parquet(users: list[str], rows: int) -> bytes:
    """Rows of the first user, then one of each other."""
    places = np.maximum(np.arange(rows) - rows + len(users), 0)
    columns = {
        name: pa.DictionaryArray.from_arrays(np.minimum(places, len(texts) - 1), pa.array(texts))
        for name, texts in {
            "user_id": users,
            "timestamp": ["2026-11-02T10:00:00Z"],
            "behavior": ["view"],
        }.items()
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def parquet_of_differences() -> bytes:
    """Long texts, each told by what differs from the one before."""
    sink = io.BytesIO()
    schema = pa.schema(dict.fromkeys(("user_id", "timestamp", "behavior"), pa.string()))
    encodings = {"user_id": "DELTA_BYTE_ARRAY", "timestamp": "PLAIN", "behavior": "PLAIN"}
    rows = 100_000
    with pq.ParquetWriter(sink, schema, use_dictionary=False, column_encoding=encodings) as file:
        for first in range(0, 12 * rows, rows):
            users = [f"{'x' * 992}{user:08d}" for user in range(first, first + rows)]
            columns = [users, ["2026-11-02T10:00:00Z"] * rows, ["view"] * rows]
            file.write_table(pa.table(columns, schema=schema))
    return sink.getvalue()


def wide_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": pa.array([1]) for n in range(10_000)}), sink)
    return sink.getvalue()


def gzip_bomb() -> bytes:
    return gzip.compress(HEADER) + gzip.compress(ROW * 700_000) * 45


def zstd_bomb() -> bytes:
    return zstd.compress(HEADER + b"\n" * 10_000_000) * 110


def crowd() -> bytes:
    """Every row with a user, an item and a category of its own."""
    return HEADER + b"".join(
        b"u%d,2026-11-02T10:00:00Z,view,i%d,c%d,\n" % (n, n, n) for n in range(2_100_000)
    )


# What is made, and what is told of it.
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "gzip bomb": (gzip_bomb, "more than 1,024 MB when inflated"),
    "zstd bomb": (zstd_bomb, "more than 1,024 MB when inflated"),
    "gzip in gzip": (lambda: gzip.compress(gzip_bomb()), "not UTF-8"),
    "a million columns": (lambda: b",".join([b"c"] * 1_000_000) + b"\n", "columns or more"),
    "a row of a million columns": (
        lambda: HEADER + ROW + b",".join([b"1"] * 1_000_000) + b"\n" + ROW,
        "= 2 packed",
    ),
    "10,000 columns of Parquet": (wide_parquet, "10,000 columns"),
    "a field of 100 MB": (
        lambda: HEADER + ROW + b"u2," + FIELD + b",view,i,c,\n" + ROW,
        "1 too_long",
    ),
    "a quoted field of 100 MB": (
        lambda: HEADER + ROW + b'u2,2026-11-02T10:00:00Z,view,"' + FIELD + b'",c,\n' + ROW,
        "1 too_long",
    ),
    "a JSON field of 100 MB": (
        lambda: JSON_ROW + b'{"user_id":"' + FIELD + b'"}\n' + JSON_ROW,
        "1 too_long",
    ),
    "a field of 100 MB in a JSON array": (
        lambda: b"[" + JSON_ROW + b',{"user_id":"' + FIELD + b'"},' + JSON_ROW + b"]",
        "1 too_long",
    ),
    "a Parquet field of 100 MB": (lambda: parquet(["u1", "x" * 100_000_000], 2), "1 too_long"),
    "a Parquet dictionary of long texts": (
        lambda: parquet(["x" * 10_000], 300_000),
        "MB of text",
    ),
    "Parquet of long texts that differ little": (parquet_of_differences, "MB of text"),
    "deep JSON": (
        lambda: JSON_ROW + b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000 + b"\n" + JSON_ROW,
        "1 too_long",
    ),
    "brackets without end": (lambda: b"[" * 50_000_000, "No JSON object"),
    "NUL bytes": (lambda: HEADER + ROW + b"\0" * 50_000_000 + b"\n" + ROW, "binary"),
    "invalid UTF-8": (
        lambda: HEADER + ROW + b"u\xff,2026-11-02T10:00:00Z,view,i,c,\n" * 500_000,
        "500,000 bad_encoding",
    ),
    "truncated gzip": (lambda: gzip.compress(HEADER + ROW * 700_000)[:-9], "ends too early"),
    "truncated zstd": (
        lambda: zstd.compress(HEADER + ROW * 700_000)[:-9],
        "ends too early",
    ),
    "truncated Parquet": (lambda: parquet(["u1"], 300_000)[:-99], "Parquet footer"),
    "Parquet without rows": (lambda: parquet(["u1"], 0), "0 packed"),
    "formulas": (
        lambda: HEADER + b"=cmd|'/c calc'!A1,2026-11-02T10:00:00Z,view,=1+1,@SUM(A1),\n" * 300_000,
        "20,000 packed",
    ),
    "control and bidi characters": (
        lambda: HEADER + "u1,2026-11-02T10:00:00Z,view,i\u202e,Ho\u202eme\a,\n".encode() * 300_000,
        "20,000 packed",
    ),
    "an unclosed quote on every line": (
        lambda: HEADER + b'"\n' * 5_000_000,
        "Nearly all of the first",
    ),
    "newlines only": (lambda: HEADER + b"\n" * 50_000_000, "0 packed"),
    "six million names": (crowd, "more than 6,000,000 different"),
}


# The peak that the system tells of an ended child holds what it shared with this process before.
PROGRAM = """
from pathlib import Path
from cli.main import app
try:
    app()
finally:
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def told_and_peak_mb(path: Path) -> tuple[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "check", path.name],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    *told, peak_kb = done.stdout.splitlines()
    return "\n".join([*told, done.stderr]), int(peak_kb) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("name", FILES)
def test_memory_is_bounded_and_the_answer_clear(name: str, tmp_path: Path) -> None:
    make, expected = FILES[name]
    path = tmp_path / "export"
    path.write_bytes(make())
    told, peak_mb = told_and_peak_mb(path)
    path.unlink()
    assert expected in told
    assert "Traceback" not in told
    assert peak_mb <= MOST_MB
