"""The score function's handler on moto does what the use-cases do in memory."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from swerve.adapters import aws
from swerve.domain.alert import StackFacts
from swerve.run import LEDGER_KEY
from swerve.select import SelectDeps, select

from tests.closing import SETTINGS, Closer, shop, state_of, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

APP = Path(__file__).parents[2] / "functions/score/app.py"
HERE = replace(
    SETTINGS, data_bucket="data", windows_table="windows", alerts_table="alerts", settle_s=0
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("data_bucket", "windows_table", "alerts_table", "window", "shard_count", "early"):
        monkeypatch.setenv(f"SWERVE_{name.upper()}", str(getattr(HERE, name)))
    for name in ("lateness_s", "settle_s", "horizon_days", "warmup_weeks"):
        monkeypatch.setenv(f"SWERVE_{name.upper()}", str(getattr(HERE, name)))
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="data")
        for table in ("windows", "alerts"):
            boto3.client("dynamodb").create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
                ],
            )
        aws.client.cache_clear()
        aws.settings.cache_clear()
        spec = importlib.util.spec_from_file_location("score_app", APP)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
        aws.client.cache_clear()
        aws.settings.cache_clear()


def work(app: ModuleType, **task: object) -> Any:
    return app.handler(task, SimpleNamespace())


def test_the_tasks_of_the_workflow(app):
    # GIVEN the same batch on moto and in memory
    events = shop(4, users=3)
    there, here = SimpleNamespace(windows=aws.windows(HERE), clock=Closer().world.clock), Closer()
    for world in (there, here.world):
        upload(world, events)
    # WHEN the workflow's tasks run in order
    answer = work(app, task="plan", owner="execution", waits=0)
    assert answer["next"] == "go"
    for shard in range(answer["shards"]):
        assert work(app, task="merge", run=answer["run"], shard=shard) == {}
    work(app, task="population", run=answer["run"])
    for shard in range(answer["shards"]):
        work(app, task="score", run=answer["run"], shard=shard)
    work(app, task="calibrate", run=answer["run"])
    windows, data, clock = aws.windows(HERE), aws.data(HERE), here.world.clock
    deps = SelectDeps(HERE, windows, data, aws.alerts(HERE), clock, StackFacts.of(HERE))
    select(deps, answer["run"], "execution")
    assert work(app, task="plan", owner="execution", waits=0)["next"] == "nothing"
    # THEN
    here.close()
    folders = ("checkpoints/", "selection/")
    written = {key: data.get(key) for folder in folders for key in data.keys(folder)}
    assert written == state_of(here.world)
    assert LEDGER_KEY in written


def test_messages_fail_alone(app):
    # GIVEN a message that says no shard between two that do
    bodies = ['{"shard": 0}', "{}", '{"shard": 1}']
    records = [
        {
            "messageId": str(n),
            "body": body,
            "eventSource": "aws:sqs",
            "receiptHandle": "r",
            "attributes": {},
            "messageAttributes": {},
        }
        for n, body in enumerate(bodies)
    ]
    # WHEN
    answer = app.handler({"Records": records}, SimpleNamespace())
    # THEN
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_an_unknown_task_fails(app):
    # GIVEN / WHEN / THEN
    with pytest.raises(KeyError, match="dance"):
        work(app, task="dance")


def test_a_failed_message_says_why(app, caplog):
    # GIVEN / WHEN
    record = {"messageId": "m7", "body": "{}", "eventSource": "aws:sqs", "receiptHandle": "r"}
    app.handler({"Records": [record]}, SimpleNamespace())
    # THEN
    (said,) = [entry for entry in caplog.records if entry.message == "message failed"]
    assert said.message_id == "m7"
    assert said.exc_info[0] is KeyError
