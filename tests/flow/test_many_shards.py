"""More shards than an inline Map takes, through the real workflow: a Distributed Map runs each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from swerve.ledger import ledger

from cli.local import running
from tests.flow.conftest import PARAMETERS, await_until, close, is_quiet, objects, put, receipts
from tests.flow.test_flow import week_of_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.stack import Stack

pytestmark = pytest.mark.flow

SHARDS = 4
MOST_INLINE = "$shards > 256"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose inline Maps take one shard at most, and whose failures are quick."""
    parameters = {**PARAMETERS, "ShardCount": str(SHARDS)}
    with running(tmp_path_factory.mktemp("stack"), parameters, enforce_iam=True) as started:
        states, workflow = started.client("stepfunctions"), started.outputs["CloseWorkflowArn"]
        definition = states.describe_state_machine(stateMachineArn=workflow)["definition"]
        assert definition.count(MOST_INLINE) == 2
        lowered = definition.replace(MOST_INLINE, "$shards > 1")
        lowered = lowered.replace('"MaxAttempts": 5', '"MaxAttempts": 1')
        states.update_state_machine(stateMachineArn=workflow, definition=lowered)
        yield started


def map_runs(stack: Stack) -> list[dict[str, Any]]:
    states = stack.client("stepfunctions")
    executions = states.list_executions(stateMachineArn=stack.outputs["CloseWorkflowArn"])
    found = [
        states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
        for execution in executions["executions"]
    ]
    return [states.describe_map_run(mapRunArn=r["mapRunArn"]) for runs in found for r in runs]


def test_every_shard_is_closed_by_an_execution_of_its_own(stack: Stack) -> None:
    # GIVEN
    keys = [put(stack, f"week-{week}.csv", week_of_events(week)) for week in range(2)]
    await_until(lambda: all(receipts(stack, key) for key in keys), "receipts")
    # WHEN
    close(stack)
    # THEN
    found = ledger(stack.windows, stack.data, stack.settings.windows)
    assert found.balanced
    assert found.waiting == 0
    assert found.unique == found.rows > 0
    done = map_runs(stack)
    plans = [key for key in objects(stack, "DataBucketName") if key.endswith("plan.json")]
    assert len(done) == 2 * len(plans) > 0
    assert {run["status"] for run in done} == {"SUCCEEDED"}
    assert {run["itemCounts"]["succeeded"] for run in done} == {SHARDS}
    assert {run["maxConcurrency"] for run in done} == {2}
    # AND each wrote what one of an inline Map would have written
    names = {key for key in objects(stack, "DataBucketName") if "/shard=" in key}
    assert {name.partition("/shard=")[2] for name in names} == {
        f"{shard:04d}-of-{SHARDS:04d}.bin" for shard in range(SHARDS)
    }


def test_one_shard_that_fails_fails_the_close_and_the_next_finishes_it(stack: Stack) -> None:
    # GIVEN what one shard builds upon is damaged
    data = stack.data
    newest = max(key for key in data.keys("checkpoints/") if "/shard=0000" in key)
    whole = data.get(newest)
    assert whole is not None
    data.put(newest, whole[:100])
    put(stack, "week-2.csv", week_of_events(2))
    states, workflow = stack.client("stepfunctions"), stack.outputs["CloseWorkflowArn"]
    # WHEN
    await_until(lambda: "FAILED" in {run["status"] for run in map_runs(stack)}, "a failure")
    await_until(lambda: is_quiet(stack), "quiet")
    # THEN
    assert any(window.dirty > window.closed for window in stack.windows.control())
    ended = states.list_executions(stateMachineArn=workflow, statusFilter="FAILED")["executions"]
    assert ended
    # WHEN
    data.put(newest, whole)
    stack.windows.release_lease("close", ended[0]["name"])
    close(stack)
    # THEN
    assert ledger(stack.windows, data, stack.settings.windows).waiting == 0
