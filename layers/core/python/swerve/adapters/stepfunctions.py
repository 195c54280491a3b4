"""Starts the close workflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.faults import code_of, transient

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StepFunctionsCloseStarter:
    """One state machine."""

    client: Any
    arn: str

    def start(self, name: str, payload: Mapping[str, object]) -> None:
        """Start once; a name already used counts as started."""
        with transient(f"start of {name}"):
            try:
                self.client.start_execution(
                    stateMachineArn=self.arn, name=name, input=json.dumps(payload)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
