"""The answer that a batch leaves behind: written last, it makes the batch's partials exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Manifest:
    """Counts of one batch; rows == packed + duplicates + sum(rejected).

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
        Partial items written; readers check that they found them all.
    watermark_ms : int
        99.9th percentile of the event times.
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
