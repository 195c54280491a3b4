"""Queues that a function may write to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swerve.adapters.faults import transient
from swerve.errors import TransientFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BATCH = 10  # SQS quota: messages of one SendMessageBatch
_BATCH_BYTES = 256_000  # stays below the quota of every region


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """One standard queue."""

    client: Any
    url: str

    def send(self, bodies: Sequence[str]) -> None:
        """Send all, or raise; a message may then have been sent already."""
        for batch in _batches(bodies):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
            with transient(f"send to {self.url}"):
                answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            failed = answer.get("Failed", ())
            if failed:
                raise TransientFault(
                    f"send to {self.url}: {len(failed)} of {len(batch)} messages failed, first: "
                    f"{failed[0].get('Code')} {failed[0].get('Message', '')}"
                )


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        added = len(body.encode())
        if batch and (len(batch) == _BATCH or size + added > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += added
    if batch:
        yield batch
