"""One stack in the emulator for all flow tests, with the template's roles enforced."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from swerve.ports import STATES

from cli.local import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.stack import Stack

PARAMETERS = {
    "Window": "1d",
    "ShardCount": "2",
    "HorizonDays": "400",
    "LatenessSeconds": "0",
    "WarmupWeeks": "2",
    "FalseAlarmBudget": "2",
    "DailyEmailBudget": "10",
    "QuietHours": "",
}
PATIENCE_S = 120


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running(folder, PARAMETERS, enforce_iam=True) as started:
        yield started


def await_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.2)


def put(stack: Stack, name: str, body: bytes) -> str:
    key = f"events/source=shop/{name}"
    stack.client("s3").put_object(Bucket=stack.outputs["UploadsBucketName"], Key=key, Body=body)
    return key


def receipts(stack: Stack, key: str) -> list[dict[str, Any]]:
    return [
        json.loads(stack.data.get(found) or b"{}") for found in stack.data.keys(f"receipts/{key}/")
    ]


def messages_in(stack: Stack, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs[queue], AttributeNames=names
    )["Attributes"]
    return sum(int(attributes[name]) for name in names)


def is_quiet(stack: Stack) -> bool:
    """Nothing waits, nothing runs, nothing is left to tell."""
    running_closes = stack.client("stepfunctions").list_executions(
        stateMachineArn=stack.outputs["CloseWorkflowArn"], statusFilter="RUNNING"
    )["executions"]
    queues = ("IngestQueueUrl", "ScoreQueueUrl", "NotifyQueueUrl")
    return not running_closes and not any(messages_in(stack, queue) for queue in queues)


def is_closed(stack: Stack) -> bool:
    control = stack.windows.control()
    return bool(control) and all(window.closed == window.dirty for window in control)


def close(stack: Stack) -> None:
    """Start the close as the schedule does, and wait until all windows are closed and told."""
    stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["CloseWorkflowArn"], input='{"scheduled": true}'
    )
    await_until(lambda: is_closed(stack) and is_quiet(stack), "the close")


def table_contents(stack: Stack, output: str) -> dict[tuple[str, str], Any]:
    client = stack.client("dynamodb")
    pages = client.get_paginator("scan").paginate(TableName=stack.outputs[output])
    return {(i["pk"]["S"], i["sk"]["S"]): i for page in pages for i in page["Items"]}


def objects(stack: Stack, bucket: str) -> dict[str, bytes]:
    s3, name = stack.client("s3"), stack.outputs[bucket]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def old_versions(stack: Stack, bucket: str) -> list[str]:
    """Keys of what was overwritten or deleted and is still kept."""
    pages = stack.client("s3").get_paginator("list_object_versions")
    found = pages.paginate(Bucket=stack.outputs[bucket])
    return [v["Key"] for page in found for v in page.get("Versions", []) if not v["IsLatest"]]


def log_lines(stack: Stack) -> list[str]:
    logs = stack.client("logs")
    lines: list[str] = []
    for function in ("featurize", "score", "notify"):
        group = f"/swerve/{stack.name}/{function}"
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        lines += [event["message"] for page in pages for event in page["events"]]
    return lines


def alerts_told(stack: Stack) -> list[tuple[str, str, str]]:
    return sorted((r.alert_id, r.state, r.status) for r in stack.alerts.in_state(STATES))
