"""Sends dead letters back to the queue that they fell out of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.stack import Stack

QUEUES = ("ingest", "score", "notify")
_MOST_A_CALL = 10
_HIDDEN_S = 60


def redrive_queue(stack: Stack, queue: str) -> str:
    """Move all dead letters of one queue back; return a line that says what happened."""
    from botocore.exceptions import ClientError

    sqs = stack.client("sqs")
    dead, alive = (stack.outputs[f"{queue.title()}{kind}Url"] for kind in ("DeadLetters", "Queue"))
    attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
    waiting = int(attributes["ApproximateNumberOfMessages"])
    if not waiting:
        return "nothing to redrive"
    try:
        sqs.start_message_move_task(SourceArn=attributes["QueueArn"])
    except ClientError as refused:
        if refused.response["Error"]["Code"] not in {"InvalidAction", "UnsupportedOperation"}:
            raise
        # The local emulator does not know move tasks.
        return f"{_move(sqs, dead, alive)} messages sent again"
    return f"about {waiting} messages are being sent again"


def _move(sqs: Any, dead: str, alive: str) -> int:
    """Receive, send, then delete: a crash in between repeats a message and loses none."""
    moved = 0
    while True:
        batch = sqs.receive_message(
            QueueUrl=dead, MaxNumberOfMessages=_MOST_A_CALL, VisibilityTimeout=_HIDDEN_S
        ).get("Messages", [])
        if not batch:
            return moved
        for message in batch:
            sqs.send_message(QueueUrl=alive, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
