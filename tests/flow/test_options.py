"""Every option of operations at once, through the real template: a key, traces, concurrency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from swerve.ledger import ledger

from cli.local import running
from tests.flow.conftest import PARAMETERS, await_until, close, put, receipts
from tests.flow.test_flow import week_of_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.stack import Stack

pytestmark = pytest.mark.flow

KEY = "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d-0000-4000-8000-000000000000"
OPTIONS = {"KmsKeyArn": KEY, "Tracing": "Active", "ReservedConcurrency": "8"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    parameters = {**PARAMETERS, **OPTIONS}
    with running(tmp_path_factory.mktemp("stack"), parameters, enforce_iam=True) as started:
        yield started


def described(stack: Stack, kind: str) -> list[str]:
    """Physical names of all resources of one type."""
    formation = stack.client("cloudformation")
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack.name)
    found = [r for page in pages for r in page["StackResourceSummaries"]]
    return [r["PhysicalResourceId"] for r in found if r["ResourceType"] == kind]


def keys_of(stack: Stack) -> dict[str, Any]:
    """The key of what stores, by name; the emulator keeps it of queues and secrets only."""
    sqs = stack.client("sqs")
    found: dict[str, Any] = {}
    for queue in described(stack, "AWS::SQS::Queue"):
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        found[queue] = attributes.get("KmsMasterKeyId")
    secret = stack.outputs["PseudonymSecretArn"]
    said = stack.client("secretsmanager").describe_secret(SecretId=secret)
    return found | {secret: said.get("KmsKeyId")}


def test_under_a_key_the_flow_goes_on(stack: Stack) -> None:
    # WHEN
    keys = [put(stack, f"week-{week}.csv", week_of_events(week)) for week in range(2)]
    await_until(lambda: all(receipts(stack, key) for key in keys), "receipts")
    close(stack)
    # THEN
    assert ledger(stack.windows, stack.data, stack.settings.windows).balanced
    found = keys_of(stack)
    assert len(found) == 6 + 1
    assert {name for name, key in found.items() if key != KEY} == set()


def test_functions_are_traced(stack: Stack) -> None:
    functions = described(stack, "AWS::Lambda::Function")
    said = [
        stack.client("lambda").get_function_configuration(FunctionName=name) for name in functions
    ]
    assert [one["TracingConfig"]["Mode"] for one in said] == ["Active"] * 3
