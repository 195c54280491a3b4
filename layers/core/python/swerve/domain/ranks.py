"""Names of one file by rank, so that the names of every segment need not be sorted again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.event import Events
    from swerve.domain.kept import Kept

NAMED = ("category", "item", "campaign")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks stand for the keys of names until events are packed.

    Attributes
    ----------
    keys : mapping of str to uint64[n]
        Of each column of `NAMED`, ascending.
    of_code : mapping of str to uint64[codes]
        Rank of the key of each code.
    """

    keys: Mapping[str, NDArray[np.uint64]]
    of_code: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, keys: Mapping[str, NDArray[np.uint64]]) -> Ranks:
        """Rank the keys of each column; they may repeat."""
        found = {name: np.unique(column, return_inverse=True) for name, column in keys.items()}
        return cls(
            {name: ascending for name, (ascending, _) in found.items()},
            {name: ranks.astype(np.uint64) for name, (_, ranks) in found.items()},
        )

    def of_rows(self, kept: Kept) -> dict[str, NDArray[np.uint64]]:
        """Return the ranks of the names of each row."""
        return {name: self.of_code[name].take(getattr(kept, name)) for name in NAMED}

    def spelled(self, events: Events) -> Events:
        """Return events with keys in place of ranks."""
        ranks = {name: getattr(events, name).view(np.int64) for name in NAMED}
        return replace(events, **{name: self.keys[name].take(rank) for name, rank in ranks.items()})
