"""The notify function against real tables and topics of a mock."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from swerve.adapters import aws
from swerve.domain.identity import page_key
from swerve.domain.severity import Severity
from swerve.reconcile import reconcile

from tests.domain.alerts import FACTS, NAMES, WINDOW, candidates, decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

APP = Path(__file__).parents[2] / "functions/notify/app.py"


class Context:
    """What Lambda hands to a handler."""

    function_name = "notify"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:notify"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        make_stack(monkeypatch)
        aws.client.cache_clear()
        aws.settings.cache_clear()
        spec = importlib.util.spec_from_file_location("notify_app", APP)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
        aws.client.cache_clear()
        aws.settings.cache_clear()


def make_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("pk", "sk", "pending")
    index = {
        "IndexName": "pending",
        "KeySchema": [
            {"AttributeName": "pending", "KeyType": "HASH"},
            {"AttributeName": "pk", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }
    for table in ("windows", "alerts"):
        boto3.client("dynamodb").create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            GlobalSecondaryIndexes=[index],
        )
        monkeypatch.setenv(f"SWERVE_{table.upper()}_TABLE", table)
    boto3.client("s3").create_bucket(
        Bucket="data", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for topic in ("email", "events"):
        arn = boto3.client("sns").create_topic(Name=topic)["TopicArn"]
        monkeypatch.setenv(f"SWERVE_{topic.upper()}_TOPIC_ARN", arn)
    monkeypatch.setenv("SWERVE_DATA_BUCKET", "data")
    monkeypatch.setenv("SWERVE_OUTBOX", "on")
    monkeypatch.setenv("SWERVE_WINDOW", "7d")


def messages(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": f"m{place}", "body": body, "eventSource": "aws:sqs"}
            for place, body in enumerate(bodies)
        ]
    }


def files(prefix: str) -> dict[str, str]:
    s3 = boto3.client("s3")
    found = s3.list_objects_v2(Bucket="data", Prefix=prefix).get("Contents", [])
    return {
        item["Key"]: s3.get_object(Bucket="data", Key=item["Key"])["Body"].read().decode()
        for item in found
    }


def test_a_message_tells_what_waits(app: ModuleType) -> None:
    # GIVEN one critical alert in the table
    made = decision(candidates()["user-switch"], severity=Severity.CRITICAL)
    (change,) = reconcile([], [made], WINDOW, NAMES, lambda _: FACTS)
    alerts = aws.alerts(aws.settings())
    assert alerts.put(change.row, change.expected_revision)
    # WHEN a known message comes with two that are not ours
    answer = app.handler(messages('{"task": "tell"}', '{"a": 1}', "oops"), Context())
    # THEN
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}
    (mail,) = files("outbox/email/").values()
    assert mail.startswith("Subject: [CRITICAL] Interest shift: user u-7f3a91c2 Outdoor -> Baby\n")
    (event,) = files("outbox/events/").values()
    assert json.loads(event)["alert_id"] == change.row.alert_id
    assert list(files("pages/")) == [page_key(change.row.alert_id)]
    row = alerts.get(WINDOW, change.row.subject_kind)
    assert row is not None
    assert (row.state, row.told) == ("sent", "email events")
    # and another message says nothing more
    app.handler(messages('{"task": "tell"}'), Context())
    assert len(files("outbox/")) == 2


def test_the_workflow_gets_the_answer_of_select(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        app.select, "select", lambda deps, run, owner: asked.append((run, owner)) or 3
    )
    assert app.handler({"task": "select", "run": "r", "owner": "o"}, Context()) == {"changed": 3}
    assert asked == [("r", "o")]
