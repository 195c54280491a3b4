"""Executions of the close workflow: start one, and say which run and which failed, and why."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.stack import Stack


def start(stack: Stack) -> None:
    """Do what the schedule does every 15 minutes: close what uploads no longer push."""
    stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["CloseWorkflowArn"], input='{"scheduled": true}'
    )


def in_state(stack: Stack, status: str) -> list[str]:
    """Executions that are RUNNING, FAILED ..., the oldest first."""
    found = stack.client("stepfunctions").list_executions(
        stateMachineArn=stack.outputs["CloseWorkflowArn"], statusFilter=status
    )
    return [str(execution["executionArn"]) for execution in reversed(found["executions"])]


def why(stack: Stack, execution: str) -> str:
    """Say why an execution failed, in one line."""
    told = stack.client("stepfunctions").describe_execution(executionArn=execution)
    cause = str(told.get("cause") or told.get("error") or "no cause given")
    with suppress(ValueError, KeyError, TypeError):  # not every cause is a function's answer
        cause = str(json.loads(cause)["errorMessage"])
    return " ".join(cause.split())
