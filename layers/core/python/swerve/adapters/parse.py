"""Reads a file piece by piece: plain lines where they lie, all else by way of DuckDB.

DuckDB finds the fields of records of any shape, and knows what times and numbers of unusual
spelling mean; numpy reads plain lines (ADR 13), and the columns that DuckDB found (ADR 14).
"""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from swerve.adapters import sql
from swerve.adapters.arrow import MOST_TEXT_BYTES, TooMuchText, columns_of
from swerve.adapters.inflate import inflated
from swerve.adapters.json_stream import as_lines
from swerve.adapters.split import PIECE_BYTES, PLAIN_BYTES, Piece, split_lines
from swerve.domain.fields import WORD, Texts, fields_of
from swerve.domain.file import MAX_RECORD_BYTES, Refused
from swerve.domain.flat_json import FlatReader
from swerve.domain.manifest import RowReason
from swerve.domain.reading import Fields, Reader
from swerve.domain.rows import CODED, Parsed, Rejected, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.file import FileToRead, Shape
    from swerve.domain.source import Lookup

MAX_ROWS = 100_000_000
_MEMORY_LIMIT = "400MB"
_PARQUET_ROWS = 122_880  # a row group of DuckDB's own files
_LEAST_ROWS = 128  # of Parquet at once
_BLOCK_ROWS = 1 << 16
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
                yield from self._piece(piece, columns)
            elif plain is None:
                yield from self._piece(piece.copied(), columns)
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
            yield from self._piece(piece, sql.Columns("json"))
            return
        found, left = self._flat.read(piece.data, piece.bounds)
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
        yield from self._piece(Piece(piece.chosen(left), rest, piece.bad), sql.Columns("json"))

    def _piece(self, piece: Piece, columns: sql.Columns) -> Iterator[Parsed]:
        rejected = _rejected(piece)
        if not piece.numbers.size:
            yield Parsed(Rows.empty(), {}, rejected, {})
            return
        path = self._folder / "piece"
        data = memoryview(piece.data)[:-WORD]
        # DuckDB takes one mark away at the start of a file; it must not be a field's own.
        path.write_bytes(_BOM * (data[: len(_BOM)] == _BOM) + data)
        if columns.format == "csv":
            scan = sql.scan_csv(str(path), len(columns.names), self._file.shape.delimiter)
        else:
            scan = sql.scan_json(str(path))
        yield from self._parsed(scan, columns, piece.numbers, rejected)

    def _parsed(
        self, scan: str, columns: sql.Columns, numbers: NDArray[np.int64], rejected: Rejected
    ) -> Iterator[Parsed]:
        """Let DuckDB find the fields of records of any shape."""
        query = sql.fields_query(scan, columns, self._file.source, lookup=self._has_lookup)
        try:
            texts, counts = columns_of(self._connection.sql(sql.selected(query)))
        except TooMuchText as wrong:
            raise Refused(
                "too_large",
                f"{numbers.size:,} of its rows hold more than "
                f"{MOST_TEXT_BYTES // 1_000_000:,} MB of text.",
                "Export shorter fields, or map other fields in an adapter of your own.",
            ) from wrong
        if columns.format == "csv":
            ragged = self._ragged()
            rejected.add(RowReason.RAGGED, numbers[ragged])
            numbers = np.delete(numbers, ragged)
        record = counts["number"]
        too_long = _sizes(texts) > MAX_RECORD_BYTES  # of a text they never get here
        if too_long.any():
            rejected.add(RowReason.TOO_LONG, numbers[record[too_long] - 1])
            texts = {name: some.take(~too_long) for name, some in texts.items()}
        read = int(record.max(initial=0))
        if read < numbers.size:  # what the parser was silent about is still an input row
            rejected.add(RowReason.NOT_A_RECORD, numbers[read:])
        if query.exploded:
            rejected.count(RowReason.TOO_LONG, int(counts["excess"].sum()))
        number = numbers[record[~too_long] - 1]
        for first in range(0, max(number.size, 1), _BLOCK_ROWS):  # few enough for the cache
            block = slice(first, first + _BLOCK_ROWS)
            fields = Fields(
                {role: texts[role].take(block) for role in query.roles},
                [texts[f"id{place}"].take(block) for place in range(query.ids)],
                number[block],
            )
            yield self._reader.parsed(fields, Rejected() if first else rejected)

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
        at_once = self._rows_at_once(path, dict(zip(names, types, strict=True)))
        for first in range(0, rows, at_once):
            last = min(rows, first + at_once)
            scan = sql.scan_parquet(path, first, last)
            numbers = np.arange(first + 1, last + 1)
            yield from self._parsed(scan, sql.Columns("parquet", names, types), numbers, Rejected())

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

    def _rows_at_once(self, path: str, types: dict[str, str]) -> int:
        """Rows whose text fits into memory: a dictionary makes gigabytes of a small file."""
        used = {field.casefold() for field in self._file.source.paths}
        columns = [name for name in types if types[name] == "VARCHAR" and name.casefold() in used]
        # Texts outside of dictionaries are no longer than the file says.
        dictionaries = self._dictionaries(path)
        columns = [name for name in columns if name in dictionaries]
        if not columns:
            return _PARQUET_ROWS
        size, longest = self._run(sql.text_bytes(path, columns)).fetchall()[0]
        if size > self._file.limit_bytes:
            raise Refused(
                "too_large",
                f"Its rows hold {size // 1_000_000:,} MB of text.",
                "Export shorter fields, map other fields in an adapter, or split the file.",
            )
        return min(max(MOST_TEXT_BYTES // max(int(longest), 1), _LEAST_ROWS), _PARQUET_ROWS)

    def _dictionaries(self, path: str) -> set[str]:
        """Columns that have dictionaries."""
        return {
            name
            for (name,) in self._run(
                "SELECT DISTINCT path_in_schema"
                f" FROM parquet_metadata({sql.literal(path)}) WHERE encodings LIKE '%DICT%'"
            ).fetchall()
        }

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


def _sizes(texts: dict[str, Texts]) -> NDArray[np.int64]:
    """Bytes of all texts of each row."""
    return np.asarray(sum(some.size for some in texts.values()), np.int64)


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
