"""Files on local disk, for the ingest use-case: what they are, their rows, their temporary rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.adapters.parse import Parser
from swerve.adapters.row_store import RowStore
from swerve.adapters.sniff import sniff

if TYPE_CHECKING:
    from pathlib import Path

    from swerve.domain.file import FileToRead, Shape


class LocalFiles:
    """DuckDB and numpy on local disk."""

    def sniff(self, path: Path, limit_bytes: int) -> Shape:
        """Tell format and fields; raise `Refused`."""
        return sniff(path, limit_bytes)

    def open(self, file: FileToRead, folder: Path, lookup: tuple[Path, Shape] | None) -> Parser:
        """Open for reading, as a context manager."""
        return Parser(file, folder, lookup)

    def store(self, folder: Path) -> RowStore:
        """Make room for rows between reading and packing."""
        return RowStore(folder)
