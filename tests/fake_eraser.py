"""Deletes in the in-memory world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swerve.errors import TransientFault
from swerve.ports import LAYOUT, AlertRow, PartialItem

from tests.faults import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.domain.manifest import Manifest

    from tests.fakes import World
    from tests.faults import Faults


@dataclass
class FakeEraser:
    """Works on the shards that the world has just now."""

    world: World

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @guarded
    def replace_partial(
        self, partial: PartialItem, data: bytes, before: Manifest, after: Manifest
    ) -> None:
        windows, key = self.world.windows, _key(partial)
        at_rest = windows.states[LAYOUT].keys().isdisjoint({"to", "from"})
        known = windows.batches.get(partial.batch_id)
        if not at_rest or key not in windows.stored or known != before:
            raise TransientFault(f"{partial.batch_id} was changed meanwhile")
        events = partial.events - (sum(before.held.values()) - sum(after.held.values()))
        windows.stored[key] = replace(partial, data=data, events=events)
        if not data:
            del windows.stored[key]
        windows.batches[partial.batch_id] = after

    @guarded
    def remove_partial(self, partial: PartialItem, shard_count: int) -> None:
        self.world.windows.layouts[shard_count].pop(_key(partial), None)

    @guarded
    def remove_alert(self, row: AlertRow) -> None:
        self.world.alerts.rows.pop((row.window, row.subject_kind), None)

    @guarded
    def put(self, key: str, body: bytes, content_type: str) -> None:
        self.world.data.put(key, body, content_type)

    @guarded
    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.world.data.old.append((key, self.world.data.files.pop(key)))

    @guarded
    def remove_old_versions(self, prefix: str, endings: Sequence[str] = ("",)) -> None:
        old = self.world.data.old
        old[:] = [v for v in old if not (v[0].startswith(prefix) and v[0].endswith(tuple(endings)))]


def _key(partial: PartialItem) -> tuple[int, int, str, int]:
    return partial.shard, partial.window, partial.batch_id, partial.segment
