"""Rows of one file between reading and packing: in memory, or in partitions on disk."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.event import COLUMN_TYPES, Events
from swerve.domain.normalise import Keyed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY_ROWS = 1_500_000
_PARTITION_BITS = 6
_SHIFT = np.uint32(32 - _PARTITION_BITS)


class RowStore:
    """Collects rows, and gives them back in groups of whole users, ordered by routing hash.

    Up to `MEMORY_ROWS` stay in memory; more go to one file for each of 64 ranges of the routing
    hash, so that memory is bounded whatever the size of the upload.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[Keyed] = []
        self._held_rows = 0
        self._blocks: dict[int, list[int]] = {}
        self.rows = 0

    def add(self, keyed: Keyed) -> None:
        """Take rows."""
        self._held.append(keyed)
        self._held_rows += len(keyed)
        self.rows += len(keyed)
        if self._held_rows > MEMORY_ROWS:
            self._spill()

    def groups(self) -> Iterator[Iterator[Keyed]]:
        """Yield groups of about `MEMORY_ROWS`, each in chunks; a user is in one group only."""
        if not self._blocks:
            if self._held:
                yield iter([Keyed.concatenate(self._held)])
            return
        self._spill()
        group: list[int] = []
        rows = 0
        for partition in sorted(self._blocks):
            more = sum(self._blocks[partition])
            if group and rows + more > MEMORY_ROWS:
                yield self._chunks(group)
                group, rows = [], 0
            group.append(partition)
            rows += more
        yield self._chunks(group)

    def _spill(self) -> None:
        for keyed in self._held:
            partition = (keyed.routing >> _SHIFT).astype(np.uint8)
            order = np.argsort(partition, kind="stable")
            ordered = keyed.take(order)
            bounds = np.searchsorted(partition[order], np.arange((1 << _PARTITION_BITS) + 1))
            for place in np.flatnonzero(np.diff(bounds)).tolist():
                self._write(place, ordered.take(slice(bounds[place], bounds[place + 1])))
        self._held = []
        self._held_rows = 0

    def _write(self, partition: int, keyed: Keyed) -> None:
        self._blocks.setdefault(partition, []).append(len(keyed))
        with self._path(partition).open("ab") as file:
            for field in fields(Events):
                np.ascontiguousarray(getattr(keyed.events, field.name)).tofile(file)
            keyed.by_content.tofile(file)
            keyed.routing.tofile(file)

    def _chunks(self, partitions: list[int]) -> Iterator[Keyed]:
        for partition in partitions:
            with self._path(partition).open("rb") as file:
                for rows in self._blocks[partition]:
                    columns = {
                        name: np.fromfile(file, kind, rows) for name, kind in COLUMN_TYPES.items()
                    }
                    by_content = np.fromfile(file, np.bool_, rows)
                    yield Keyed(Events(**columns), by_content, np.fromfile(file, np.uint32, rows))

    def _path(self, partition: int) -> Path:
        return self._folder / f"rows-{partition:02d}"
