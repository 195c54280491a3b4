"""The outbox: a file for each message, exactly as a subscriber would get it.

For laptops, where no SNS delivers anything: emulators accept a publish and render nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.ports import Clock, Data, Topic

_TYPES = {
    "email": ("txt", "text/plain; charset=utf-8"),
    "sms": ("txt", "text/plain; charset=utf-8"),
    "events": ("json", "application/json"),
}


@dataclass(frozen=True, slots=True)
class OutboxTopic:
    """Writes `outbox/<channel>/<time>-<digest>.<txt|json>`, then publishes on `topic`."""

    data: Data
    channel: str
    clock: Clock
    topic: Topic

    def publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        """Write the file, publish, and return the topic's message id."""
        ending, content_type = _TYPES[self.channel]
        text = message if subject is None else f"Subject: {subject}\n\n{message}"
        moment = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        key = f"outbox/{self.channel}/{moment:%Y%m%dT%H%M%S.%f}-{digest}.{ending}"
        self.data.put(key, text.encode(), content_type)
        return self.topic.publish(message, subject, attributes)
