"""How an alert is known: its key, its id and its page, the same whenever they are made."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swerve.domain.candidate import Kind, Level

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def dedup_key(level: Level, subject: str, kind: Kind, label: str) -> str:
    """Return what an alert is about; `label` is that of its window."""
    return f"{level}:{subject}:{kind}:{label}"


def alert_id(dedup_key: str, window_end_ms: int) -> str:
    """Return the ULID of an alert: the same for the same level, subject, kind and window end.

    48 bits of milliseconds, then the first 80 bits of SHA-256(`dedup_key` | window end), in
    Crockford's base 32. The model is not part of it, so that a replay updates and never repeats.

    Examples
    --------
    >>> alert_id("user:u-7f3a91c2:switch:baby:2026-W47", 1_795_478_400_000)
    '01M85DMB00Q5G8FER6Z52YJR64'
    """
    text = f"{dedup_key}|{iso(window_end_ms)}"
    digest = hashlib.sha256(text.encode()).digest()[:10]
    number = window_end_ms << 80 | int.from_bytes(digest, "big")
    return "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(26)))


def iso(time_ms: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page_key(identifier: str) -> str:
    """Key of an alert's page in the data bucket."""
    return f"pages/{identifier}.html"
