"""The windows table: partials, manifests, control items, vocabulary."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.faults import code_of, transient
from swerve.adapters.items import (
    LABELS,
    batch_key,
    layout_is,
    manifest_of,
    manifest_text,
    name_key,
    partial_key,
    partial_of,
    shard_key,
    state_text,
    window_key,
)
from swerve.errors import TransientFault
from swerve.ports import WindowControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from swerve.adapters.items import Item
    from swerve.domain.manifest import Manifest
    from swerve.ports import PartialItem

_WRITES = 25  # quota of BatchWriteItem
_READS = 100  # quota of BatchGetItem
_ATTEMPTS = 6
# Why a transaction may be tried again: another was at the same item just then.
_PASSING = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
_AFTER_ALL = "~"  # sorts after every character of a batch id


@dataclass(frozen=True, slots=True)
class DynamoWindows:
    """One table; every read that exactness rests on is strongly consistent.

    The key of a partial names the count of shards beside the shard, so that the same users can be
    stored under two counts at a time.
    """

    client: Any
    table: str
    shard_count: int
    sleep: Callable[[float], None] = time.sleep

    def put_partials(self, partials: Iterable[PartialItem], expires_s: int) -> None:
        """Write at deterministic keys: writing again changes nothing."""
        self.put_items((partial, expires_s) for partial in partials)

    def partials(self, shard: int, first: int, last: int) -> Iterator[PartialItem]:
        """Partials of a shard with first <= window <= last, ordered (window, batch, segment)."""
        low, high = LABELS.label(first), LABELS.label(last)
        condition = "sk BETWEEN :low AND :high"
        values = {":low": {"S": low}, ":high": {"S": f"{high}#{_AFTER_ALL}"}}
        for item in self._query(self._shard(shard), condition, values):
            yield partial_of(shard, item)

    def under(self, shard_count: int) -> DynamoWindows:
        """Return the same table as laid out by another count: its partials are others."""
        return replace(self, shard_count=shard_count)

    def items(self, shard: int) -> Iterator[tuple[PartialItem, int]]:
        """All partials of a shard, ordered (window, batch, segment), and when each expires."""
        for item in self._query(self._shard(shard)):
            yield partial_of(shard, item), int(item["expires"]["N"])

    def put_items(self, partials: Iterable[tuple[PartialItem, int]]) -> None:
        """As `put_partials`, each with its own expiry."""
        self._write(
            {"PutRequest": {"Item": self._partial_item(partial, expires_s)}}
            for partial, expires_s in partials
        )

    def remove_shard(self, shard: int) -> None:
        """Delete all partials of a shard."""
        self._write(
            {"DeleteRequest": {"Key": {"pk": item["pk"], "sk": item["sk"]}}}
            for item in self._query(self._shard(shard), keys_only=True)
        )

    def put_manifest(
        self, manifest: Manifest, expires_s: int, layout: Mapping[str, str | int]
    ) -> bool:
        """Write once, while `LAYOUT` is this; False where the batch had one, or it is another."""
        put = {
            "TableName": self.table,
            "Item": {
                **batch_key(manifest.batch_id),
                "manifest": {"S": manifest_text(manifest)},
                "expires": {"N": str(expires_s)},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        return self._transact([{"ConditionCheck": layout_is(self.table, layout)}, {"Put": put}])

    def amend_manifest(self, manifest: Manifest) -> None:
        """Write another text of a manifest that there is; its expiry stays."""
        self._update(
            manifest.batch_id,
            "SET manifest = :text",
            {":text": {"S": manifest_text(manifest)}},
            "attribute_exists(pk)",
            pk="batch",
        )

    def manifest(self, batch_id: str) -> Manifest | None:
        """Read consistently."""
        item = self._get("batch", batch_id)
        return None if item is None else manifest_of(item)

    def manifests(self) -> Iterator[Manifest]:
        """All live manifests, ordered by batch id."""
        return map(manifest_of, self._query("batch"))

    def raise_dirty(self, windows: Iterable[int]) -> None:
        """Add 1 to `dirty` of each window."""
        for window in windows:
            self._update(window_key(window), "ADD dirty :one", {":one": {"N": "1"}})

    def control(self) -> tuple[WindowControl, ...]:
        """All windows ever touched, in order; read consistently."""
        return tuple(
            WindowControl(
                LABELS.parse(item["sk"]["S"].partition("#")[2]),
                int(item.get("dirty", {"N": "0"})["N"]),
                int(item.get("closed", {"N": "0"})["N"]),
            )
            for item in self._control("window#")
        )

    def set_closed(self, seen: Mapping[int, int]) -> None:
        """Set `closed` of each window to the counter seen, never backwards."""
        for window, counter in sorted(seen.items()):
            self._update(
                window_key(window),
                "SET closed = :seen",
                {":seen": {"N": str(counter)}},
                "attribute_not_exists(closed) OR closed < :seen",
            )

    def put_watermark(self, source: str, watermark_ms: int, seen_ms: int) -> None:
        """Move a source's watermark forward (never back) and note when it was last active."""
        for name, value in (("watermark_ms", watermark_ms), ("seen_ms", seen_ms)):
            self._update(
                f"watermark#{source}",
                f"SET {name} = :new",
                {":new": {"N": str(value)}},
                f"attribute_not_exists({name}) OR {name} < :new",
            )

    def watermarks(self) -> Mapping[str, tuple[int, int]]:
        """Source -> (watermark_ms, seen_ms)."""
        return {
            item["sk"]["S"].partition("#")[2]: (
                int(item["watermark_ms"]["N"]),
                int(item["seen_ms"]["N"]),
            )
            for item in self._control("watermark#")
            if "seen_ms" in item  # else a crash came between the two updates: not there yet
        }

    def state(self, name: str) -> Mapping[str, str | int] | None:
        """Read a named control item."""
        item = self._get("control", f"state#{name}")
        if item is None:
            return None
        value: dict[str, str | int] = json.loads(item["state"]["S"])
        return value

    def put_state(
        self, name: str, value: Mapping[str, str | int], expected: Mapping[str, str | int] | None
    ) -> bool:
        """Compare and set; `expected` None means there must be none. False when it differs."""
        item = {
            "pk": {"S": "control"},
            "sk": {"S": f"state#{name}"},
            "state": {"S": state_text(value)},
        }
        if expected is None:
            return self._put_if(item, "attribute_not_exists(pk)")
        values = {":expected": {"S": state_text(expected)}}
        return self._put_if(item, "#state = :expected", {"#state": "state"}, values)

    def acquire_lease(self, name: str, owner: str, now_ms: int, until_ms: int) -> bool:
        """Take a lease that is free, expired, or already this owner's."""
        return self._update(
            f"lease#{name}",
            "SET held_by = :owner, until_ms = :until",
            {
                ":owner": {"S": owner},
                ":until": {"N": str(until_ms)},
                ":now": {"N": str(now_ms)},
            },
            "attribute_not_exists(pk) OR until_ms <= :now OR held_by = :owner",
        )

    def release_lease(self, name: str, owner: str) -> None:
        """Give it back; harmless where it is no longer this owner's."""
        self._update(
            f"lease#{name}",
            "SET until_ms = :never",
            {":never": {"N": "0"}, ":owner": {"S": owner}},
            "held_by = :owner",
        )

    def put_names(self, names: Mapping[int, str]) -> None:
        """Add to the vocabulary (key -> name); idempotent."""
        self._write(
            {"PutRequest": {"Item": {**name_key(key), "name": {"S": name}}}}
            for key, name in sorted(names.items())
        )

    def names(self, keys: Iterable[int]) -> Mapping[int, str]:
        """Known names of keys."""
        wanted = [name_key(key) for key in sorted(set(keys))]
        found: dict[int, str] = {}
        for at in range(0, len(wanted), _READS):
            for item in self._read(wanted[at : at + _READS]):
                found[int(item["sk"]["S"], 16)] = item["name"]["S"]
        return found

    def _control(self, prefix: str) -> Iterator[Item]:
        return self._query("control", "begins_with(sk, :prefix)", {":prefix": {"S": prefix}})

    def _query(
        self,
        pk: str,
        condition: str = "",
        values: Mapping[str, Any] | None = None,
        *,
        keys_only: bool = False,
    ) -> Iterator[Item]:
        request: dict[str, Any] = {
            "TableName": self.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk" + (f" AND {condition}" if condition else ""),
            "ExpressionAttributeValues": {":pk": {"S": pk}, **(values or {})},
        }
        if keys_only:
            request["ProjectionExpression"] = "pk, sk"
        while True:
            with transient(f"query of {pk}"):
                page = self.client.query(**request)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _get(self, pk: str, sk: str) -> Item | None:
        with transient(f"get of {pk} {sk}"):
            answer = self.client.get_item(
                TableName=self.table, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=True
            )
        item: Item | None = answer.get("Item")
        return item

    def _put_if(
        self,
        item: Item,
        condition: str,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        request: dict[str, Any] = {"Item": item, "ConditionExpression": condition}
        if names and values:
            request |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        with transient(f"put of {item['pk']['S']} {item['sk']['S']}"):
            return _met(lambda: self.client.put_item(TableName=self.table, **request))

    def _update(
        self,
        sk: str,
        expression: str,
        values: Mapping[str, Any],
        condition: str = "",
        pk: str = "control",
    ) -> bool:
        request: dict[str, Any] = {
            "Key": {"pk": {"S": pk}, "sk": {"S": sk}},
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        }
        if condition:
            request["ConditionExpression"] = condition
        with transient(f"update of {sk}"):
            return _met(lambda: self.client.update_item(TableName=self.table, **request))

    def _transact(self, writes: list[dict[str, Any]]) -> bool:
        """Write all, or nothing and return False where a condition is not met."""
        for attempt in range(_ATTEMPTS):
            try:
                with transient("transaction"):
                    self.client.transact_write_items(TransactItems=writes)
            except ClientError as error:
                reasons = {r["Code"] for r in error.response.get("CancellationReasons", ())}
                if "ConditionalCheckFailed" in reasons:
                    return False
                if not reasons or reasons - _PASSING:
                    raise
            else:
                return True
            self._back_off(attempt)
        raise TransientFault(f"{self.table}: others wrote the same items, {_ATTEMPTS} times")

    def _write(self, requests: Iterable[dict[str, Any]]) -> None:
        batch: list[dict[str, Any]] = []
        for request in requests:
            batch.append(request)
            if len(batch) == _WRITES:
                self._write_batch(batch)
                batch = []
        if batch:
            self._write_batch(batch)

    def _write_batch(self, batch: list[dict[str, Any]]) -> None:
        for attempt in range(_ATTEMPTS):
            with transient(f"write of {len(batch)} items"):
                answer = self.client.batch_write_item(RequestItems={self.table: batch})
            batch = answer.get("UnprocessedItems", {}).get(self.table, [])
            if not batch:
                return
            self._back_off(attempt)
        raise TransientFault(f"{self.table}: {len(batch)} items stayed unwritten, it is throttled")

    def _read(self, keys: list[Any]) -> Iterator[Item]:
        for attempt in range(_ATTEMPTS):
            with transient(f"read of {len(keys)} items"):
                answer = self.client.batch_get_item(RequestItems={self.table: {"Keys": keys}})
            yield from answer["Responses"].get(self.table, [])
            keys = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            if not keys:
                return
            self._back_off(attempt)
        raise TransientFault(f"{self.table}: {len(keys)} items stayed unread, it is throttled")

    def _back_off(self, attempt: int) -> None:
        # Full jitter (AWS Builders' Library, "Timeouts, retries and backoff with jitter").
        self.sleep(random.random() * 0.05 * 2**attempt)  # noqa: S311 - no secret

    def _shard(self, shard: int) -> str:
        return shard_key(shard, self.shard_count)["S"]

    def _partial_item(self, partial: PartialItem, expires_s: int) -> Item:
        return {
            **partial_key(partial, self.shard_count),
            "data": {"B": partial.data},
            "events": {"N": str(partial.events)},
            "expires": {"N": str(expires_s)},
        }


def _met(write: Callable[[], object]) -> bool:
    """Write, and say whether the condition was met."""
    try:
        write()
    except ClientError as error:
        if code_of(error) == "ConditionalCheckFailedException":
            return False
        raise
    return True
