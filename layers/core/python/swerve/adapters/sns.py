"""SNS topics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.faults import code_of, transient
from swerve.domain.lint import ascii_only, subject_line

if TYPE_CHECKING:
    from collections.abc import Mapping

# More attributes, and raw delivery to SQS discards the message (SNS developer guide).
MAX_ATTRIBUTES = 10


@dataclass(frozen=True, slots=True)
class SnsTopic:
    """One standard topic."""

    client: Any
    arn: str

    def publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        """Publish plain text; a subject that SNS refuses is sent once more in ASCII."""
        try:
            return self._publish(message, subject, attributes)
        except ClientError as error:
            if code_of(error) != "InvalidParameter" or subject is None or subject.isascii():
                raise
            return self._publish(message, subject_line(ascii_only(subject)), attributes)

    def _publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        request: dict[str, Any] = {
            "TopicArn": self.arn,
            "Message": message,
            "MessageAttributes": encoded(attributes),
        }
        if subject is not None:
            request["Subject"] = subject
        with transient(f"publish to {self.arn}"):
            return str(self.client.publish(**request)["MessageId"])


def encoded(attributes: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Attributes as SNS types them: String, String.Array or Number."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"{len(attributes)} attributes; raw delivery takes {MAX_ATTRIBUTES}")
    return {name: _typed(value) for name, value in attributes.items()}


def _typed(value: object) -> dict[str, str]:
    if isinstance(value, str):
        return {"DataType": "String", "StringValue": value}
    if isinstance(value, int | float):
        return {"DataType": "Number", "StringValue": str(value)}
    return {"DataType": "String.Array", "StringValue": json.dumps(value)}
