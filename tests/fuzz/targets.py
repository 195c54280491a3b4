"""What must hold of any bytes; each target raises where it does not.

Two readers of one file are compared: the quick one (plain lines and flat JSON where they lie) and
the one that leaves every record to DuckDB. They must take the same rows, and refuse the others for
the same reasons.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from swerve.adapters import parse, sql
from swerve.adapters.clock import SystemClock
from swerve.adapters.files import LocalFiles
from swerve.adapters.json_stream import as_lines
from swerve.adapters.parse import Parser, connect
from swerve.adapters.split import PIECE_BYTES, split_lines
from swerve.check import CheckDeps, check
from swerve.domain.fields import PADDING
from swerve.domain.file import FileToRead, Refused, Shape
from swerve.domain.rows import CODED, Parsed
from swerve.settings import Settings
from swerve.sources import bundled_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb

HEADER = b"user_id,timestamp,behavior,item_id,category_id,value,event_id\n"
SETTINGS = Settings(window="1d", shard_count=4, max_object_mb=64)
COLUMNS = tuple(HEADER.decode().strip().split(","))
Refusals = list[tuple[str, int]]
Read = tuple[list[tuple[Any, ...]], Refusals, dict[str, int]]


@cache
def sources() -> dict[str, Any]:
    return {source.name: source for source in bundled_sources()}


def whole_file(data: bytes) -> None:
    """Any file is answered: refused with advice, or every row is told of (`check` adds up)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        deps = CheckDeps(SETTINGS, LocalFiles(), SystemClock(), list(sources().values()))
        told = check(path, deps).receipt
    assert told.status in {"accepted", "refused", "ignored"}
    assert told.status != "refused" or (told.reason and told.detail and told.advice)


def csv_rows(data: bytes) -> None:
    _readers_agree(data, Shape("none", "csv", ",", COLUMNS, []))


def json_lines(data: bytes) -> None:
    _readers_agree(data, Shape("none", "json_lines", "", COLUMNS, []))


def csv_pieces(data: bytes) -> None:
    """Where a CSV is cut does not matter."""
    _pieces_agree(data, ",", 3)


def json_pieces(data: bytes) -> None:
    """Where JSON Lines are cut does not matter."""
    _pieces_agree(data, "", 0)


def json_stream(data: bytes) -> None:
    """Objects one after the other come out one a line, whatever is in their texts."""
    expected = _objects(data)
    if expected is None:
        for chunk in as_lines(iter([data])):
            assert chunk.endswith(b"\n") or not chunk
        return
    found = b"".join(as_lines(iter([data])))
    assert [json.loads(line) for line in found.splitlines()] == expected


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (whole_file, csv_rows, json_lines, csv_pieces, json_pieces, json_stream)
}


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return connect(Path(tempfile.gettempdir()))


def _session(_: Path) -> duckdb.DuckDBPyConnection:
    """A connection of its own, ten times quicker to come by than a database of its own."""
    session = _database().cursor()
    session.execute("SET TimeZone = 'UTC'")
    return session


def _readers_agree(data: bytes, shape: Shape) -> None:
    quick, slow = (_read(data, shape, quick=quick) for quick in (True, False))
    assert quick == slow, _difference(quick, slow)


def _difference(quick: Read | str, slow: Read | str) -> str:
    if isinstance(quick, str) or isinstance(slow, str):
        return f"quick {quick}\nslow  {slow}"
    alone = [
        f"{name} {[row for row in one[part] if row not in other[part]]}"
        for name, one, other in (("quick", quick, slow), ("slow ", slow, quick))
        for part in (0, 1)
    ]
    return "\n".join([*alone, f"{quick[2]} {slow[2]}"])


def _read(data: bytes, shape: Shape, *, quick: bool) -> Read | str:
    """Rows, refused records, and their counts; or why the whole file was refused."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as patches:
        path = Path(folder) / "file"
        path.write_bytes(data)
        columns = COLUMNS if shape.format == "csv" else ()
        file = FileToRead(
            path, shape, sources()["canonical"], columns, False, "salt", True, 1 << 26
        )
        patches.enter_context(patch.object(parse, "connect", _session))
        if not quick:
            patches.enter_context(patch.object(sql, "plain_columns", lambda *_: None))
            patches.enter_context(patch.object(sql, "flat_keys", lambda *_: None))
        try:
            with Parser(file, Path(folder)) as parser:
                return _told(parser.pieces())
        except Refused as refused:
            return refused.reason


def _told(pieces: Iterable[Parsed]) -> Read:
    texts: dict[str, list[str]] = {role: [""] for role in CODED}
    rows: list[tuple[Any, ...]] = []
    refused: Refusals = []
    counts: dict[str, int] = {}
    for piece in pieces:
        for role, new in piece.texts.items():
            texts[role] += new
        columns = [[texts[role][code] for code in getattr(piece.rows, role)] for role in CODED]
        columns += [getattr(piece.rows, name).tolist() for name in ("time_ms", "naive", "identity")]
        columns.append([repr(value) for value in piece.rows.value.tolist()])  # a NaN equals none
        rows += zip(piece.rows.number.tolist(), *columns, strict=True)
        for reason, count in piece.rejected.counts.items():
            counts[reason] = counts.get(reason, 0) + count
        refused += [
            (row.reason, row.number) for kept in piece.rejected.samples.values() for row in kept
        ]
    return sorted(rows), sorted(refused), dict(sorted(counts.items()))


def _pieces_agree(data: bytes, delimiter: str, columns: int) -> None:
    lines = data.split(b"\n") if b"\n" in data else data.split(b"\r")
    longest = max(map(len, lines)) + 2  # a line longer than a piece is too long
    whole = _cut(data, PIECE_BYTES, delimiter, columns)
    for enough in (longest, 3 * longest):
        found = _cut(data, enough, delimiter, columns)
        assert found == whole, f"in pieces of {enough}: {found}\nwhole: {whole}"


def _cut(data: bytes, enough: int, delimiter: str, columns: int) -> tuple[Any, ...]:
    """Return records and refusals by number; the text is fed in chunks as long as a piece.

    The first chunk holds a newline, as one of megabytes does: by it the line ends are known.
    """
    first = max(enough, data.find(b"\n") + 1)
    cuts = [0, *range(first, len(data), enough), len(data)]
    chunks = (data[at:until] for at, until in pairwise(cuts))
    records: list[tuple[int, bytes]] = []
    others: list[int] = []
    text = b""
    bad: dict[str, list[int]] = {}
    for piece in split_lines(chunks, enough, delimiter, columns):
        for reason, numbers in piece.bad.items():
            bad.setdefault(reason, []).extend(numbers.tolist())
        if piece.bounds is None and not delimiter:  # a record is a line, whether marked or not
            lines = piece.data[:-PADDING].split(b"\n")[:-1]
            records += zip(piece.numbers.tolist(), lines, strict=True)
        elif piece.bounds is None:
            others += piece.numbers.tolist()
            text += piece.data
        else:
            starts, ends = piece.bounds[0] + 1, piece.bounds[-1]
            spans = zip(piece.numbers.tolist(), starts.tolist(), ends.tolist(), strict=True)
            records += [(number, piece.data[first:last]) for number, first, last in spans]
    return records, others, text, {reason: sorted(bad[reason]) for reason in sorted(bad)}


def _objects(data: bytes) -> list[dict[str, Any]] | None:
    """What a plain reader finds in objects one after the other; None where it finds a fault."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    decoder, at, found = json.JSONDecoder(strict=True), 0, []
    while at < len(text):
        if text[at] in " \t\r\n,[]":
            at += 1
            continue
        try:
            record, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict):
            return None
        found.append(record)
    return found
