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
# A user who passes this is suspect, and not calm for half a year. With half of the users of a panel
# truly changed, the quantiles of the calm are those of the unchanged within 5 %.
SUSPECT_P = 0.05
_SUSPECT_BIN = round(-np.log(SUSPECT_P) / BIN_WIDTH)
# Calm user-weeks are compared at these shares; the first two span the bulk.
_CALM = np.array([0.3, 0.06, 0.015])
_ENDED_LEAST = 20.0  # excursions beyond a quantile that is believed
_COMMON = 0.06  # of the calm users of a window: fewer change in it
_COMMON_USERS, _LEAST_PART = 20, 0.2  # fewer users are not everybody
_LEAST_WEEKS = 10.0  # user-weeks from which a quantile of 6 % is one
# User-weeks that weigh as much as the prior. How surprised people are on the whole is soon known,
# how fast surprise grows beyond is not, and an error of the slope grows along the tail.
_LEVEL_WEEKS, _TAIL_WEEKS = 100.0, 200.0
_DOUBT = 0.9  # of a steeper tail that is believed: tails bend less than the bulk
_SCALES, _SHIFTS = (0.4, 4.0), (-6.0, 1.5)


@dataclass(frozen=True, slots=True)
class Bulk:
    """What the shop of the tables looks like.

    Attributes
    ----------
    calm : mapping of Head to float64[7]
        By `calm_of`, of the heads that are compared so.
    ended : mapping of Head to float64[5]
        By `ended_of`, of the heads that are compared so.
    per_week : int
        Windows in a week.
    """

    calm: Mapping[Head, Floats]
    ended: Mapping[Head, Floats]
    per_week: int


@dataclass(frozen=True, slots=True)
class Excursions:
    """How excursions of a head are compared when they have ended.

    Attributes
    ----------
    rates : tuple of float
        So many a user-week are as deep or deeper: what is compared, the most frequent first.
    from_week : int
        Of the shop, from which they are counted.
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
    from_week: int
    unlearnt: float
    weeks: float
    bucket_weeks: float
    steepest: float
    caution: float


@dataclass(frozen=True, slots=True)
class Line:
    """-log p -> shift + scale x -log p, and steeper by `bend` beyond `knot`."""

    shift: float = 0.0
    scale: float = 1.0
    knot: float = 0.0
    bend: float = 0.0

    def table(self) -> Floats:
        """At the edges of the bins, float64[BINS + 1]."""
        straight = self.shift + self.scale * EDGES
        steeper = self.bend * np.maximum(EDGES - self.knot, 0.0)
        return np.asarray(np.maximum(straight + steeper, 0.0))


def calm_of(calm: Floats, every: Floats) -> Floats:
    """What to compare calm users with, float64[7].

    -log p at three shares of the user-weeks that stay calm; the same of all user-weeks; and the
    share of the calm that turn suspect.

    Parameters
    ----------
    calm, every : float64[BINS]
        Histograms of the users calm before a window, and of all.
    """
    stay = _quantiles(calm[:_SUSPECT_BIN], _CALM)
    return np.concatenate([stay, _quantiles(every, _CALM), [_turning(calm)]])


def ended_of(counts: Floats, compared: Excursions, per_week: int) -> Floats:
    """What to compare excursions that ended with: -log p at their rates, float64[5]."""
    return _quantiles(counts, np.array(compared.rates) / per_week)


def calm_line(
    counts: Floats, wanted: Floats, prior: Line, slope_weeks: float, caution: float
) -> Line:
    """Match the bulk of calm users by a line, drawn to the prior's while data is scarce.

    The line is extended into the tail, because log likelihood ratios have exponential tails. The
    tail itself may only make it steeper: truly changed users make tails heavier, and a
    calibration that learnt that would silence them; a lighter tail is the shop's own.

    Where as many turn suspect as on the shop of the tables, or more, only those who stay calm are
    compared. A shop whose p-values are too large has no suspects: there all are.

    Parameters
    ----------
    counts : float64[BINS]
    wanted : float64[7]
        By `calm_of`, of the tables.
    slope_weeks : float
        User-weeks that weigh as much as the prior's slope.
    caution : float
        Part of a steeper slope that is not believed.
    """
    if counts.sum() < _LEAST_WEEKS:
        return prior
    suspect = min(_turning(counts) / wanted[-1], 1.0)
    stay = _line(counts[:_SUSPECT_BIN], wanted[:3], prior, slope_weeks, caution)
    every = _line(counts, wanted[3:6], prior, slope_weeks, caution)
    return Line(*(suspect * stay + (1.0 - suspect) * every).tolist())


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
    wanted : float64[5]
        By `ended_of`, of the tables.
    prior : float64[BINS + 1]
    weeks : float
        User-weeks that weigh as much as the prior.
    """
    total = float(counts.sum()) / per_week
    seen = total * np.array(compared.rates) >= _ENDED_LEAST
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


def _line(
    counts: Floats, wanted: Floats, prior: Line, slope_weeks: float, caution: float
) -> Floats:
    total = float(counts.sum())
    at, to = _quantiles(counts, _CALM).tolist(), wanted.tolist()
    slope, beyond = ((to[k + 1] - to[k]) / max(at[k + 1] - at[k], 1e-6) for k in (0, 1))
    steep = _within(slope - caution * max(slope - 1.0, 0.0), _SCALES)
    believed = total / (total + slope_weeks)
    scale = prior.scale + believed * (steep - prior.scale)
    # Midway between the two points of the bulk; without data at the prior's height of the second.
    level = _within((to[0] - scale * at[0] + (to[1] - scale * at[1])) / 2, _SHIFTS)
    usual = prior.shift + (prior.scale - scale) * at[1]
    shift = usual + total / (total + _LEVEL_WEEKS) * (level - usual)
    found = total * float(_CALM[2])  # user-weeks beyond the bulk
    bend = max(_within(beyond * _DOUBT, _SCALES) - scale, 0.0)
    bend *= found / (found + _TAIL_WEEKS)
    knot = prior.knot + believed * (at[1] - prior.knot)
    return np.array([shift, scale, knot, prior.bend + believed * (bend - prior.bend)])


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _turning(counts: Floats) -> float:
    return float(counts[_SUSPECT_BIN:].sum() / max(counts.sum(), 1.0))


def _quantiles(counts: Floats, shares: Floats) -> Floats:
    """-log p at upper shares; 0 where fewer users gave evidence at all."""
    above = np.append(np.cumsum(counts[::-1])[::-1][1:], 0.0)  # beyond the upper edge of each bin
    surprise = -np.log(np.maximum(above, 0.5) / max(counts.sum(), 1.0))
    # Surprise never falls along the bins.
    at = np.interp(-np.log(shares), np.append(0.0, surprise), EDGES[: counts.size + 1])
    return np.asarray(at)
