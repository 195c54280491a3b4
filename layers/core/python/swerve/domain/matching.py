"""A shop's p-values against those of the shop of the tables: quantile against quantile.

Everything is a histogram of -log p in `BINS` bins; a map is a table of the recalibrated -log p at
the edges of the bins, beyond which it goes on straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Head

    Floats = NDArray[np.float64]

BINS = 64
BIN_WIDTH = 0.25  # of -log p
EDGES = np.arange(0.0, BIN_WIDTH * (BINS + 0.5), BIN_WIDTH)
# A user who passes this is suspect, and says nothing of how everybody is in a window.
SUSPECT_P = 0.05
_COMMON = 0.06  # of the calm users of a window: fewer change in it
_COMMON_USERS, _LEAST_PART = 20, 0.2  # fewer users are not everybody


@dataclass(frozen=True, slots=True)
class Reference:
    """What the shop of the tables looks like.

    Attributes
    ----------
    ended : mapping of Head to float64[rates]
        By `ended_of`.
    per_week : int
        Windows in a week.
    """

    ended: Mapping[Head, Floats]
    per_week: int


@dataclass(frozen=True, slots=True)
class Excursions:
    """How excursions of a head are compared when they have ended.

    Attributes
    ----------
    rates : tuple of float
        So many a user-week are as deep or deeper: what is compared, the most frequent first.
    least : float
        Excursions beyond a rate from which it is believed.
    unlearnt : float
        Part of a -log p that holds where nothing is known of the shop.
    weeks, bucket_weeks : float
        User-weeks that weigh as much as the prior: of the shop, whose prior are the tables, and of
        a bucket, whose prior is the shop.
    steepest : float
        Slope of the tail that is believed at most.
    caution : float
        Part of a steeper slope beyond the last rate that is not believed.
    """

    rates: tuple[float, ...]
    least: float
    unlearnt: float
    weeks: float
    bucket_weeks: float
    steepest: float
    caution: float


def ended_of(counts: Floats, compared: Excursions, per_week: int) -> Floats:
    """What to compare excursions that ended with: -log p at their rates, float64[rates]."""
    return _quantiles(counts, np.array(compared.rates) / per_week)


def ended_table(
    counts: Floats,
    wanted: Floats,
    compared: Excursions,
    per_week: int,
    prior: Floats,
    weeks: float,
) -> Floats:
    """Match excursions that ended, quantile by quantile, float64[BINS + 1].

    How unusual an excursion was is known when it ends. Whoever left never comes back, and whoever
    does three times as much from now on does so for long, so the tail may be believed as deep as
    it was seen: those who truly changed hide nobody.

    Parameters
    ----------
    counts : float64[BINS]
        Largest -log p of those whose excursion ends in a window; 0 of all others.
    wanted : float64[rates]
        By `ended_of`, of the tables.
    prior : float64[BINS + 1]
    weeks : float
        User-weeks that weigh as much as the prior.
    """
    total = float(counts.sum()) / per_week
    seen = total * np.array(compared.rates) >= compared.least
    if np.count_nonzero(seen) < 2:
        return prior
    at, to = ended_of(counts, compared, per_week)[seen], wanted[seen]
    apart = np.append(True, np.diff(at) > 1e-3)
    at, to = at[apart], to[apart]
    if at.size < 2:
        return prior
    slope = min(float((to[-1] - to[-2]) / (at[-1] - at[-2])), compared.steepest)
    slope -= compared.caution * max(slope - 1.0, 0.0)
    matched = np.interp(EDGES, at, to) + slope * np.maximum(EDGES - at[-1], 0.0)
    below = at[0] > EDGES
    matched[below] = to[0] * EDGES[below] / at[0]
    return np.asarray(prior + total / (total + weeks) * (matched - prior))


def own_part(now: Floats, before: Floats) -> float:
    """Part of a user's -log p in this window that is not everybody's.

    A holiday moves the mixes of many at once, those of some more than of others; changes of single
    users do not. So where the calm users of a window surprise more than usual, beyond three
    standard errors, -log p is measured by theirs.

    Parameters
    ----------
    now, before : float64[BINS]
        Users who were calm before a window: of this one, and of those before.
    """
    users = float(now.sum())
    if users < _COMMON_USERS or not before.any():
        return 1.0
    share = _COMMON + 3.0 * np.sqrt(_COMMON * (1.0 - _COMMON) / users)
    usual, found = (_quantiles(c, np.array([s])) for c, s in ((before, _COMMON), (now, share)))
    return float(np.clip(usual / np.maximum(found, 1e-9), _LEAST_PART, 1.0)[0])


def _quantiles(counts: Floats, shares: Floats) -> Floats:
    """-log p at upper shares; 0 where fewer users gave evidence at all."""
    above = np.append(np.cumsum(counts[::-1])[::-1][1:], 0.0)  # beyond the upper edge of each bin
    surprise = -np.log(np.maximum(above, 0.5) / max(counts.sum(), 1.0))
    # Surprise never falls along the bins.
    at = np.interp(-np.log(shares), np.append(0.0, surprise), EDGES[: counts.size + 1])
    return np.asarray(at)
