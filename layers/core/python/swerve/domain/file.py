"""What is known of an uploaded file before its rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swerve.domain.source import Source

Compression = Literal["none", "gzip", "zstd"]
Format = Literal["csv", "json_lines", "json_stream", "parquet"]
MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file is written.

    Attributes
    ----------
    delimiter : str
        Of a CSV.
    fields : tuple of str
        First row of a CSV, columns of a Parquet file, or dotted paths of the first JSON objects.
    sample : list
        First rows: lists of texts (CSV, the header among them), or objects (JSON).
    """

    compression: Compression
    format: Format
    delimiter: str
    fields: tuple[str, ...]
    sample: Sequence[Any]


@dataclass(frozen=True, slots=True)
class FileToRead:
    """A file and how to read it.

    Attributes
    ----------
    columns : tuple of str
        Names of a CSV's columns; empty for other formats.
    header : bool
        The first row of the CSV is no event.
    salt : str
        Prefix of event ids before they are hashed.
    zoned : bool
        Times without a zone must be marked.
    limit_bytes : int
        Most bytes after inflation.
    """

    path: Path
    shape: Shape
    source: Source
    columns: tuple[str, ...]
    header: bool
    salt: str
    zoned: bool
    limit_bytes: int


class Refused(Exception):
    """A file that cannot be read as a whole: `reason` is a code, `advice` the way out."""

    def __init__(self, reason: str, detail: str, advice: str) -> None:
        super().__init__(f"{detail} {advice}")
        self.reason = reason
        self.detail = detail
        self.advice = advice
