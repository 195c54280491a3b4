"""What a file is, told by its bytes: compression, format, fields."""

from __future__ import annotations

import csv
import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import duckdb

from swerve.adapters.inflate import compression_of, inflated
from swerve.adapters.sql import literal
from swerve.domain.file import MAX_RECORD_BYTES, Compression, Format, Refused, Shape

if TYPE_CHECKING:
    from pathlib import Path

MAX_COLUMNS = 4096
_HEAD_BYTES = 2 * MAX_RECORD_BYTES
_BOMB_RATIO = 25
_BOMB_START_BYTES = 1 << 16
_SAMPLE_RECORDS = 50
_DELIMITERS = ",\t;|"
_BOM = b"\xef\xbb\xbf"


def sniff(path: Path, limit_bytes: int) -> Shape:
    """Look at the first bytes of a file; raise `Refused` where it is none of ours."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return Shape("none", "parquet", "", _parquet_fields(path), [])
    if magic == b"PK\x03\x04":
        raise Refused(
            "not_text",
            "The content is a ZIP archive or an Excel workbook.",
            "Export CSV, and compress it with gzip or zstd if at all.",
        )
    compression = compression_of(magic)
    head = b""
    if compression != "none":
        _refuse_bomb(path, compression, limit_bytes)
    for chunk in inflated(path, compression, limit_bytes):
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    return _text_shape(compression, head[:_HEAD_BYTES], whole=len(head) < _HEAD_BYTES)


def _refuse_bomb(path: Path, compression: Compression, limit_bytes: int) -> None:
    """Inflate a file that starts far denser than logs do to its end, before anything is parsed.

    zstd is quick enough to do it always.
    """
    with path.open("rb") as file:
        start = file.read(_BOMB_START_BYTES)
    if compression == "gzip" and not _is_dense(start):
        return
    for _ in inflated(path, compression, limit_bytes):
        pass


def _is_dense(start: bytes) -> bool:
    """Whether the start of a gzip file, of several members perhaps, inflates beyond reason."""
    allowed = _BOMB_RATIO * len(start)
    while start:
        member = zlib.decompressobj(31)
        try:
            allowed -= len(member.decompress(start, allowed))
        except zlib.error:
            return False  # told when it is read
        if allowed <= 0:
            return True
        start = member.unused_data
    return False


def _parquet_fields(path: Path) -> tuple[str, ...]:
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            columns = connection.execute(
                f"DESCRIBE SELECT * FROM read_parquet({literal(str(path))})"
            ).fetchall()
    except duckdb.Error as wrong:
        raise Refused(
            "damaged_parquet", "The Parquet footer could not be read.", "Upload the file again."
        ) from wrong
    if len(columns) > MAX_COLUMNS:
        raise _too_many_columns(len(columns))
    return tuple(column[0] for column in columns)


def _too_many_columns(count: int) -> Refused:
    return Refused(
        "too_many_columns",
        f"There are {count:,} columns or more; {MAX_COLUMNS:,} are read.",
        "Export only the columns that the adapter names.",
    )


def _text_shape(compression: Compression, head: bytes, whole: bool) -> Shape:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refused("bad_encoding", "The text is UTF-16.", "Convert it to UTF-8.")
    text = head.removeprefix(_BOM).decode("utf-8", "replace")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    start = text.lstrip()
    if start.count("\0") * 10 > len(start):
        raise Refused(
            "not_text", "The content is binary.", "Upload CSV, TSV, JSON or Parquet, or gzip/zstd."
        )
    if start.startswith(("{", "[")):
        return _json_shape(compression, start, whole)
    return _csv_shape(compression, text)


def _json_shape(compression: Compression, text: str, whole: bool) -> Shape:
    lines = [line for line in text.split("\n") if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()
    one_each = not text.startswith("[") and _one_record_a_line(lines[:_SAMPLE_RECORDS])
    sample = _objects(lines if one_each else [text])
    if not sample:
        raise Refused("not_records", "No JSON object could be read at the start.", _EXPORT_ADVICE)
    paths: dict[str, None] = {}
    for record in sample:
        _collect(record, "", paths)
    form: Format = "json_lines" if one_each else "json_stream"
    return Shape(compression, form, "", tuple(paths), sample)


def _one_record_a_line(lines: list[str]) -> bool:
    """JSON Lines, with some broken lines perhaps; not concatenated, not over several lines."""
    decoder = json.JSONDecoder()
    good = 0
    for line in lines:
        try:
            record, end = decoder.raw_decode(line.strip())
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(record, dict):
            good += 1
            if line.strip()[end:].lstrip(" ,").startswith("{"):
                return False
    return good > 0


def _objects(texts: list[str]) -> list[dict[str, Any]]:
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    for text in texts:
        at = text.find("{")
        while at >= 0 and len(found) < _SAMPLE_RECORDS:
            try:
                record, end = decoder.raw_decode(text, at)
            except (json.JSONDecodeError, RecursionError):
                break
            found.append(record)
            at = text.find("{", end)
    return found


def _collect(record: Any, prefix: str, paths: dict[str, None]) -> None:
    if not isinstance(record, dict) or prefix.count(".") > 3:
        return
    for name, value in record.items():
        if len(paths) > MAX_COLUMNS:
            return
        paths.setdefault(prefix + name)
        _collect(value, f"{prefix}{name}.", paths)


def _csv_shape(compression: Compression, text: str) -> Shape:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    if len(first) >= MAX_RECORD_BYTES // 8 and first.count(first[:1]) == len(first):
        raise Refused("not_records", "The first line is one endless value.", _EXPORT_ADVICE)
    if first.count("\ufffd") * 10 > len(first):
        raise Refused(
            "bad_encoding",
            "The first line is not UTF-8 text: it is binary, or in another encoding.",
            f"Convert it to UTF-8. {_EXPORT_ADVICE}",
        )
    delimiter = max(_DELIMITERS, key=first.count)
    if first.count(delimiter) >= MAX_COLUMNS:
        raise _too_many_columns(first.count(delimiter) + 1)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text.replace("\0", "")), delimiter=delimiter):
            if row:
                rows.append([value[:4096] for value in row])
            if len(rows) >= _SAMPLE_RECORDS:
                break
    except csv.Error:  # a giant field later on: the rows before it are sample enough
        pass
    if not rows:
        raise Refused("not_records", "There is no row that could be read.", _EXPORT_ADVICE)
    return Shape(compression, "csv", delimiter, tuple(v.strip() for v in rows[0]), rows)


_EXPORT_ADVICE = "Export CSV or TSV with a header, JSON Lines, or Parquet."
