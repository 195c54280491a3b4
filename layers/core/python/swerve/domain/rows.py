"""Rows as a parser hands them over: numbers, and codes of texts that are named once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np

from swerve.domain.source import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from swerve.domain.manifest import RowReason

CODED = (Role.USER, Role.EVENT, Role.ITEM, Role.CATEGORY, Role.CAMPAIGN)
NO_TIME = np.iinfo(np.int64).min
SAMPLES = 1000

_ROW_TYPES: dict[str, type[np.generic]] = {
    **{role.value: np.uint32 for role in CODED},
    "time_ms": np.int64,
    "naive": np.bool_,
    "value": np.float32,
    "identity": np.uint64,
    "number": np.int64,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Order lines of a piece of a file, as parallel columns.

    Attributes
    ----------
    user, event, item, category, campaign : uint32[n]
        Codes of texts; 0 = none. Code k is the k-th text of that role in the whole file.
    time_ms : int64[n]
        Milliseconds since 1970; `NO_TIME` where there is no readable time.
    naive : bool[n]
        The time had no zone: `time_ms` is its wall clock read as UTC.
    value : float32[n]
        NaN where absent, infinite where it is no number.
    identity : uint64[n]
        Hash of the event id and the line within it; 0 where the row has none.
    number : int64[n]
        Of the record in the file, from 1.
    """

    user: NDArray[np.uint32]
    event: NDArray[np.uint32]
    item: NDArray[np.uint32]
    category: NDArray[np.uint32]
    campaign: NDArray[np.uint32]
    time_ms: NDArray[np.int64]
    naive: NDArray[np.bool_]
    value: NDArray[np.float32]
    identity: NDArray[np.uint64]
    number: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.user.size)

    @classmethod
    def empty(cls) -> Rows:
        """No rows."""
        return cls(**{name: np.empty(0, kind) for name, kind in _ROW_TYPES.items()})

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Rows:
        """Return the chosen rows."""
        return Rows(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True, slots=True)
class BadRow:
    """One rejected row, as far as it may be kept: the user field is never among `fields`."""

    reason: RowReason
    number: int
    user: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Rejected:
    """Rejected rows: all are counted, the first of each reason are kept."""

    counts: dict[RowReason, int] = field(default_factory=dict)
    samples: dict[RowReason, list[BadRow]] = field(default_factory=dict)

    def add(self, reason: RowReason, numbers: NDArray[np.int64]) -> None:
        """Count rows of which nothing but the number is known."""
        self.count(reason, int(numbers.size))
        self.keep(BadRow(reason, int(number)) for number in numbers[:SAMPLES])

    def count(self, reason: RowReason, rows: int) -> None:
        """Count rows."""
        if rows:
            self.counts[reason] = self.counts.get(reason, 0) + rows

    def keep(self, rows: Iterator[BadRow]) -> None:
        """Keep rows while there is room for their reason."""
        for row in rows:
            kept = self.samples.setdefault(row.reason, [])
            if len(kept) < SAMPLES:
                kept.append(row)

    def merge(self, other: Rejected) -> None:
        """Add the rows of another."""
        for reason, rows in other.counts.items():
            self.count(reason, rows)
        for samples in other.samples.values():
            self.keep(iter(samples))

    @property
    def total(self) -> int:
        """All rejected rows."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Parsed:
    """One piece of a file.

    Attributes
    ----------
    rows : Rows
        Every row that has fields, good or not.
    texts : mapping of Role to list of str
        Texts that were new in this piece, in the order of their codes.
    rejected : Rejected
        Records that have no fields at all.
    raw : mapping of int to (time, value)
        By position in `rows`: the text of some times and values that could not be read.
    """

    rows: Rows
    texts: Mapping[Role, list[str]]
    rejected: Rejected
    raw: Mapping[int, tuple[str, str]]


class Pieces(Protocol):
    """A file being read."""

    def pieces(self) -> Iterator[Parsed]:
        """Yield all rows; raise `Refused` where the file as a whole cannot be read."""
        ...
