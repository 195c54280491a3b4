"""What the uploader is told about one object version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from swerve.domain.manifest import DedupRule, RowReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.domain.manifest import Manifest
    from swerve.domain.rows import BadRow
    from swerve.ports import UploadedObject


class Status(StrEnum):
    """How an upload ended."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    IGNORED = "ignored"


GUARANTEES = {
    DedupRule.ID: "events are told by their id: each is counted once, whatever files carry it",
    DedupRule.ORDINAL: "events have no id: the k-th of equal rows of a file is one event, so"
    " uploading a file again or in another order changes nothing, but rows of overlapping files"
    " that differ in how often they repeat may be counted more than once",
    DedupRule.CONTENT: "equal rows are one event, as the source promises: rows that repeat for a"
    " reason are counted once",
}

ADVICE = {
    RowReason.BAD_TIME: "write times as 2026-11-24T10:00:00Z or as epoch s, ms, us or ns",
    RowReason.FUTURE: "check the unit and the zone of the times: these lie over a day ahead",
    RowReason.BEHIND_HORIZON: "upload oldest files first, or raise HorizonDays",
    RowReason.NO_USER: "export the user id with every row; anonymous rows cannot be watched",
    RowReason.UNKNOWN_EVENT: "map these event names in [events] of an adapter of your own",
    RowReason.BAD_NUMBER: "write numbers with a decimal point and without a currency sign",
    RowReason.TOO_LONG: "export shorter records: 1 MB, 256 characters of user id, 1,000 lines",
    RowReason.RAGGED: "quote fields that hold the delimiter, and close every quote",
    RowReason.BAD_ENCODING: "export as UTF-8",
    RowReason.NOT_A_RECORD: "write one JSON object, or one row with fields, for each event",
    RowReason.OVER_RATE_CAP: "probably a bot: leave it out of the export, or raise UserRowCap",
}

FLAG_ADVICE = {
    "lookup_missing": "categories live in a side file, and none was found: put it below"
    " lookups/<name>/ in the data bucket (swerve check --lookup FILE) and upload again",
    "rows_without_id": "these rows carry no event id: they are told apart by what they hold and"
    " how often they repeat in the file",
    "users_over_rate_cap": "probably bots: they were packed up to UserRowCap rows in a window",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer; rows == packed + duplicates + sum(rejected).

    Attributes
    ----------
    answered : str
        When; UTC.
    same_as : str
        Key of the upload with this content that was read first.
    reason, detail, advice : str
        Why the whole file was refused, and the way out.
    quarantine : str
        Key of the kept bad rows.
    """

    status: Status
    key: str
    version: str
    answered: str = ""
    batch_id: str = ""
    source: str = ""
    adapter: str = ""
    dedup: str = ""
    guarantee: str = ""
    rows: int = 0
    packed: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    suggestions: dict[str, str] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    watermark: str = ""
    windows: tuple[str, ...] = ()
    shards: int = 0
    flags: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    seconds: float = 0.0
    key_id: str = ""
    same_as: str = ""
    quarantine: str = ""
    reason: str = ""
    detail: str = ""
    advice: str = ""

    def to_json(self) -> str:
        """One object, fields without content left out."""
        content = {k: v for k, v in asdict(self).items() if v or k in {"rows", "packed"}}
        return json.dumps(content, ensure_ascii=False, indent=1)

    def metrics(self) -> dict[str, int]:
        """Counts for the dashboard: never a key or an id; rows of the same content once."""
        taken = self.status is Status.ACCEPTED
        return {
            f"Uploads{self.status.capitalize()}": 1,
            "RowsPacked": self.packed * taken,
            "RowsDuplicate": self.duplicates * taken,
            "RowsRejected": sum(self.rejected.values()) * taken,
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> Receipt:
        """Inverse of `to_json`."""
        content: dict[str, Any] = json.loads(text)
        content["status"] = Status(content["status"])
        content["windows"] = tuple(content.get("windows", ()))
        return cls(**content)


def receipt_key(uploaded: UploadedObject) -> str:
    """Key of the receipt in the data bucket."""
    return f"receipts/{uploaded.key}/{uploaded.version or 'null'}.json"


def quarantine_key(uploaded: UploadedObject) -> str:
    """Key of the bad rows in the data bucket."""
    return f"quarantine/{uploaded.key}/{uploaded.version or 'null'}.jsonl.gz"


def lines_of(receipt: Receipt) -> list[str]:
    """Plain text for a terminal."""
    lines = [f"{receipt.key}: {receipt.status}"]
    if receipt.status is Status.REFUSED:
        return [*lines, f"  {receipt.detail}", f"  {receipt.advice}"]
    if receipt.status is Status.IGNORED:
        return [*lines, f"  {receipt.detail or 'markers, hidden and empty files are no data'}"]
    if receipt.same_as:
        lines.append(f"  same content as {receipt.same_as}; nothing was counted again")
    lines += [
        f"  adapter   {receipt.adapter} ({receipt.dedup}: {receipt.guarantee})",
        f"  rows      {receipt.rows:,} = {receipt.packed:,} packed"
        f" + {receipt.duplicates:,} duplicates + {sum(receipt.rejected.values()):,} rejected",
    ]
    if receipt.packed:
        lines.append(f"  times     {receipt.first} to {receipt.last}")
    for reason, rows in receipt.rejected.items():
        lines.append(f"  rejected  {rows:,} {reason}: {receipt.suggestions[reason]}")
    for flag, count in receipt.flags.items():
        advice = receipt.suggestions.get(flag, "")  # receipts of older versions have none
        lines.append(f"  flag      {count:,} {flag}: {advice}")
    return lines


def of_manifest(
    manifest: Manifest,
    windows: Sequence[str],
    began_ms: int,
    now_ms: int,
    quarantine: str = "",
) -> Receipt:
    """Return the receipt of a batch that was taken."""
    return Receipt(
        Status.ACCEPTED,
        manifest.key,
        manifest.version,
        answered=iso(now_ms),
        batch_id=manifest.batch_id,
        source=manifest.source,
        adapter=manifest.adapter,
        dedup=manifest.dedup,
        guarantee=GUARANTEES[manifest.dedup],
        rows=manifest.rows,
        packed=manifest.packed,
        duplicates=manifest.duplicates,
        rejected=dict(manifest.rejected),
        suggestions={
            **{reason: ADVICE[RowReason(reason)] for reason in manifest.rejected},
            **{flag: FLAG_ADVICE[flag] for flag in manifest.flags},
        },
        first=iso(manifest.first_ms) if manifest.packed else "",
        last=iso(manifest.last_ms) if manifest.packed else "",
        watermark=iso(manifest.watermark_ms) if manifest.packed else "",
        windows=tuple(windows),
        shards=len(manifest.shards),
        flags=dict(manifest.flags),
        size_bytes=manifest.size_bytes,
        seconds=(now_ms - began_ms) / 1000,
        key_id=manifest.key_id,
        quarantine=quarantine,
    )


def bad_rows_text(rows: Sequence[BadRow]) -> str:
    """JSON Lines of bad rows; the user field is a pseudonym, other fields are masked."""
    return "".join(
        json.dumps(
            {"reason": row.reason, "row": row.number, "user": row.user, **row.fields},
            ensure_ascii=False,
        )
        + "\n"
        for row in rows
    )


def iso(time_ms: int) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
