"""AWS's temporary errors become `TransientFault`; all others pass as they are."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import ConnectionError as LostConnection

from swerve.errors import TransientFault

if TYPE_CHECKING:
    from collections.abc import Iterator

# What botocore has given up on after its own retries, and what a later delivery may find healed.
_TEMPORARY = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KmsThrottled",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_SERVER_ERROR = 500


def code_of(error: ClientError) -> str:
    """Code of the error, such as `ConditionalCheckFailedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def transient(what: str) -> Iterator[None]:
    """Raise `TransientFault` for throttling, server errors and lost connections."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code_of(error) in _TEMPORARY or status >= _SERVER_ERROR:
            raise TransientFault(f"{what}: {error}") from error
        raise
    except (HTTPClientError, LostConnection, IncompleteReadError) as error:
        raise TransientFault(f"{what}: {error}") from error
