from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cli.redrive import redrive_queue

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class QueuesOnly:
    """A stack of which only the queues exist; `tasks` as on AWS, or not as in the emulator."""

    sqs: Any
    outputs: dict[str, str]
    tasks: bool = False

    def client(self, service: str) -> Any:
        assert service == "sqs"
        return self

    def start_message_move_task(self, **arguments: str) -> Any:
        if not self.tasks:
            raise ClientError({"Error": {"Code": "InvalidAction"}}, "StartMessageMoveTask")
        assert arguments["SourceArn"].endswith("ingest-dead")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sqs, name)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[QueuesOnly]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        sqs = boto3.client("sqs", region_name="us-east-1")
        names = {"IngestQueueUrl": "ingest", "IngestDeadLettersUrl": "ingest-dead"}
        outputs = {o: sqs.create_queue(QueueName=n)["QueueUrl"] for o, n in names.items()}
        yield QueuesOnly(sqs, outputs)


def bodies(stack: QueuesOnly, output: str) -> list[str]:
    found = []
    while got := stack.sqs.receive_message(
        QueueUrl=stack.outputs[output], MaxNumberOfMessages=10
    ).get("Messages"):
        found += [message["Body"] for message in got]
    return sorted(found)


def test_every_dead_letter_goes_back(stack: QueuesOnly) -> None:
    # GIVEN more dead letters than one call takes
    sent = sorted(f"letter {n:02d}" for n in range(23))
    for body in sent:
        stack.sqs.send_message(QueueUrl=stack.outputs["IngestDeadLettersUrl"], MessageBody=body)
    # WHEN
    said = redrive_queue(stack, "ingest")  # type: ignore[arg-type] - what redrive needs of a stack
    # THEN
    assert said == "23 messages sent again"
    assert bodies(stack, "IngestQueueUrl") == sent
    assert bodies(stack, "IngestDeadLettersUrl") == []


def test_where_tasks_are_known_one_is_started(stack: QueuesOnly) -> None:
    stack.tasks = True
    stack.sqs.send_message(QueueUrl=stack.outputs["IngestDeadLettersUrl"], MessageBody="x")
    said = redrive_queue(stack, "ingest")  # type: ignore[arg-type] - what redrive needs of a stack
    assert said == "about 1 messages are being sent again"


def test_without_dead_letters_nothing_is_done(stack: QueuesOnly) -> None:
    said = redrive_queue(stack, "ingest")  # type: ignore[arg-type] - what redrive needs of a stack
    assert said == "nothing to redrive"
