"""Rows of one file between reading and packing: in memory, or in partitions on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.kept import KEPT_TYPES, Kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MEMORY_ROWS = 6_000_000  # 38 bytes each
_GROUP_ROWS = 50_000  # fewer are not worth a group: numpy's calls would take the time
_MOST_GROUP_ROWS = 1_500_000
_CHUNK_ROWS = 1_000_000
_PARTITION_BITS = 6
_PARTITIONS = 1 << _PARTITION_BITS
_SHIFT = np.uint32(32 - _PARTITION_BITS)


class RowStore:
    """Collects rows, and gives them back in groups of whole users, ordered by routing hash.

    They are kept in 64 ranges of the routing hash; where there are more than `MEMORY_ROWS`, each
    range goes to a file, so that memory is bounded whatever the size of the upload.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[_Block] = []
        self._held_rows = 0
        self._rows = [0] * _PARTITIONS
        self._written: list[list[int]] = [[] for _ in range(_PARTITIONS)]

    def add(self, kept: Kept, routing: NDArray[np.uint32]) -> None:
        """Take rows, and the routing hash of the user of each."""
        partition = (routing >> _SHIFT).astype(np.uint8)
        counts = np.bincount(partition, minlength=_PARTITIONS)
        bounds = [0, *np.cumsum(counts).tolist()]
        self._held.append(_Block(kept.take(np.argsort(partition, kind="stable")), bounds))
        self._rows = [rows + more for rows, more in zip(self._rows, counts.tolist(), strict=True)]
        self._held_rows += len(kept)
        if self._held_rows > MEMORY_ROWS:
            self._spill()

    def groups(self, shard_count: int) -> Iterator[Iterator[Kept]]:
        """Yield groups in chunks; a user is in one group only, and a shard where it fits."""
        partitions_of_shard = max(1, _PARTITIONS // shard_count)
        group: list[int] = []
        rows = 0
        for place, more in enumerate(self._rows):
            whole = place % partitions_of_shard == 0 and rows >= _GROUP_ROWS
            if group and (whole or rows + more > _MOST_GROUP_ROWS):
                yield self._chunks(group)
                group, rows = [], 0
            if more:
                group.append(place)
                rows += more
        if group:
            yield self._chunks(group)

    def _spill(self) -> None:
        for place in range(_PARTITIONS):
            for kept in self._in_memory(place):
                self._write(place, kept)
        self._held, self._held_rows = [], 0

    def _write(self, place: int, kept: Kept) -> None:
        self._written[place].append(len(kept))
        with self._path(place).open("ab") as file:
            for name in KEPT_TYPES:
                np.ascontiguousarray(getattr(kept, name)).tofile(file)

    def _chunks(self, group: list[int]) -> Iterator[Kept]:
        for place in group:
            if self._written[place]:
                with self._path(place).open("rb") as file:
                    for rows in self._written[place]:
                        yield Kept(
                            **{
                                name: np.fromfile(file, kind, rows)
                                for name, kind in KEPT_TYPES.items()
                            }
                        )
            yield from self._in_memory(place)

    def _in_memory(self, place: int) -> Iterator[Kept]:
        """Copy the rows of one range together."""
        some: list[tuple[Kept, slice]] = []
        rows = 0
        for block in self._held:
            part = slice(block.bounds[place], block.bounds[place + 1])
            some.append((block.kept, part))
            rows += part.stop - part.start
            if rows > _CHUNK_ROWS:
                yield _copied(some)
                some, rows = [], 0
        if rows:
            yield _copied(some)

    def _path(self, place: int) -> Path:
        return self._folder / f"rows-{place:02d}"


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows ordered by the range of their routing hash, and where each range begins and ends."""

    kept: Kept
    bounds: list[int]


def _copied(parts: list[tuple[Kept, slice]]) -> Kept:
    return Kept(
        **{
            name: np.concatenate([getattr(kept, name)[rows] for kept, rows in parts])
            for name in KEPT_TYPES
        }
    )
