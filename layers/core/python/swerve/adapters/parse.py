"""DuckDB reads a file piece by piece, and codes the texts of the adapter's fields.

One pass a piece: records, order lines, fields as text, a table; then the distinct texts of each
role get a code (by join, so exact), and numpy receives plain numbers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from swerve.adapters import sql
from swerve.adapters.inflate import inflated
from swerve.adapters.split import Piece, as_lines, split_lines
from swerve.domain.file import Refused
from swerve.domain.manifest import RowReason
from swerve.domain.rows import CODED, NO_TIME, SAMPLES, Parsed, Rejected, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.file import FileToRead, Shape
    from swerve.domain.source import Lookup, Role

MAX_ROWS = 100_000_000
_MEMORY_LIMIT = "400MB"
_PARQUET_ROWS = 400_000
_QUOTED = re.compile(r"([\"'`]).*?\1|\{.*\}|\d{4,}")
_SHOWN_TEXT = 200


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
        self._known = dict.fromkeys(CODED, 0)
        for role in CODED:
            self._run(f"CREATE TEMP TABLE {role}_codes (text VARCHAR, code UINTEGER)")
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
        if file.shape.format == "csv":
            columns = sql.Columns("csv", file.columns)
            pieces = split_lines(chunks, file.shape.delimiter, len(file.columns), skip=file.header)
        else:
            columns = sql.Columns("json")
            lines = as_lines(chunks) if file.shape.format == "json_stream" else chunks
            pieces = split_lines(lines)
        for piece in pieces:
            yield self._piece(piece, columns)

    def _piece(self, piece: Piece, columns: sql.Columns) -> Parsed:
        rejected = Rejected()
        for reason, numbers in piece.bad.items():
            rejected.add(reason, numbers)
        if not piece.numbers.size:
            return Parsed(Rows.empty(), {}, rejected, {})
        path = self._folder / "piece"
        path.write_bytes(piece.data)
        if columns.format == "csv":
            scan = sql.scan_csv(str(path), len(columns.names), self._file.shape.delimiter)
        else:
            scan = sql.scan_json(str(path))
        self._load(scan, columns)
        numbers = piece.numbers
        if columns.format == "csv":
            ragged = self._ragged()
            rejected.add(RowReason.RAGGED, numbers[ragged])
            numbers = np.delete(numbers, ragged)
        read = self._records_read()
        if read < numbers.size:  # what the parser was silent about is still an input row
            rejected.add(RowReason.NOT_A_RECORD, numbers[read:])
        return self._parsed(numbers, rejected)

    def _ragged(self) -> NDArray[np.int64]:
        found = self._run("SELECT DISTINCT line FROM reject_errors ORDER BY line").fetchnumpy()
        lines = np.asarray(found["line"], np.int64) - 1
        if lines.size:
            self._run("DELETE FROM reject_errors")
            self._run("DELETE FROM reject_scans")
        return lines

    def _parquet(self) -> Iterator[Parsed]:
        path = str(self._file.path)
        described = self._run(f"DESCRIBE {sql.scan_parquet(path, 0, 0)}").fetchall()
        names, types = (tuple(column) for column in list(zip(*described, strict=True))[:2])
        rows = self._check_size(path)
        for first in range(0, rows, _PARQUET_ROWS):
            last = min(rows, first + _PARQUET_ROWS)
            self._load(sql.scan_parquet(path, first, last), sql.Columns("parquet", names, types))
            yield self._parsed(np.arange(first + 1, last + 1), Rejected())

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

    def _load(self, scan: str, columns: sql.Columns) -> None:
        file = self._file
        query = sql.fields_query(
            scan, columns, file.source, file.salt, zoned=file.zoned, lookup=self._has_lookup
        )
        self._roles = query.roles
        self._run(f"CREATE OR REPLACE TEMP TABLE piece AS {query.sql}")

    def _records_read(self) -> int:
        return int(self._run("SELECT coalesce(max(number), 0) FROM piece").fetchall()[0][0])

    def _parsed(self, numbers: NDArray[np.int64], rejected: Rejected) -> Parsed:
        texts = {role: self._new_texts(role) for role in self._roles}
        codes = [f"coalesce({role}_codes.code, 0)::UINTEGER AS {role}" for role in self._roles]
        joins = [
            f" LEFT JOIN {role}_codes ON {role}_codes.text = {role}_text" for role in self._roles
        ]
        found = self._run(
            f"SELECT {', '.join(codes)}, coalesce(time_ms, {NO_TIME}) AS time_ms, naive, value,"
            f" identity, number, raw_time IS NOT NULL OR isinf(value) AS odd, excess"
            f" FROM piece{''.join(joins)}"
        ).fetchnumpy()
        position = found["number"] - 1
        excess = found["excess"]
        if excess.any():
            rejected.count(RowReason.TOO_LONG, int(excess.sum()))
        nothing = np.zeros(position.size, np.uint32)
        rows = Rows(
            user=found.get("user", nothing),
            event=found.get("event", nothing),
            item=found.get("item", nothing),
            category=found.get("category", nothing),
            campaign=found.get("campaign", nothing),
            time_ms=found["time_ms"],
            naive=found["naive"],
            value=found["value"],
            identity=found["identity"],
            number=numbers[position],
        )
        raw = self._raw(numbers) if found["odd"].any() else {}
        return Parsed(rows, texts, rejected, raw)

    def _raw(self, numbers: NDArray[np.int64]) -> Mapping[int, tuple[str, str]]:
        """Texts of unreadable times and values, by record number."""
        shown = self._run(
            f"SELECT number, left(raw_time, {_SHOWN_TEXT}), left(raw_value, {_SHOWN_TEXT})"
            " FROM piece WHERE raw_time IS NOT NULL OR raw_value IS NOT NULL"
            f" ORDER BY number LIMIT {2 * SAMPLES}"
        ).fetchall()
        return {int(numbers[n - 1]): (time or "", value or "") for n, time, value in shown}

    def _new_texts(self, role: Role) -> list[str]:
        known = self._known[role]
        self._run(
            f"INSERT INTO {role}_codes SELECT text, {known} + row_number() OVER () FROM"
            f" (SELECT DISTINCT {role}_text AS text FROM piece WHERE {role}_text IS NOT NULL)"
            f" ANTI JOIN {role}_codes USING (text)"
        )
        found: dict[str, Any] = self._run(
            f"SELECT text FROM {role}_codes WHERE code > {known} ORDER BY code"
        ).fetchnumpy()
        texts: list[str] = found["text"].tolist()
        self._known[role] = known + len(texts)
        return texts

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
