"""Deletes what is stored of a person: from the command line only, no function has the right to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.alerts import alert_key
from swerve.adapters.faults import code_of, transient
from swerve.adapters.items import batch_key, erased_text, layout_is, partial_key
from swerve.errors import TransientFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swerve.domain.manifest import Manifest
    from swerve.ports import AlertRow, PartialItem
    from swerve.settings import Settings

_DELETES = 1000  # quota of DeleteObjects


@dataclass(frozen=True, slots=True)
class AwsEraser:
    """Both tables and the data bucket of one stack."""

    dynamodb: Any
    s3: Any
    settings: Settings

    def replace_partial(
        self, partial: PartialItem, data: bytes, before: Manifest, after: Manifest
    ) -> None:
        """Give a partial other bytes (none: delete it) and note it in its manifest: both or none.

        One transaction: at no time does a manifest count what its partials do not hold. Once
        shards are being split it writes nothing, as the partial may have been copied already.
        """
        table = self.settings.windows_table
        where = {
            "TableName": table,
            "Key": partial_key(partial, self.settings.shard_count),
            "ConditionExpression": "attribute_exists(pk)",  # else it has expired
        }
        write: dict[str, Any] = {"Delete": where}
        if data:
            write = {
                "Update": {
                    **where,
                    "UpdateExpression": "SET #data = :data, events = :events",
                    "ExpressionAttributeNames": {"#data": "data"},
                    "ExpressionAttributeValues": {
                        ":data": {"B": data},
                        ":events": {"N": str(partial.events - _erased(before, after))},
                    },
                }
            }
        try:
            with transient(f"erasure in batch {partial.batch_id}"):
                self.dynamodb.transact_write_items(
                    TransactItems=[
                        {"ConditionCheck": layout_is(table, self.settings.layout)},
                        write,
                        {"Update": self._note(before, after)},
                    ]
                )
        except ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            raise TransientFault(
                f"batch {partial.batch_id} was changed, split or expired while it was erased from:"
                " run the same command again"
            ) from error

    def remove_partial(self, partial: PartialItem, shard_count: int) -> None:
        """Delete a partial that exists for nobody, of one of so many shards."""
        with transient(f"delete in batch {partial.batch_id}"):
            self.dynamodb.delete_item(
                TableName=self.settings.windows_table, Key=partial_key(partial, shard_count)
            )

    def remove_alert(self, row: AlertRow) -> None:
        """Delete a row of the alerts table, whatever its state."""
        with transient(f"delete of alert {row.alert_id}"):
            self.dynamodb.delete_item(
                TableName=self.settings.alerts_table, Key=alert_key(row.window, row.subject_kind)
            )

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Overwrite a file of the data bucket."""
        with transient(f"put of {key}"):
            self.s3.put_object(
                Bucket=self.settings.data_bucket, Key=key, Body=body, ContentType=content_type
            )

    def remove(self, keys: Sequence[str]) -> None:
        """Delete files of the data bucket."""
        self._delete([{"Key": key} for key in keys])

    def remove_old_versions(self, prefix: str, endings: Sequence[str] = ("",)) -> None:
        """Delete what a versioned bucket keeps of files that were overwritten or deleted."""
        versions, markers = [], []
        pages = self.s3.get_paginator("list_object_versions")
        with transient(f"list of versions of {prefix}"):
            for page in pages.paginate(Bucket=self.settings.data_bucket, Prefix=prefix):
                versions += [v for v in page.get("Versions", ()) if not v["IsLatest"]]
                markers += page.get("DeleteMarkers", ())
        # The markers last: a version without the marker over it would be there again.
        for found in (versions, markers):
            self._delete(
                [
                    {"Key": v["Key"], "VersionId": v["VersionId"]}
                    for v in found
                    if v["Key"].endswith(tuple(endings))
                ]
            )

    def _note(self, before: Manifest, after: Manifest) -> dict[str, Any]:
        """Compare and set what the manifest says of erasures."""
        values = {":after": {"S": erased_text(after)}}
        condition = "attribute_exists(pk) AND attribute_not_exists(erased)"
        if before.erased:
            values[":before"] = {"S": erased_text(before)}
            condition = "erased = :before"
        return {
            "TableName": self.settings.windows_table,
            "Key": batch_key(before.batch_id),
            "UpdateExpression": "SET erased = :after",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }

    def _delete(self, objects: Sequence[Mapping[str, str]]) -> None:
        for at in range(0, len(objects), _DELETES):
            some = objects[at : at + _DELETES]
            with transient(f"delete of {len(some)} files"):
                answer = self.s3.delete_objects(
                    Bucket=self.settings.data_bucket, Delete={"Objects": some, "Quiet": True}
                )
            if failed := answer.get("Errors"):
                first = failed[0]
                raise TransientFault(
                    f"{first['Key']} was not deleted, {first.get('Message', first['Code'])}:"
                    " run the same command again"
                )


def _erased(before: Manifest, after: Manifest) -> int:
    return sum(before.held.values()) - sum(after.held.values())
