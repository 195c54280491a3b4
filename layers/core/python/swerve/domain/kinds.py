"""Which kind of change of interests it was: by what speaks loudest, and by how the mix moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.candidate import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FRESH_SHARE = 0.002  # a category of less than this was hardly ever used before
_NEW_SHARE = 0.01  # and of less than this it was no interest
_CONCENTRATED = 0.5  # share of what is fresh that two categories hold: an interest, not breadth
_CLEARLY = 1.1  # so many times as many categories, or as few, are another breadth


@dataclass(frozen=True, slots=True)
class Mix:
    """How one user's interests moved, a number a category.

    Attributes
    ----------
    before, now : float64[k]
        Shares of the categories.
    gain : float64[k]
        Evidence that the share rose (above 0) or fell.
    actions : float
        How many actions `now` is made of.
    """

    before: Floats
    now: Floats
    gain: Floats
    actions: float

    @property
    def breadth_now(self) -> float:
        """Categories used now."""
        return float((self.now > 0).sum())

    @property
    def breadth_before(self) -> float:
        """Categories that as many actions would have touched before."""
        return categories_in(self.before, self.actions)

    @property
    def won(self) -> bool:
        """More rose than fell, by the evidence."""
        return bool(-self.gain[self.gain < 0].sum() < self.gain[self.gain > 0].sum())

    def kind(self, loudest: str) -> Kind | None:
        """Name the change by the statistic that speaks loudest; None for a shift, slow or not."""
        if loudest.startswith("narrow") and self.breadth_now * _CLEARLY < self.breadth_before:
            return Kind.BREADTH_CHANGE
        if (
            loudest.startswith("up3")
            and self.won
            and self.before[np.argmax(self.gain)] < _NEW_SHARE
        ):
            return Kind.NEW_INTEREST
        if loudest.startswith("fresh") and self.won:
            if self._concentrated():
                return Kind.NEW_INTEREST
            if self.breadth_now > self.breadth_before * _CLEARLY:
                return Kind.BREADTH_CHANGE
        return None

    def _concentrated(self) -> bool:
        """Two categories hold most of what is fresh."""
        fresh = np.sort(np.where(self.before < FRESH_SHARE, self.now, 0.0))[::-1]
        return bool(fresh[:2].sum() >= _CONCENTRATED * max(float(fresh.sum()), 1e-9))


def categories_in(share: Floats, actions: float) -> float:
    """How many categories so many actions of this mix touch: who does less, sees fewer.

    Examples
    --------
    >>> mix = np.full(50, 0.02)
    >>> round(categories_in(mix, 10), 1), round(categories_in(mix, 500), 1)
    (9.1, 50.0)
    """
    return float((1.0 - (1.0 - np.minimum(share, 1.0)) ** actions).sum())
