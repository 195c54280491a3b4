"""Featurize: takes uploaded files from the ingest queue."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import process_partial_response
from swerve.adapters import aws, messages
from swerve.adapters.clock import SystemClock
from swerve.adapters.files import LocalFiles
from swerve.domain.pseudonym import Keyring
from swerve.ingest import Delivery, IngestDeps, ingest
from swerve.ports import UploadedObject

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

logger = Logger(service="featurize")
metrics = Metrics(namespace="Swerve", service="featurize")
processor = messages.LoggedMessages(logger)


@cache
def build() -> IngestDeps:
    """Everything that ingest needs, made once a container."""
    of = aws.settings()
    stores = aws.uploads(of), aws.data(of), aws.windows(of), aws.score_queue(of), aws.workflow(of)
    return IngestDeps(of, Keyring.parse(aws.secret(of)), *stores, SystemClock(), LocalFiles())


def take(record: SQSRecord, context: Any) -> None:
    """Ingest the objects of one S3 notification; an unknown body fails."""
    body = json.loads(record.body)
    if body.get("Event") == "s3:TestEvent":  # sent once, when the notification is set up
        metrics.add_metric("TestEvents", MetricUnit.Count, 1)
        return
    receives = int(record.attributes.approximate_receive_count or 1)
    delivery = Delivery(receives, lambda: context.get_remaining_time_in_millis() / 1000)
    for event in body["Records"]:
        s3 = event["s3"]  # keys of notifications are URL-encoded, spaces as plus signs
        key, version = unquote_plus(s3["object"]["key"]), s3["object"].get("versionId", "")
        receipt = ingest(UploadedObject(s3["bucket"]["name"], key, version), build(), delivery)
        for name, value in receipt.metrics().items():
            metrics.add_metric(name, MetricUnit.Count, value)
        logger.info("upload", extra={"status": receipt.status, "reason": receipt.reason})


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    """Entry of the function."""
    work = partial(take, context=context)
    return process_partial_response(event, work, processor, context)
