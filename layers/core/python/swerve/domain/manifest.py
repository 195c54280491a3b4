"""The answer that a batch leaves behind: written last, it makes the batch's partials exist."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class DedupRule(StrEnum):
    """How the identity of an event is found (DESIGN.md section 4)."""

    ID = "id"
    ORDINAL = "ordinal"
    CONTENT = "content"


class RowReason(StrEnum):
    """Why a row was not packed."""

    BAD_TIME = "bad_time"
    FUTURE = "future"
    BEHIND_HORIZON = "behind_horizon"
    NO_USER = "no_user"
    UNKNOWN_EVENT = "unknown_event"
    BAD_NUMBER = "bad_number"
    TOO_LONG = "too_long"
    RAGGED = "ragged"
    BAD_ENCODING = "bad_encoding"
    NOT_A_RECORD = "not_a_record"
    OVER_RATE_CAP = "over_rate_cap"


class Erased(NamedTuple):
    """Packed events that were erased since.

    Attributes
    ----------
    events : int
        All of them.
    unique : int
        Those that no batch with a smaller id held: the close had counted them as unique, the others
        as duplicates.
    """

    events: int
    unique: int

    def plus(self, more: Erased) -> Erased:
        """Add up."""
        return Erased(self.events + more.events, self.unique + more.unique)


NOTHING = Erased(0, 0)


def erased_of(manifests: Iterable[Manifest]) -> dict[int, Erased]:
    """Add up what was erased of some batches, by ascending window."""
    total: dict[int, Erased] = {}
    for manifest in manifests:
        for window, gone in manifest.erased.items():
            total[window] = total.get(window, NOTHING).plus(gone)
    return dict(sorted(total.items()))


@dataclass(frozen=True, slots=True)
class Manifest:
    """Counts of one batch; rows == packed + duplicates + sum(rejected).

    They are those of the day on which the file was read, and stay: what was erased since is beside
    them.

    Attributes
    ----------
    batch_id : str
        32 hex digits: digest of the content, the adapter and its lookup's version.
    key, version : str
        The uploaded object (S3 key and version id) that was read first.
    packed : int
        Events written into partials.
    duplicates : int
        Rows of this file that repeat an event of this file.
    windows : dict
        Window to number of packed events.
    shards : tuple
        Shards that hold a partial of this batch.
    segments : int
        Partial items written, as `shards` by ingest or by the last split.
    watermark_ms : int
        99.9th percentile of the event times.
    erased : dict
        Window to what was erased of it.
    """

    batch_id: str
    key: str
    version: str
    source: str
    adapter: str
    dedup: DedupRule
    key_id: str
    rows: int
    packed: int
    duplicates: int
    rejected: dict[str, int]
    windows: dict[int, int]
    shards: tuple[int, ...]
    segments: int
    first_ms: int
    last_ms: int
    watermark_ms: int
    size_bytes: int
    uploaded_ms: int
    flags: dict[str, int] = field(default_factory=dict)
    erased: dict[int, Erased] = field(default_factory=dict)

    @property
    def held(self) -> dict[int, int]:
        """Window to the number of events that the partials hold now."""
        return {w: n - self.erased.get(w, NOTHING).events for w, n in self.windows.items()}

    def erase(self, window: int, more: Erased) -> Manifest:
        """Note that events of a window were erased."""
        total = self.erased.get(window, NOTHING).plus(more)
        return replace(self, erased=dict(sorted((self.erased | {window: total}).items())))
