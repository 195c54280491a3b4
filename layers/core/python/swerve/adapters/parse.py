"""Reads a file piece by piece: plain lines where they lie, all else by way of DuckDB.

DuckDB finds the fields of records of any shape, and knows what times and numbers of unusual
spelling mean; numpy reads plain lines (ADR 13), and the columns that DuckDB found (ADR 14, 16).
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
from swerve.adapters.parquet import ParquetFile
from swerve.adapters.split import PIECE_BYTES, PLAIN_BYTES, Piece, split_lines
from swerve.domain.fields import PADDING, Coded, Texts, fields_of
from swerve.domain.file import MAX_RECORD_BYTES, Refused
from swerve.domain.flat_json import FlatReader
from swerve.domain.manifest import RowReason
from swerve.domain.reading import Fields, Reader
from swerve.domain.rows import CODED, Parsed, Rejected, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.file import FileToRead, Shape
    from swerve.domain.source import Lookup, Role

_MEMORY_LIMIT = "400MB"
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

    def _plain(self, piece: Piece, bounds: NDArray[np.int32], columns: sql.PlainColumns) -> Parsed:
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
            nothing = np.zeros(flat.lines.size, np.int32)
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
        data = memoryview(piece.data)[:-PADDING]
        # DuckDB takes one mark away at the start of a file; it must not be a field's own.
        path.write_bytes(_BOM * (data[: len(_BOM)] == _BOM) + data)
        if columns.format == "csv":
            scan = sql.scan_csv(str(path), len(columns.names), self._file.shape.delimiter)
        else:
            scan = sql.scan_json(str(path))
        query = self._query(scan, columns)
        texts, counts = self._found(query, piece.numbers.size)
        numbers = piece.numbers
        if columns.format == "csv":
            ragged = self._ragged()
            rejected.add(RowReason.RAGGED, numbers[ragged])
            numbers = np.delete(numbers, ragged)
        yield from self._fields(query, texts, counts, numbers, rejected)

    def _query(
        self, scan: str, columns: sql.Columns, hashed: dict[Role, str] | None = None
    ) -> sql.FieldsQuery:
        lookup = self._has_lookup
        return sql.fields_query(scan, columns, self._file.source, lookup=lookup, hashed=hashed)

    def _found(
        self, query: sql.FieldsQuery, rows: int
    ) -> tuple[dict[str, Texts], dict[str, NDArray[np.int64]]]:
        """Let DuckDB find the fields of records of any shape."""
        try:
            return columns_of(self._connection.sql(sql.selected(query)))
        except TooMuchText as wrong:
            raise Refused(
                "too_large",
                f"{rows:,} of its rows hold more than {MOST_TEXT_BYTES // 1_000_000:,} MB of text.",
                "Export shorter fields, or map other fields in an adapter of your own.",
            ) from wrong

    def _fields(
        self,
        query: sql.FieldsQuery,
        texts: Mapping[str, Texts],
        counts: Mapping[str, NDArray[np.int64]],
        numbers: NDArray[np.int64],
        rejected: Rejected,
        coded: Mapping[str, Coded] | None = None,
    ) -> Iterator[Parsed]:
        """Read what DuckDB found in the records of these numbers."""
        record = counts["number"]
        read = int(record.max(initial=0))
        if read < numbers.size:  # what the parser was silent about is still an input row
            rejected.add(RowReason.NOT_A_RECORD, numbers[read:])
        if query.exploded:
            rejected.count(RowReason.TOO_LONG, int(counts["excess"].sum()))
        number = numbers[record - 1]
        found: dict[str, Texts | Coded] = {**texts, **(coded or {})}
        columns = {role: found[role] for role in query.roles}
        ids = [texts[f"id{place}"] for place in range(query.ids)]
        too_long = _too_long([*columns.values(), *ids])
        if too_long is not None:
            rejected.add(RowReason.TOO_LONG, number[too_long])
            columns = {role: some.take(~too_long) for role, some in columns.items()}
            ids = [some.take(~too_long) for some in ids]
            number = number[~too_long]
        for first in range(0, max(number.size, 1), _BLOCK_ROWS):  # few enough for the cache
            block = slice(first, first + _BLOCK_ROWS)
            fields = Fields(
                {role: some.take(block) for role, some in columns.items()},
                [some.take(block) for some in ids],
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
        path, source = str(self._file.path), self._file.source
        used = {field.casefold() for field in source.paths}
        file = ParquetFile(self._connection, path, used, self._file.limit_bytes)
        dictionaries = {} if self._has_lookup else file.dictionaries(source)
        hashed = {role: dictionary.name for role, dictionary in dictionaries.items()}
        at_once = file.rows_at_once
        for first in range(0, file.rows, at_once):
            last = min(file.rows, first + at_once)
            query = self._query(sql.scan_parquet(path, first, last), file.columns, hashed)
            numbers = np.arange(first + 1, last + 1)
            texts, counts = self._found(query, numbers.size)
            coded: dict[str, Coded] = {
                role: dictionary.column(counts[role]) for role, dictionary in dictionaries.items()
            }
            yield from self._fields(query, texts, counts, numbers, Rejected(), coded)

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


def _too_long(columns: Sequence[Texts | Coded]) -> NDArray[np.bool_] | None:
    """Rows whose texts are longer together than a text's parser lets through; None for none."""
    if sum(some.longest for some in columns) <= MAX_RECORD_BYTES:
        return None
    return np.asarray(sum(some.size for some in columns) > MAX_RECORD_BYTES)


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
