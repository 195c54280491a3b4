"""Reads a file piece by piece: plain lines where they lie, all else by way of DuckDB.

DuckDB turns records of any shape into plain lines of the adapter's fields, and knows what times and
numbers of unusual spelling mean; numpy reads plain lines (ADR 13).
"""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from swerve.adapters import sql
from swerve.adapters.inflate import inflated
from swerve.adapters.json_stream import as_lines
from swerve.adapters.split import PIECE_BYTES, PLAIN_BYTES, Piece, split_lines
from swerve.domain.fields import WORD, Texts, fields_of, marks_of, row_bounds
from swerve.domain.file import MAX_RECORD_BYTES, Refused
from swerve.domain.flat_json import FlatReader
from swerve.domain.manifest import RowReason
from swerve.domain.reading import Fields, Reader
from swerve.domain.rows import CODED, Parsed, Rejected, Rows
from swerve.domain.times import whole_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.file import FileToRead, Shape
    from swerve.domain.source import Lookup

MAX_ROWS = 100_000_000
_MEMORY_LIMIT = "400MB"
_MOST_LINES_BYTES = 300_000_000  # a dictionary makes gigabytes of text of a small Parquet file
_PARQUET_ROWS = 122_880  # a row group of DuckDB's own files
_QUOTED = re.compile(r"([\"'`]).*?\1|\{.*\}|\d{4,}")
_SHOWN_TEXT = 200
_BOM = b"\xef\xbb\xbf"


class Parser:
    """Reads one file by one adapter; a context manager.

    Parameters
    ----------
    file : FileToRead
    folder : Path
        For temporary files, of this invocation alone: a folder shared with another process
        silently gave wrong counts (measured).
    lookup : (Path, Shape), optional
        Side file with the categories of items.
    """

    def __init__(
        self, file: FileToRead, folder: Path, lookup: tuple[Path, Shape] | None = None
    ) -> None:
        self._file, self._folder = file, folder
        self._connection = connect(folder)
        self._reader = Reader(
            file.source.time_unit,
            file.salt,
            zoned=file.zoned,
            meanings=_Meanings(self._connection, file.source.time_unit),
        )
        keys = sql.flat_keys(file.source)
        named = [name for role in CODED for name in keys.roles.get(role, ())] if keys else []
        self._flat = FlatReader([*named, *file.source.event_id])
        self._has_lookup = lookup is not None and file.source.lookup is not None
        if lookup is not None and file.source.lookup is not None:
            self._load_lookup(file.source.lookup, *lookup)

    def __enter__(self) -> Parser:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def pieces(self) -> Iterator[Parsed]:
        """Yield all rows; raise `Refused` where the file is damaged or too large."""
        kind = self._file.shape.format
        try:
            yield from self._parquet() if kind == "parquet" else self._text()
        except duckdb.OutOfMemoryException as wrong:
            raise Refused(
                "too_large", "The rows do not fit in memory.", "Split the file."
            ) from wrong
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise  # our own query is wrong, not the file
        except duckdb.Error as wrong:
            raise Refused(
                f"damaged_{kind}",
                f"The content could not be read: {_brief(wrong)}.",
                "Export and upload the file again; nothing of it was taken.",
            ) from wrong

    def _run(self, query: str) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(query)

    def _text(self) -> Iterator[Parsed]:
        file = self._file
        chunks = inflated(file.path, file.shape.compression, file.limit_bytes)
        if file.shape.format != "csv":
            lines = as_lines(chunks) if file.shape.format == "json_stream" else chunks
            keys = None if self._has_lookup else sql.flat_keys(file.source)
            for piece in split_lines(lines, PLAIN_BYTES if keys else PIECE_BYTES):
                yield from self._json(piece, keys)
            return
        columns = sql.Columns("csv", file.columns)
        plain = None if self._has_lookup else sql.plain_columns(columns, file.source)
        for piece in split_lines(
            chunks, PLAIN_BYTES, file.shape.delimiter, len(columns.names), skip=file.header
        ):
            if piece.bounds is None:
                yield self._piece(piece, columns)
            elif plain is None:
                yield self._piece(piece.copied(), columns)
            else:
                yield self._plain(piece, piece.bounds, plain)

    def _plain(self, piece: Piece, bounds: NDArray[np.int64], columns: sql.PlainColumns) -> Parsed:
        """Read fields where they lie; DuckDB would take most of the time."""
        found = fields_of(piece.data, bounds, columns.places)
        texts = {
            role: reduce(Texts.otherwise, [found[place] for place in places])
            for role, places in columns.roles.items()
        }
        ids = [found[place] for place in columns.ids]
        return self._reader.parsed(Fields(texts, ids, piece.numbers), _rejected(piece))

    def _json(self, piece: Piece, keys: sql.FlatKeys | None) -> Iterator[Parsed]:
        """Read lines of known patterns where they lie, and leave the others to DuckDB."""
        if keys is None or not piece.numbers.size:
            yield self._piece(piece, sql.Columns("json"))
            return
        found, left = self._flat.read(piece.data + bytes(WORD))
        for flat in found:
            nothing = np.zeros(flat.lines.size, np.int64)
            none = Texts(piece.data, nothing, nothing)
            texts = {
                role: reduce(Texts.otherwise, [flat.texts.get(name, none) for name in names])
                for role, names in keys.roles.items()
                if names
            }
            ids = [flat.texts.get(name, none) for name in keys.ids]
            fields = Fields(texts, ids, piece.numbers[flat.lines])
            yield self._reader.parsed(fields, Rejected())
        rest = piece.numbers[left]
        yield self._piece(Piece(piece.chosen(left), rest, piece.bad), sql.Columns("json"))

    def _piece(self, piece: Piece, columns: sql.Columns) -> Parsed:
        rejected = _rejected(piece)
        if not piece.numbers.size:
            return Parsed(Rows.empty(), {}, rejected, {})
        path = self._folder / "piece"
        # DuckDB takes one mark away at the start of a file; it must not be a field's own.
        path.write_bytes(_BOM * piece.data.startswith(_BOM) + piece.data)
        if columns.format == "csv":
            scan = sql.scan_csv(str(path), len(columns.names), self._file.shape.delimiter)
        else:
            scan = sql.scan_json(str(path))
        return self._parsed(scan, columns, piece.numbers, rejected)

    def _parsed(
        self, scan: str, columns: sql.Columns, numbers: NDArray[np.int64], rejected: Rejected
    ) -> Parsed:
        """Let DuckDB find the fields of records of any shape, and write them as plain lines."""
        query = sql.fields_query(scan, columns, self._file.source, lookup=self._has_lookup)
        data, bounds, escaped = self._plain_lines(query)
        if columns.format == "csv":
            ragged = self._ragged()
            rejected.add(RowReason.RAGGED, numbers[ragged])
            numbers = np.delete(numbers, ragged)
        found = dict(
            zip(
                query.columns,
                fields_of(data, bounds, range(len(query.columns))).values(),
                strict=True,
            )
        )
        record, _ = whole_numbers(found["number"])
        too_long = bounds[:, -1] - bounds[:, 0] > MAX_RECORD_BYTES  # of a text they never get here
        if too_long.any():
            rejected.add(RowReason.TOO_LONG, numbers[record[too_long] - 1])
            found = {name: texts.take(~too_long) for name, texts in found.items()}
        if escaped:
            found = {name: _unescaped(texts) for name, texts in found.items()}
        read = int(record.max(initial=0))
        if read < numbers.size:  # what the parser was silent about is still an input row
            rejected.add(RowReason.NOT_A_RECORD, numbers[read:])
        if query.exploded:
            rejected.count(RowReason.TOO_LONG, int(whole_numbers(found["excess"])[0].sum()))
        fields = Fields(
            {role: found[role] for role in query.roles},
            [found[f"id{place}"] for place in range(query.ids)],
            numbers[record[~too_long] - 1],
        )
        return self._reader.parsed(fields, rejected)

    def _plain_lines(self, query: sql.FieldsQuery) -> tuple[bytes, NDArray[np.int64], bool]:
        """Run a query; return lines, bounds of fields, and whether texts are escaped."""
        path = self._folder / "lines"
        columns = len(query.columns)
        for escaped in (False, True):
            rows = self._run(sql.copy(query, str(path), escaped=escaped)).fetchall()[0][0]
            if path.stat().st_size > _MOST_LINES_BYTES:
                raise Refused(
                    "too_large",
                    f"{rows:,} rows hold {path.stat().st_size // 1_000_000:,} MB of text.",
                    "Export shorter fields, or map other fields in an adapter of your own.",
                )
            data = path.read_bytes() + bytes(WORD)
            marks = np.append(-1, marks_of(data, ord(sql.SEPARATOR)))
            if marks.size == rows * columns + 1:
                bounds = row_bounds(marks, columns)
                if (np.frombuffer(data, np.uint8)[bounds[:, -1]] == ord("\n")).all():
                    return data, bounds, escaped
            self._forget_rejects()
        raise AssertionError("fields hold separators in spite of escapes")

    def _ragged(self) -> NDArray[np.int64]:
        found = self._run("SELECT DISTINCT line FROM reject_errors ORDER BY line").fetchnumpy()
        lines = np.asarray(found["line"], np.int64) - 1
        if lines.size:
            self._forget_rejects()
        return lines

    def _forget_rejects(self) -> None:
        if self._file.shape.format != "csv":
            return  # only a CSV's reader keeps rejects
        self._run("DELETE FROM reject_errors")
        self._run("DELETE FROM reject_scans")

    def _parquet(self) -> Iterator[Parsed]:
        path = str(self._file.path)
        described = self._run(f"DESCRIBE {sql.scan_parquet(path, 0, 0)}").fetchall()
        names, types = (tuple(column) for column in list(zip(*described, strict=True))[:2])
        rows = self._check_size(path)
        for first in range(0, rows, _PARQUET_ROWS):
            last = min(rows, first + _PARQUET_ROWS)
            scan = sql.scan_parquet(path, first, last)
            numbers = np.arange(first + 1, last + 1)
            yield self._parsed(scan, sql.Columns("parquet", names, types), numbers, Rejected())

    def _check_size(self, path: str) -> int:
        rows, size = self._run(
            "SELECT (SELECT coalesce(sum(num_rows), 0)::BIGINT"
            f" FROM parquet_file_metadata({sql.literal(path)})),"
            " (SELECT coalesce(sum(total_uncompressed_size), 0)::BIGINT"
            f" FROM parquet_metadata({sql.literal(path)}))"
        ).fetchall()[0]
        if size > self._file.limit_bytes or rows > MAX_ROWS:
            raise Refused(
                "too_large",
                f"The file holds {rows:,} rows and {size // 1_000_000:,} MB uncompressed.",
                "Split the file, or raise MaxObjectMB.",
            )
        return int(rows)

    def _load_lookup(self, rule: Lookup, path: Path, shape: Shape) -> None:
        scan, columns = self._scan_lookup(path, shape)
        names = {name: columns.find(name) for name in (rule.key, rule.category)}
        missing = [name for name, position in names.items() if position is None]
        if missing:
            raise Refused(
                "bad_lookup",
                f"The lookup {rule.name} has no column {' or '.join(missing)}.",
                f"Put a file with these columns below lookups/{rule.name}/ in the data bucket.",
            )
        self._run(
            "CREATE TEMP TABLE lookup AS "
            + sql.lookup_query(scan, columns, rule, self._file.source.time_unit)
        )

    def _scan_lookup(self, path: Path, shape: Shape) -> tuple[str, sql.Columns]:
        if shape.format == "parquet":
            scan = f"SELECT * FROM read_parquet({sql.literal(str(path))})"
            described = self._run(f"DESCRIBE {scan}").fetchall()
            names, types = (tuple(column) for column in list(zip(*described, strict=True))[:2])
            return scan, sql.Columns("parquet", names, types)
        plain = self._folder / "lookup"
        with plain.open("wb") as copy:
            for chunk in inflated(path, shape.compression, self._file.limit_bytes):
                copy.write(chunk)
        return (
            f"{sql.scan_csv(str(plain), len(shape.fields), shape.delimiter)} OFFSET 1",
            sql.Columns("csv", shape.fields),
        )


class _Meanings:
    """DuckDB reads times and numbers of every spelling."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, time_unit: str) -> None:
        self._connection, self._time_unit = connection, time_unit

    def times(self, texts: list[str]) -> NDArray[np.int64]:
        found = self._of(sql.times(self._time_unit, "$1"), texts)
        return np.column_stack([found["ms"], found["naive"].astype(np.int64)])

    def values(self, texts: list[str]) -> NDArray[np.float32]:
        return self._of(sql.values("$1"), texts)["value"]

    def _of(self, query: str, texts: list[str]) -> dict[str, NDArray[Any]]:
        joined = sql.SEPARATOR.join(text.replace(sql.SEPARATOR, "?") for text in texts)
        return self._connection.execute(query, [joined]).fetchnumpy()


def _rejected(piece: Piece) -> Rejected:
    rejected = Rejected()
    for reason, numbers in piece.bad.items():
        rejected.add(reason, numbers)
    return rejected


def _unescaped(texts: Texts) -> Texts:
    """Texts as the file spells them: the same event id must give the same identity everywhere."""
    plain = list(texts)
    for text, spelled in reversed(sql.ESCAPES):
        plain = [one.replace(spelled, text) for one in plain]
    encoded = [one.encode() for one in plain]
    size = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return Texts(b"".join(encoded) + bytes(WORD), np.cumsum(size) - size, size)


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a database that stays in one thread, in its memory, and in one folder."""
    connection = duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _brief(wrong: Exception) -> str:
    """First line of a message, without what it quotes: that may be a user's id."""
    first = _QUOTED.sub("...", str(wrong).split("\n", 1)[0])
    return " ".join(word for word in first.split() if "/" not in word)[:_SHOWN_TEXT].rstrip(".")
