"""How often alerts were right, where a back-test with known changes can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swerve.domain.candidate import Head

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often alerts were right in a back-test with known changes.

    Attributes
    ----------
    precision : mapping
        Head to (p, share right) pairs, ascending in p: of all alerts of the back-test with at
        most this p-value, this share was right.
    changed_share : float
        Share of the back-test's users that truly changed; precision depends on it.
    day : str
        ISO date of the back-test.
    """

    precision: Mapping[Head, tuple[tuple[float, float], ...]]
    changed_share: float
    day: str

    def right(self, head: Head, p_value: float) -> float | None:
        """Share right among alerts like this one; None where the back-test cannot say."""
        for limit, share in self.precision.get(head, ()):
            if p_value <= limit:
                return share
        return None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Reliability | None:
        """Read `metrics.reliability` of a model manifest; None where there is none."""
        stored = manifest.get("metrics", {}).get("reliability")
        if not stored:
            return None
        return cls(
            {
                Head(head): tuple(sorted((float(p), float(share)) for p, share in pairs))
                for head, pairs in stored["precision"].items()
            },
            float(stored["changed_share"]),
            str(stored["day"]),
        )
