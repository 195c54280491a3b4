"""What the items of the windows table look like."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from swerve.domain.manifest import DedupRule, Erased, Manifest
from swerve.domain.window import WindowSpec
from swerve.ports import LAYOUT, PartialItem

if TYPE_CHECKING:
    from collections.abc import Mapping

Item = dict[str, dict[str, Any]]

LABELS = WindowSpec()  # a label is a date whatever the length of a window


def partial_of(shard: int, item: Item) -> PartialItem:
    """Read one segment."""
    label, batch_id, segment = item["sk"]["S"].split("#")
    return PartialItem(
        shard,
        LABELS.parse(label),
        batch_id,
        int(segment),
        bytes(item["data"]["B"]),
        int(item["events"]["N"]),
    )


def partial_key(partial: PartialItem, shard_count: int) -> Item:
    """Key of a segment: by what it holds, so that it is written twice to the same place."""
    label = LABELS.label(partial.window)
    return {
        "pk": shard_key(partial.shard, shard_count),
        "sk": {"S": f"{label}#{partial.batch_id}#{partial.segment:03d}"},
    }


def shard_key(shard: int, shard_count: int) -> dict[str, str]:
    """Partition of one of so many shards."""
    return {"S": f"shard#{shard:04d}/{shard_count:04d}"}


def batch_key(batch_id: str) -> Item:
    """Key of a manifest."""
    return {"pk": {"S": "batch"}, "sk": {"S": batch_id}}


def name_key(key: int) -> Item:
    """Key of a word of the vocabulary."""
    return {"pk": {"S": "vocabulary"}, "sk": {"S": f"{key:016x}"}}


def manifest_text(manifest: Manifest) -> str:
    """Write what a batch held as it was read; what was erased of it has an attribute of its own."""
    fields = asdict(manifest)
    del fields["erased"]
    return json.dumps(fields, sort_keys=True)


def erased_text(manifest: Manifest) -> str:
    """Write what was erased of a batch."""
    return json.dumps(manifest.erased, sort_keys=True)


def manifest_of(item: Item) -> Manifest:
    """Read a manifest."""
    fields = json.loads(item["manifest"]["S"])
    fields["dedup"] = DedupRule(fields["dedup"])
    fields["windows"] = {int(window): events for window, events in fields["windows"].items()}
    fields["shards"] = tuple(fields["shards"])
    erased = json.loads(item["erased"]["S"]) if "erased" in item else {}
    fields["erased"] = {int(window): Erased(*counts) for window, counts in erased.items()}
    return Manifest(**fields)


def window_key(window: int) -> str:
    """Sort key of a window's counters."""
    return f"window#{LABELS.label(window)}"


def state_text(value: Mapping[str, str | int]) -> str:
    """Write a named control item: the same for the same value."""
    return json.dumps(dict(value), sort_keys=True)


def layout_is(table: str, layout: Mapping[str, str | int]) -> dict[str, Any]:
    """Make the condition of a transaction that data is laid out so, and nobody splits it."""
    return {
        "TableName": table,
        "Key": {"pk": {"S": "control"}, "sk": {"S": f"state#{LAYOUT}"}},
        "ConditionExpression": "#state = :layout",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": {":layout": {"S": state_text(layout)}},
    }
