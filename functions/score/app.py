"""Score: the tasks of the close workflow, and early notices from the score queue."""

from __future__ import annotations

import gc
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import process_partial_response
from swerve import close, early, plan
from swerve.adapters import aws, detection, messages
from swerve.adapters.clock import SystemClock
from swerve.domain.alert import StackFacts
from swerve.run import CloseDeps

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_OF_A_CLOSE = (close.merge, close.population, close.score, close.calibrate)
TASKS: dict[str, Any] = {task.__name__: task for task in _OF_A_CLOSE}

logger = Logger(service="score")
metrics = Metrics(namespace="Swerve", service="score")


@cache
def build() -> tuple[CloseDeps, early.EarlyDeps]:
    """Make everything that the tasks need, once a container."""
    of, clock = aws.settings(), SystemClock()
    windows, data, detector = aws.windows(of), aws.data(of), detection.detector(of)
    facts = StackFacts.of(of).scored_by(detector.generation)
    closing = CloseDeps(of, windows, data, clock, detector, detection.StoredModels(data, detector))
    alerts, queue = aws.alerts(of), aws.notify_queue(of)
    gc.freeze()  # all of this stays: Python need not look through it for garbage again and again
    return closing, early.EarlyDeps(of, windows, data, alerts, queue, clock, facts)


def look(record: SQSRecord) -> None:
    """Look at the open windows of one shard."""
    told = early.notice(build()[1], json.loads(record.body)["shard"])
    metrics.add_metric("EarlyNotices", MetricUnit.Count, told)


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    """Entry of the function: messages of the score queue, or one task of the workflow."""
    if "Records" in event:
        return process_partial_response(event, look, messages.LoggedMessages(logger), context)
    logger.info("task", extra=event)
    metrics.add_metric(f"{event['task'].capitalize()}Tasks", MetricUnit.Count, 1)
    deps, _ = build()
    if event["task"] == "plan":
        return plan.plan(deps, event["owner"], event["waits"])
    users = TASKS[event["task"]](deps, *(event[n] for n in ("run", "shard") if n in event))
    metrics.add_metric("ShardUsers", MetricUnit.Count, users or 0)
    metrics.add_metric("ScoredWithoutModel", MetricUnit.Count, deps.models.lost)
    return {}
