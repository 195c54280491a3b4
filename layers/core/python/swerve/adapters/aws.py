"""Composition: the ports on AWS, from the settings.

Clients are made when first needed and kept, so that a function pays only for those that it uses.
Every function here takes the client as an option, for the command line and tests.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from swerve.adapters.alerts import DynamoAlerts
from swerve.adapters.clock import SystemClock
from swerve.adapters.dynamodb import DynamoWindows
from swerve.adapters.outbox import OutboxTopic
from swerve.adapters.s3 import S3Data, S3Uploads
from swerve.adapters.secrets import read_secret
from swerve.adapters.sns import SnsTopic
from swerve.adapters.sqs import SqsQueue
from swerve.adapters.stepfunctions import StepFunctionsCloseStarter
from swerve.settings import Settings

if TYPE_CHECKING:
    from swerve.ports import Topic

DAY_S = 86_400
# Three quick retries in here, then the message fails and its queue backs off.
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=30
)


@cache
def client(service: str) -> Any:
    """One client a service and process."""
    return boto3.client(service, config=_CONFIG)


@cache
def settings() -> Settings:
    """Read the settings from the environment, checked once."""
    return Settings.from_environment()


def uploads(_: Settings, using: Any = None) -> S3Uploads:
    """The uploads bucket; its name comes with each upload."""
    return S3Uploads(using or client("s3"))


def data(of: Settings, using: Any = None) -> S3Data:
    """The data bucket."""
    return S3Data(using or client("s3"), of.data_bucket)


def windows(of: Settings, using: Any = None) -> DynamoWindows:
    """The windows table."""
    return DynamoWindows(using or client("dynamodb"), of.windows_table, of.shard_count)


def alerts(of: Settings, using: Any = None) -> DynamoAlerts:
    """The alerts table."""
    retention_s = of.retention_days * DAY_S
    return DynamoAlerts(using or client("dynamodb"), of.alerts_table, retention_s, SystemClock())


def score_queue(of: Settings, using: Any = None) -> SqsQueue:
    """The queue of early notices."""
    return SqsQueue(using or client("sqs"), of.score_queue_url)


def notify_queue(of: Settings, using: Any = None) -> SqsQueue:
    """The queue of what is to be told."""
    return SqsQueue(using or client("sqs"), of.notify_queue_url)


def workflow(of: Settings, using: Any = None) -> StepFunctionsCloseStarter:
    """The close workflow."""
    return StepFunctionsCloseStarter(using or client("stepfunctions"), of.close_workflow_arn)


def secret(of: Settings, using: Any = None) -> str:
    """Text of the stack's secret."""
    return read_secret(using or client("secretsmanager"), of.secret_id)


def topics(of: Settings, using: Any = None) -> dict[str, Topic]:
    """Channel to topic, of the topics that the stack has; beside the outbox where that is on."""
    arns = {"email": of.email_topic_arn, "sms": of.sms_topic_arn, "events": of.events_topic_arn}
    made: dict[str, Topic] = {
        name: SnsTopic(using or client("sns"), arn) for name, arn in arns.items() if arn
    }
    if of.outbox != "on":
        return made
    kept = data(of)
    return {name: OutboxTopic(kept, name, SystemClock(), topic) for name, topic in made.items()}
