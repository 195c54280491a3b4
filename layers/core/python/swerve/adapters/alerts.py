"""The alerts table, which is the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.faults import code_of, transient
from swerve.domain.window import WindowSpec
from swerve.ports import AlertRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from swerve.ports import Clock

_LABELS = WindowSpec()  # a label is a date whatever the length of a window
# Rows in these states carry `pending`, the key of a sparse index: finding what is to be told costs
# nothing for the rows that are done.
PENDING = frozenset({"selected", "held", "sending"})
_INDEX = "pending"


@dataclass(frozen=True, slots=True)
class DynamoAlerts:
    """One table; rows expire `retention_s` after their last change."""

    client: Any
    table: str
    retention_s: int
    clock: Clock

    def put(self, row: AlertRow, expected_revision: int | None) -> bool:
        """Compare and set on `revision` (None: must be new). False when it differs."""
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if expected_revision is not None:
            request = {
                "ConditionExpression": "revision = :expected",
                "ExpressionAttributeValues": {":expected": {"N": str(expected_revision)}},
            }
        expires_s = self.clock.now_ms() // 1000 + self.retention_s
        with transient(f"put of alert {row.subject_kind}"):
            try:
                self.client.put_item(TableName=self.table, Item=_item(row, expires_s), **request)
            except ClientError as error:
                if code_of(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def get(self, window: int, subject_kind: str) -> AlertRow | None:
        """Read consistently."""
        key = alert_key(window, subject_kind)
        with transient(f"get of alert {subject_kind}"):
            answer = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        return _row(answer["Item"]) if "Item" in answer else None

    def in_window(self, window: int) -> Sequence[AlertRow]:
        """All rows of a window, ordered."""
        return list(
            self._pages(
                "query",
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": _pk(window)}},
                ConsistentRead=True,
            )
        )

    def in_state(self, states: Iterable[str]) -> Iterator[AlertRow]:
        """Rows in these states, over all windows.

        Pending states come from the sparse index, which lags a little: re-read a row before
        acting on it. Other states need a scan, which only the command line may do.
        """
        wanted = frozenset(states)
        for state in sorted(wanted & PENDING):
            yield from self._pages(
                "query",
                IndexName=_INDEX,
                KeyConditionExpression="pending = :state",
                ExpressionAttributeValues={":state": {"S": state}},
            )
        if wanted - PENDING:
            rows = self._pages("scan", ConsistentRead=True)
            yield from (row for row in rows if row.state in wanted - PENDING)

    def _pages(self, operation: str, **request: Any) -> Iterator[AlertRow]:
        while True:
            with transient(f"{operation} of {self.table}"):
                page = getattr(self.client, operation)(TableName=self.table, **request)
            yield from map(_row, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def alert_key(window: int, subject_kind: str) -> dict[str, dict[str, str]]:
    """Key of a row."""
    return {"pk": {"S": _pk(window)}, "sk": {"S": subject_kind}}


def _pk(window: int) -> str:
    return f"window#{_LABELS.label(window)}"


def _item(row: AlertRow, expires_s: int) -> dict[str, Any]:
    item = {
        "pk": {"S": _pk(row.window)},
        "sk": {"S": row.subject_kind},
        "alert_id": {"S": row.alert_id},
        "state": {"S": row.state},
        "status": {"S": row.status},
        "severity": {"S": row.severity},
        "payload": {"S": row.payload},
        "revision": {"N": str(row.revision)},
        "lease_ms": {"N": str(row.lease_ms)},
        "told": {"S": row.told},
        "expires": {"N": str(expires_s)},
    }
    return item | ({"pending": {"S": row.state}} if row.state in PENDING else {})


def _row(item: Mapping[str, Any]) -> AlertRow:
    return AlertRow(
        window=_LABELS.parse(item["pk"]["S"].partition("#")[2]),
        subject_kind=item["sk"]["S"],
        alert_id=item["alert_id"]["S"],
        state=item["state"]["S"],
        status=item["status"]["S"],
        severity=item["severity"]["S"],
        payload=item["payload"]["S"],
        revision=int(item["revision"]["N"]),
        lease_ms=int(item["lease_ms"]["N"]),
        told=item["told"]["S"],
    )
