"""What may be said of a user before the window is over: only what more data cannot take back.

The score of a user is how unlikely it is that a whole window holds at least what is already there.
It only grows while the window fills, so looking after every upload is free: no correction for
repeated looks is needed. What the whole shop does more of raises the reference, so a promotion is
no news. How rare a score is, the shard's own last eight weeks say: shoppers come in bursts, and no
textbook distribution holds so far out (on Complete Journey a negative binomial is wrong a
hundredfold, the fitted tail by a fifth).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.candidate import Candidate, Evidence, Head, Kind, Level, Share
from swerve.domain.special import negative_binomial_sf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.counts import WindowCounts
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

_SIZE = 1.0  # of the negative binomial that scores: one event is as bursty as shopping gets
_LEAST_LEVEL = 0.5  # events a window that everybody is granted
_LEAST_SHARE = 1e-3  # of a category that the shop hardly knows yet
_WEEK_DAYS = 7
_TAIL_SHARE = 0.005  # of the user-windows; the tail is fitted to those beyond
_LEAST_TAIL = 20  # with fewer in the tail, nobody can say what is rare
_STEEPEST = 3.0  # real shops have 2 to 3; few distinct counts can look much steeper than they are


@dataclass(frozen=True, slots=True)
class Tail:
    """How rare large scores are: a power law beyond a quantile (Hill 1975, Annals of Statistics 3).

    Attributes
    ----------
    start : float
        Scores up to here are not rare.
    share : float
        Of the user-windows that lie beyond.
    power : float
    """

    start: float
    share: float
    power: float

    @classmethod
    def of(cls, scores: Floats, size: int) -> Tail | None:
        """Fit to the scores of `size` user-windows (those left out are 0); None for too few."""
        count = min(int(size * _TAIL_SHARE), scores.size - 1)
        if count < _LEAST_TAIL:
            return None
        ranked = np.sort(scores)[-count - 1 :]
        start = float(ranked[0])
        spread = float(np.mean(np.log(ranked[1:] / start)))
        power = min(1.0 / max(spread, 1e-6), _STEEPEST)
        return cls(start, count / size, power) if start > 0 else None

    def p_value(self, scores: Floats) -> Floats:
        """Probability of at least this score in a user-window; 1 below the tail."""
        beyond = self.share * (np.maximum(scores, self.start) / self.start) ** -self.power
        return np.where(scores > self.start, beyond, 1.0)


@dataclass(frozen=True, slots=True)
class Reference:
    """What the users of a shard usually do in a window.

    Attributes
    ----------
    settled : bool[U]
        Known for long enough.
    level : float64[U]
        Own events a window.
    factor : float64[R + 1]
        What the shop multiplies it by: the open window, then the windows of the ring. At least 1,
        for a window that has only begun looks small.
    """

    settled: NDArray[np.bool_]
    level: Floats
    factor: Floats

    @classmethod
    def of(cls, state: ShardState, counts: WindowCounts, context: Context, since: int) -> Reference:
        """Of a checkpoint, for users first seen up to `since`."""
        level = state.cohort.level[:, 0] / np.maximum(state.cohort.span, 1.0)
        settled = state.first <= since
        factor = np.maximum(context.factor[:, 0], 1.0)
        factor[0] = max(factor[0], _shop_ratio(state, counts, level, settled))
        return cls(settled, np.maximum(level, _LEAST_LEVEL), factor)


def _shop_ratio(
    state: ShardState, counts: WindowCounts, level: Floats, settled: NDArray[np.bool_]
) -> float:
    """Events of the open window over the usual, without the busiest hundredth of the users.

    The cohort factor bounds what one user may add, and so a sale that everybody joins, too.
    """
    now = np.zeros(level.size)
    row = binary.rows_of(state.users, counts.users)
    now[row[row >= 0]] = counts.total[row >= 0]
    calm = settled & (now <= np.quantile(now[settled], 0.99, method="higher"))
    return float(now[calm].sum() / max(level[calm].sum(), 1.0))


def early_candidates(
    state: ShardState, counts: WindowCounts, context: Context, p_max: float, warmup_weeks: int
) -> list[Candidate]:
    """Surges and new interests of an open window.

    Parameters
    ----------
    state : ShardState
        Checkpoint of the shard, of a window before.
    counts : WindowCounts
        What the open window holds of this shard so far.
    context : Context
        The shop's state advanced by the totals of `counts`.
    p_max : float
        For each of the two statistics of a user.
    warmup_weeks : int
        Users known for a shorter time are not spoken of.
    """
    since = counts.window - warmup_weeks * _WEEK_DAYS
    if not (state.first <= since).any():
        return []
    reference = Reference.of(state, counts, context, since)
    row = binary.rows_of(state.users, counts.users)
    row[~reference.settled[row]] = -1
    found = _surges(state, counts, reference, row, p_max)
    found += _new_interests(state, counts, context, reference, row=row, p_max=p_max)
    return sorted(found, key=lambda c: (c.subject, c.kind))


def _surges(
    state: ShardState,
    counts: WindowCounts,
    reference: Reference,
    row: NDArray[np.int64],
    p_max: float,
) -> list[Candidate]:
    before = state.events[reference.settled]
    usual = reference.level[reference.settled][:, None] * reference.factor[1:]
    tail = Tail.of(_score(before, usual)[before > 0], before.size)
    if tail is None:
        return []
    user = np.flatnonzero(row >= 0)
    expected = reference.level[row[user]] * reference.factor[0]
    p = tail.p_value(_score(counts.total[user], expected))
    made = []
    for hit in np.flatnonzero(p <= p_max).tolist():
        now, usually = float(counts.total[user[hit]]), float(expected[hit])
        facts = {"actions_now": now, "actions_before": usually, "ratio": now / usually}
        evidence = Evidence("early_surge", now, usually, vote=True, p_value=float(p[hit]))
        made.append(_candidate(counts, int(user[hit]), Kind.SURGE, evidence, facts=facts))
    return made


def _new_interests(
    state: ShardState,
    counts: WindowCounts,
    context: Context,
    reference: Reference,
    *,
    row: NDArray[np.int64],
    p_max: float,
) -> list[Candidate]:
    mix = context.categories
    size = int(reference.settled.sum()) * (reference.factor.size - 1)
    tail = Tail.of(_earlier_scores(state, context, reference), size)
    pairs = np.flatnonzero(row[counts.pair_user] >= 0)
    pairs = pairs[~_used(state, row[counts.pair_user[pairs]], counts.pair_category[pairs])]
    if tail is None or not pairs.size:
        return []
    user, category = counts.pair_user[pairs], counts.pair_category[pairs]
    place = np.searchsorted(mix.keys, category)
    share = np.maximum(mix.usual[place], _LEAST_SHARE) * np.maximum(mix.season[place], 1.0)
    expected = reference.level[row[user]] * reference.factor[0]
    events, usual = counts.pair_events[pairs], expected * share
    p = tail.p_value(_score(events, usual))
    hits = np.flatnonzero(p <= p_max)
    made: list[Candidate] = []
    for hit in hits[np.lexsort((category[hits], p[hits], user[hits]))].tolist():
        who = int(user[hit])
        if made and made[-1].subject == _subject(counts, who):
            continue  # this user's most telling category is said already
        total, now = float(counts.total[who]), float(events[hit])
        facts = {"actions_now": total, "actions_before": float(expected[hit])}
        evidence = Evidence(
            "early_new_interest", now, float(usual[hit]), vote=True, p_value=float(p[hit])
        )
        rising = (Share(int(category[hit]), 0.0, now / total),)
        made.append(
            _candidate(counts, who, Kind.NEW_INTEREST, evidence, facts=facts, rising=rising)
        )
    return made


def _earlier_scores(state: ShardState, context: Context, reference: Reference) -> Floats:
    """Scores of the categories that were new to a user in a window of the ring, best a user."""
    table, mix = state.categories, context.categories
    usual = np.maximum(mix.usual[np.searchsorted(mix.keys, table.keys)], _LEAST_SHARE)
    fresh: NDArray[np.bool_] = table.code.max(axis=1) == 0
    scores = []
    for age, slot in reversed(list(enumerate(table.ring))):
        new = fresh[slot.rows] & reference.settled[table.user[slot.rows]]
        fresh[slot.rows] = False
        rows = slot.rows[new]
        share = usual[table.key[rows]] * np.maximum(slot.season[table.key[rows]], 1.0)
        expected = reference.level[table.user[rows]] * reference.factor[age + 1] * share
        best = np.zeros(state.users.size)
        np.maximum.at(best, table.user[rows], _score(slot.count[new, 1], expected))
        scores.append(best[best > 0])
    return np.concatenate(scores)


def _score(count: NDArray[np.integer], expected: Floats) -> Floats:
    return -np.log(np.maximum(negative_binomial_sf(count, expected, _SIZE), 1e-300))


def _used(
    state: ShardState, row: NDArray[np.int64], category: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Whether the user (by row of the state) was ever seen in the category."""
    table = state.categories
    place = binary.rows_of(table.keys, category)
    width = max(table.keys.size, 1)
    stored = (table.user * np.int64(width) + table.key).astype(np.uint64)
    wanted = (row * np.int64(width) + np.maximum(place, 0)).astype(np.uint64)
    return (place >= 0) & (binary.rows_of(stored, wanted) >= 0)


def _candidate(
    counts: WindowCounts,
    user: int,
    kind: Kind,
    evidence: Evidence,
    *,
    facts: dict[str, float],
    rising: tuple[Share, ...] = (),
) -> Candidate:
    return Candidate(
        level=Level.USER,
        subject=_subject(counts, user),
        head=Head.SURGE if kind is Kind.SURGE else Head.INTEREST,
        kind=kind,
        window=counts.window,
        change_window=counts.window,
        bucket=0,
        p_value=1.0 if evidence.p_value is None else evidence.p_value,
        evidence=(evidence,),
        rising=rising,
        facts=facts,
    )


def _subject(counts: WindowCounts, user: int) -> str:
    return f"u-{int(counts.users[user]):016x}"
