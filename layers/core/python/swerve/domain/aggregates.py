"""Subjects other than users: categories, products, campaigns, the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Candidate
    from swerve.domain.totals import Totals


@dataclass(frozen=True, slots=True)
class Watch:
    """Series of all aggregate subjects."""

    days: int

    @classmethod
    def empty(cls, days: int) -> Watch:
        """Nothing seen yet."""
        return cls(days)

    def advance(
        self, window: int, totals: Totals, gap: bool
    ) -> tuple[Watch, tuple[Candidate, ...]]:
        """Take in one window."""
        return self, ()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns for the checkpoint."""
        return {}

    @classmethod
    def from_arrays(cls, days: int, stored: Mapping[str, NDArray[Any]]) -> Watch:
        """Inverse of `arrays`."""
        return cls(days)
