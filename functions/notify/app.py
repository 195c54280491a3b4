"""Notify: tells what was selected; also the last task of the close workflow, select."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from swerve import notify, select
from swerve.adapters import aws
from swerve.adapters.clock import SystemClock
from swerve.domain.alert import StackFacts
from swerve.publishing import NotifyDeps

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

STOP_BEFORE_END_MS = 30_000  # a digest of many rows must still be noted after it was published

logger = Logger(service="notify")
metrics = Metrics(namespace="Swerve", service="notify")


@cache
def build() -> select.SelectDeps:
    """Everything that the tasks need, made once a container."""
    of = aws.settings()
    ports = (aws.windows(of), aws.data(of), aws.alerts(of), SystemClock())
    return select.SelectDeps(of, *ports, StackFacts.of(of))


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the workflow's task, or messages of the notify queue."""
    if event.get("task") == "select":
        changed = select.select(build(), event["run"], event["owner"])
        metrics.add_metric("AlertsChanged", MetricUnit.Count, changed)
        return {"changed": changed}
    unknown = [
        {"itemIdentifier": record["messageId"]}
        for record in event["Records"]
        if not notify.asks_to_tell(record["body"])
    ]
    made = build()
    stop_ms = made.clock.now_ms() + context.get_remaining_time_in_millis() - STOP_BEFORE_END_MS
    topics = aws.topics(made.settings)
    ports = (made.settings, made.windows, made.data, made.alerts, made.clock)
    sent = notify.tell(NotifyDeps(*ports, topics, time.sleep, context.aws_request_id, stop_ms))
    for channel, messages in sent.items():
        metrics.add_metric(f"Sent{channel.capitalize()}", MetricUnit.Count, messages)
    return {"batchItemFailures": unknown}
