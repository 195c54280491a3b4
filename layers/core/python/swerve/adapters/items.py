"""What the items of the windows table look like."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from swerve.domain.manifest import DedupRule, Manifest
from swerve.domain.window import WindowSpec
from swerve.ports import PartialItem

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


def name_key(key: int) -> Item:
    """Key of a word of the vocabulary."""
    return {"pk": {"S": "vocabulary"}, "sk": {"S": f"{key:016x}"}}


def manifest_text(manifest: Manifest) -> str:
    """Write a manifest."""
    return json.dumps(asdict(manifest), sort_keys=True)


def manifest_of(item: Item) -> Manifest:
    """Read a manifest."""
    fields = json.loads(item["manifest"]["S"])
    fields["dedup"] = DedupRule(fields["dedup"])
    fields["windows"] = {int(window): events for window, events in fields["windows"].items()}
    fields["shards"] = tuple(fields["shards"])
    return Manifest(**fields)


def window_key(window: int) -> str:
    """Sort key of a window's counters."""
    return f"window#{LABELS.label(window)}"


def state_text(value: Mapping[str, str | int]) -> str:
    """Write a named control item: the same for the same value."""
    return json.dumps(dict(value), sort_keys=True)
