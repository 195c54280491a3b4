# ruff: noqa: S608 - SQL is made of quoted names and literals
"""What a Parquet file holds, found out before its rows are read: sizes, and texts that repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.adapters import sql
from swerve.adapters.arrow import MOST_TEXT_BYTES, columns_of
from swerve.domain.coding import Coder
from swerve.domain.fields import Coded, Texts
from swerve.domain.file import Refused
from swerve.domain.source import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from swerve.domain.source import Source

MAX_ROWS = 100_000_000
_GROUP_ROWS = 122_880  # a row group of DuckDB's own files
_LEAST_ROWS = 128  # at once
_SKEW = 4  # times the usual size, rows of one place may have
_BLOCK_ROWS = 1 << 15
_MOST_TEXTS = 1 << 20  # of a column that are read once each
_MOST_BYTES = 32_000_000
_SIZE_BYTES = 4  # before each text outside of a dictionary


class Dictionary:
    """The different texts of a column, and which of them a row holds, told by DuckDB's hash.

    Attributes
    ----------
    name : str
        Of the column.

    Notes
    -----
    DuckDB hashes each text of a Parquet dictionary once, and a number is handed over quicker than
    a text. The hash is no secret, so that somebody may write texts that collide: `is_exact` tells
    that no two texts of this column do.
    """

    def __init__(self, name: str, texts: Texts, hashed: NDArray[np.int64]) -> None:
        self.name = name
        # The codes count from 1.
        self._texts = Texts(texts.data, np.insert(texts.start, 0, 0), np.insert(texts.size, 0, 0))
        self._coder = Coder()
        self._coder.codes(hashed.view(np.uint64))

    @property
    def is_exact(self) -> bool:
        """Whether each text has a hash of its own."""
        return self._coder.known == len(self._texts) - 1

    def column(self, hashed: NDArray[np.int64]) -> Coded:
        """Return the texts of rows by their hashes."""
        place = np.empty(hashed.size, np.uint32)
        for first in range(0, hashed.size, _BLOCK_ROWS):  # few enough for the cache
            block = slice(first, first + _BLOCK_ROWS)
            place[block], unknown = self._coder.codes(hashed[block].view(np.uint64))
            if unknown.size:
                raise AssertionError("DuckDB hashed a text in two ways")
        return Coded(self._texts, place)


@dataclass(frozen=True, slots=True)
class _Column:
    """Bytes of one column: as stored, of its texts, of the longest of them; and their number."""

    stored: int
    has_dictionary: bool
    texts: int
    longest: int
    count: int

    @property
    def repeats(self) -> bool:
        """Whether its dictionaries save half of the space or more."""
        return self.has_dictionary and 2 * self.stored < self.texts + _SIZE_BYTES * self.count


class ParquetFile:
    """Sizes and dictionaries of one file.

    Raises `Refused` where it is too large.

    Parameters
    ----------
    connection : DuckDBPyConnection
    path : str
    used : set of str
        Names of the columns that an adapter reads, in small letters.
    limit_bytes : int
        Most bytes when uncompressed.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: str, used: set[str], limit_bytes: int
    ) -> None:
        self._connection, self._path = connection, path
        described = connection.execute(f"DESCRIBE {sql.scan_parquet(path, 0, 0)}").fetchall()
        names, types = (tuple(column) for column in list(zip(*described, strict=True))[:2])
        self.columns = sql.Columns("parquet", names, types)
        self.rows, self._stored = self._checked_size(limit_bytes)
        self._coded = self._sized(used)
        self._check_texts(limit_bytes)

    @property
    def rows_at_once(self) -> int:
        """Rows whose text fits into memory: codes make gigabytes of a small file."""
        longest = sum(column.longest for column in self._coded.values())
        usual = MOST_TEXT_BYTES * self.rows // max(_SKEW * self._stored, 1)
        at_once = min(max(usual, _GROUP_ROWS), 2 * _GROUP_ROWS)
        return min(max(MOST_TEXT_BYTES // max(longest, 1), _LEAST_ROWS), at_once)

    def dictionaries(self, source: Source) -> dict[Role, Dictionary]:
        """Read the texts of columns that tell a role alone, and hold few different ones."""
        found: dict[Role, Dictionary] = {}
        if self.rows_at_once < _GROUP_ROWS:
            return found
        for role, name in _text_columns(self.columns, source).items():
            if name in self._coded and self._coded[name].repeats:
                dictionary = self._dictionary(name)
                if dictionary is not None and dictionary.is_exact:
                    found[role] = dictionary
        return found

    def _dictionary(self, name: str) -> Dictionary | None:
        self._connection.execute(_distinct(self._path, name))
        try:
            ((count, size),) = self._connection.execute(_DISTINCT_SIZE).fetchall()
            if count > _MOST_TEXTS or size > _MOST_BYTES:
                return None
            texts, numbers = columns_of(self._connection.sql(_DISTINCT_HASHED))
        finally:
            self._connection.execute("DROP TABLE different")
        return Dictionary(name, texts["text"], numbers["hash"])

    def _checked_size(self, limit_bytes: int) -> tuple[int, int]:
        """Rows, and bytes when uncompressed."""
        rows, size = self._connection.execute(_size(self._path)).fetchall()[0]
        if size > limit_bytes or rows > MAX_ROWS:
            raise Refused(
                "too_large",
                f"The file holds {rows:,} rows and {size // 1_000_000:,} MB uncompressed.",
                "Split the file, or raise MaxObjectMB.",
            )
        return int(rows), int(size)

    def _sized(self, used: set[str]) -> dict[str, _Column]:
        """Sizes of the columns whose texts may be longer than the file says."""
        coded = self._connection.execute(_coded_bytes(self._path)).fetchall()
        stored = {name: (int(size), has_dictionary) for name, size, has_dictionary in coded}
        columns = dict(zip(self.columns.names, self.columns.types, strict=True))
        names = [
            name
            for name, kind in columns.items()
            if kind == "VARCHAR" and name in stored and name.casefold() in used
        ]
        if not names:
            return {}
        sizes = self._connection.execute(_text_bytes(self._path, names)).fetchall()[0]
        return {
            name: _Column(*stored[name], *map(int, sizes[3 * place : 3 * place + 3]))
            for place, name in enumerate(names)
        }

    def _check_texts(self, limit_bytes: int) -> None:
        size = sum(column.texts for column in self._coded.values())
        if size > limit_bytes:
            raise Refused(
                "too_large",
                f"Its rows hold {size // 1_000_000:,} MB of text.",
                "Export shorter fields, map other fields in an adapter, or split the file.",
            )


def _text_columns(columns: sql.Columns, source: Source) -> dict[Role, str]:
    """Columns of text that tell a role alone, in every row."""
    fields = sql.Fields(columns)
    if any(fields.lines(rule) for rule in source.explode):
        return {}
    names = {
        fields.path(name): name
        for name, kind in zip(columns.names, columns.types, strict=True)
        if kind == "VARCHAR"
    }
    texts = {role: fields.role(source, role) for role in Role}
    return {role: names[text] for role, text in texts.items() if text in names}


def _size(path: str) -> str:
    """Rows of a file, and its bytes when uncompressed."""
    return (
        "SELECT (SELECT coalesce(sum(num_rows), 0)::BIGINT"
        f" FROM parquet_file_metadata({sql.literal(path)})),"
        " (SELECT coalesce(sum(total_uncompressed_size), 0)::BIGINT"
        f" FROM parquet_metadata({sql.literal(path)}))"
    )


def _coded_bytes(path: str) -> str:
    """Columns with dictionaries or differences: bytes when uncompressed, whether the former."""
    return (
        "SELECT path_in_schema, sum(total_uncompressed_size)::HUGEINT,"
        " bool_or(encodings LIKE '%DICT%')"
        f" FROM parquet_metadata({sql.literal(path)}) GROUP BY path_in_schema"
        " HAVING bool_or(encodings LIKE '%DICT%' OR encodings LIKE '%DELTA%')"
    )


def _text_bytes(path: str, columns: Sequence[str]) -> str:
    """Of each column, the bytes of all texts and of the longest, and how many there are."""
    lengths = [f"strlen({sql.quoted(name)})" for name in columns]
    sizes = [
        f"coalesce(sum({one}), 0)::HUGEINT, coalesce(max({one}), 0), count({one})"
        for one in lengths
    ]
    return f"SELECT {', '.join(sizes)} FROM read_parquet({sql.literal(path)})"


def _distinct(path: str, column: str) -> str:
    """Find the different texts of a column, for the queries below."""
    return (
        "CREATE TEMP TABLE different AS"
        f" SELECT DISTINCT {sql.quoted(column)} AS text FROM read_parquet({sql.literal(path)})"
    )


_DISTINCT_SIZE = "SELECT count(*), coalesce(sum(strlen(text)), 0) FROM different"
_DISTINCT_HASHED = "SELECT text, hash(text) AS hash FROM different"
