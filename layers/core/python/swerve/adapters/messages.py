"""Takes SQS messages one by one: a failed one is logged and comes again, the others are done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


class LoggedMessages(BatchProcessor):
    """Powertools' processor, which by itself hides why a message failed."""

    def __init__(self, logger: Logger) -> None:
        super().__init__(EventType.SQS, raise_on_entire_batch_failure=False)
        self._logger = logger

    def failure_handler(self, record: Any, exception: Any) -> Any:
        """Note the reason, then report the message as failed."""
        self._logger.error(
            "message failed", extra={"message_id": record.message_id}, exc_info=exception
        )
        return super().failure_handler(record, exception)
