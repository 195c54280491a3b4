"""Accepted rows between reading and packing: names and users as codes, which are half as wide."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KEPT_TYPES: dict[str, type[np.generic]] = {
    "key": np.uint64,
    "time_ms": np.int64,
    "user": np.uint32,
    "category": np.uint32,
    "item": np.uint32,
    "campaign": np.uint32,
    "value": np.float32,
    "behaviour": np.uint8,
    "by_content": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of one file as parallel columns.

    Attributes
    ----------
    key : uint64[n]
        Identity of the event, or a hash of its content.
    user, category, item, campaign : uint32[n]
        Codes that the file's `Normaliser` knows.
    by_content : bool[n]
        The key is a hash of the content.
    """

    key: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    user: NDArray[np.uint32]
    category: NDArray[np.uint32]
    item: NDArray[np.uint32]
    campaign: NDArray[np.uint32]
    value: NDArray[np.float32]
    behaviour: NDArray[np.uint8]
    by_content: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.key.size)

    @classmethod
    def concatenate(cls, parts: Sequence[Kept]) -> Kept:
        """All rows in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{
                name: np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])
                for name, kind in KEPT_TYPES.items()
            }
        )

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Kept:
        """Return the chosen rows."""
        return Kept(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})
