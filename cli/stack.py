"""One running stack, local or deployed, as the commands see it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

from swerve.errors import SwerveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.ports import Alerts, Data, Windows
    from swerve.settings import Settings

STATE = Path(".swerve/stack.json")
LOCAL_REGION = "us-east-1"
_HEALTH_TIMEOUT_S = 2


@dataclass(frozen=True)
class Stack:
    """A stack by its CloudFormation outputs.

    Attributes
    ----------
    name, region : str
        Of the CloudFormation stack.
    endpoint : str or None
        Address of the local emulator; None for AWS.
    outputs : mapping
        Output name of infra/template.yaml -> value.
    """

    name: str
    region: str
    endpoint: str | None
    outputs: Mapping[str, str]

    @cached_property
    def session(self) -> Any:
        """Clients of this stack: dummy credentials for the emulator, the user's for AWS."""
        import boto3

        if self.endpoint is None:
            return boto3.Session(region_name=self.region)
        return boto3.Session("test", "test", region_name=self.region)

    def client(self, service: str) -> Any:
        """Return a boto3 client of one service."""
        if self.endpoint is None:
            return self.session.client(service)
        from botocore.config import Config

        # The emulator is on this computer: a proxy of the environment would not find it.
        return self.session.client(service, endpoint_url=self.endpoint, config=Config(proxies={}))

    @cached_property
    def settings(self) -> Settings:
        """Settings of the stack, as far as a reader needs them."""
        from swerve.settings import Settings

        return Settings(
            stack=self.name,
            uploads_bucket=self.outputs["UploadsBucketName"],
            data_bucket=self.outputs["DataBucketName"],
            windows_table=self.outputs["WindowsTableName"],
            alerts_table=self.outputs["AlertsTableName"],
            score_queue_url=self.outputs["ScoreQueueUrl"],
            notify_queue_url=self.outputs["NotifyQueueUrl"],
            close_workflow_arn=self.outputs["CloseWorkflowArn"],
            secret_id=self.outputs["PseudonymSecretArn"],
            **json.loads(self.outputs["Settings"]),
        )

    @cached_property
    def windows(self) -> Windows:
        """The windows table."""
        from swerve.adapters import aws

        return aws.windows(self.settings, self.client("dynamodb"))

    @cached_property
    def alerts(self) -> Alerts:
        """The alerts table."""
        from swerve.adapters import aws

        return aws.alerts(self.settings, self.client("dynamodb"))

    @cached_property
    def data(self) -> Data:
        """The data bucket."""
        from swerve.adapters import aws

        return aws.data(self.settings, self.client("s3"))


def open_stack(name: str | None) -> Stack:
    """Return the deployed stack of that name, else the local one that `swerve up` left running."""
    return deployed(name) if name else local()


def local() -> Stack:
    """Return the local stack of this folder; raise SwerveError where none is running."""
    if not STATE.exists():
        raise SwerveError(
            "no local stack in this folder: start one with `swerve up`,"
            " or name a deployed one with --stack"
        )
    saved = json.loads(STATE.read_text(encoding="utf-8"))
    if not healthy(saved["endpoint"]):
        raise SwerveError(
            "the local stack of this folder has ended: start it again with `swerve up`"
        )
    return Stack(saved["name"], LOCAL_REGION, saved["endpoint"], saved["outputs"])


def deployed(name: str) -> Stack:
    """Return a stack in the user's account, by the ordinary AWS credentials."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session()
        found = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except (BotoCoreError, ClientError) as fault:
        raise SwerveError(
            f"stack {name}: {fault} (credentials come from AWS_PROFILE or the environment)"
        ) from fault
    return Stack(name, session.region_name, None, outputs_of(found))


def note_outputs(stack: Stack, description: Mapping[str, Any]) -> None:
    """Have later commands know a local stack by its new outputs; a deployed one tells them itself.

    One that was not started by `swerve up` in this folder has nothing to note.
    """
    if stack.endpoint is None or not STATE.exists():
        return
    saved = json.loads(STATE.read_text(encoding="utf-8"))
    if saved["endpoint"] == stack.endpoint:
        noted = saved | {"outputs": outputs_of(description)}
        STATE.write_text(json.dumps(noted, indent=2), encoding="utf-8")


def outputs_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Outputs of one stack as `describe_stacks` gives them."""
    return {o["OutputKey"]: o["OutputValue"] for o in description.get("Outputs", ())}


def healthy(endpoint: str) -> bool:
    """Whether an emulator answers there."""
    try:
        opener = build_opener(ProxyHandler({}))  # it is on this computer
        with opener.open(f"{endpoint}/_ministack/health", timeout=_HEALTH_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
