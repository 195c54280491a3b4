"""Shards are split while files come, through the real template: nothing lost, nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from swerve.deployed import check_deployed
from swerve.ledger import ledger
from swerve.reshard import Portion, reshard, task

from cli import reshard as command
from cli.local import running
from cli.stack import outputs_of
from tests.flow.conftest import (
    PARAMETERS,
    await_until,
    close,
    log_lines,
    messages_in,
    objects,
    put,
    receipts,
    table_contents,
)
from tests.flow.test_flow import week_of_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.stack import Stack

pytestmark = pytest.mark.flow

RETRY_S = "3"  # a refused upload is not to keep the test waiting for half an hour


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), PARAMETERS, enforce_iam=True) as started:
        started.client("sqs").set_queue_attributes(
            QueueUrl=started.outputs["IngestQueueUrl"], Attributes={"VisibilityTimeout": RETRY_S}
        )
        yield started


class Stopped(Exception):
    """The operator pressed Ctrl-C."""


def test_a_split_that_was_interrupted_while_files_came(stack: Stack) -> None:
    # GIVEN two weeks that are closed
    keys = [put(stack, f"week-{week}.csv", week_of_events(week)) for week in range(2)]
    await_until(lambda: all(receipts(stack, key) for key in keys), "receipts")
    close(stack)
    deps = command.deps_of(stack)
    asked = task(deps)
    assert asked is not None

    # WHEN a file comes after the first shard, and then the operator is interrupted
    def stop(_: Portion) -> None:
        keys.append(put(stack, "week-2.csv", week_of_events(2)))
        await_until(lambda: "being split from 2 into 4" in "".join(log_lines(stack)), "a refusal")
        raise Stopped

    with pytest.raises(Stopped):
        reshard(deps, asked, "interrupted", stop)
    assert not receipts(stack, keys[-1])
    # AND runs the command again
    again = task(deps)
    assert again is not None
    assert again.is_begun
    command.split(stack, deps, again)
    # THEN the functions have the new count, and take the file when it comes again
    formation = stack.client("cloudformation")
    described = formation.describe_stacks(StackName=stack.name)["Stacks"][0]
    grown = replace(stack, outputs=outputs_of(described))
    assert grown.settings.shard_count == 4
    await_until(lambda: all(receipts(grown, key) for key in keys), "the file that was refused")
    close(grown)
    balance = ledger(grown.windows, grown.data, grown.settings.windows)
    assert balance.balanced
    assert balance.waiting == 0
    assert (
        balance.unique == balance.rows == sum(week_of_events(w).count(b"\n") - 1 for w in (0, 1, 2))
    )
    # AND nothing is left of two shards
    shards = {pk for pk, _ in table_contents(grown, "WindowsTableName") if pk.startswith("shard#")}
    assert shards == {f"shard#{shard:04d}/0004" for shard in range(4)}
    checkpoints = [key for key in objects(grown, "DataBucketName") if "/shard=" in key]
    assert checkpoints
    assert all(key.endswith("-of-0004.bin") for key in checkpoints)
    assert "to" not in json.dumps(dict(check_deployed(grown.windows, grown.settings)))
    assert messages_in(grown, "IngestDeadLettersUrl") == 0
    assert not [line for line in log_lines(grown) if "AccessDenied" in line]
