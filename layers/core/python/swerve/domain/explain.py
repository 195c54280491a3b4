"""Why a user alarms: the kind of change, since when, from what to what, and who voted for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.candidate import Candidate, Evidence, Head, HistoryPoint, Kind, Level
from swerve.domain.circumstances import absence, fading
from swerve.domain.evidence_engagement import weekly
from swerve.domain.forecast import box
from swerve.domain.kinds import Mix
from swerve.domain.moves import UNKNOWN_SHARE, Moves
from swerve.domain.trend import mann_kendall, sen_slope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.calibration import HeadTables
    from swerve.domain.detector import ShardScores
    from swerve.domain.evidence_engagement import Trailing
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState

    Floats = NDArray[np.float64]

VOTE_P = 0.01
_LOSSES = frozenset({Kind.DROP, Kind.CHURN_RISK})
_DRIFT_P = 0.1
_DRIFT_WEEKS = 5
_SILENT_WEEKS = 2.0
_HISTORY_CATEGORIES = 6
_HISTORY_WINDOWS = 26
# The change began where so much of the evidence has come in since: what came before adds noise.
_MOST = 0.9


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is told of users whatever head alarms; n of them.

    Attributes
    ----------
    rows : intp[n]
        Rows of the users in the shard, ascending.
    state : ShardState
        Theirs.
    others : list of tuple of Evidence
        That no head is made of.
    age, drift : intp[n]
        Weeks in which most of the evidence for the new mix came in; and all of it, 0 where it did
        not come in slowly.
    """

    rows: NDArray[np.intp]
    state: ShardState
    moved: Moves
    trailing: Mapping[str, Trailing]
    others: list[tuple[Evidence, ...]]
    age: NDArray[np.intp]
    drift: NDArray[np.intp]

    @classmethod
    def of(cls, state: ShardState, context: Context, rows: NDArray[np.intp]) -> Subjects:
        """Look at some users of a shard."""
        some = state.only(rows)
        others = [
            (*surprise, trend)
            for surprise, trend in zip(_surprises(some), _trends(some), strict=True)
        ]
        trailing, moved = weekly(state, context, rows), Moves.of(some, context)
        drift = _ages(moved.weekly, 1.0)
        drift[~_drifts(moved.weekly, drift)] = 0
        return cls(rows, some, moved, trailing, others, _ages(moved.weekly, _MOST), drift)


def explain(
    head: Head,
    tables: HeadTables,
    subjects: Subjects,
    scores: ShardScores,
    rows: NDArray[np.intp],
    p: Floats,
) -> list[Candidate]:
    """Make a candidate of each user in `rows`, of `subjects` all, with its final p-value `p`.

    Nobody can act on a change of interest of which no category can be named: it is left out.
    """
    some, moved, trailing = subjects.state, subjects.moved, subjects.trailing
    places = np.searchsorted(subjects.rows, rows).tolist()
    buckets = scores.bucket[head][rows].tolist()
    lines = {bucket: _lines(tables, bucket) for bucket in set(buckets)}
    names = tables.statistics
    singles = np.exp(scores.single[head][rows]).tolist()
    values = np.stack([scores.evidence[name][rows] for name in names], axis=1).tolist()
    made = []
    for place, bucket, p_value, *told in zip(
        places, buckets, p.tolist(), singles, values, strict=True
    ):
        single, evidence = (dict(zip(names, each, strict=True)) for each in told)
        if head is Head.INTEREST:
            kind, age, facts = _interest(subjects, place, single)
            since = moved.since(place, age * moved.per_week)
            falling, rising = since.told(moved.lately(place), kind)
            if kind is Kind.NEW_INTEREST and not any(s.before < UNKNOWN_SHARE for s in rising):
                kind = Kind.SWITCH
            if not (falling or rising or kind is Kind.BREADTH_CHANGE):
                continue  # nothing that could be named: more weeks may tell
        else:
            kind, age, facts = _engagement(some, trailing, place, single)
            # A user who does nothing any more has no new mix: the weeks before stand for it.
            falling, rising = moved.since(place, moved.windows).shares()
            facts["now_days"] = float(moved.windows * some.days)
        if kind not in _LOSSES:
            known = (scores.window - int(some.first[place])) // some.days + 1
            facts |= absence(some.events[place], known, trailing["days"], place, moved.per_week)
        change = scores.window - (age - 1) * 7 - (7 - some.days) * (age > 0)
        # What was before is weighed over all that is known of the user.
        facts["baseline_days"] = float(max(change - int(some.first[place]), some.days))
        made.append(
            Candidate(
                level=Level.USER,
                subject=f"u-{int(some.users[place]):016x}",
                head=head,
                kind=kind,
                window=scores.window,
                change_window=change,
                bucket=bucket,
                p_value=p_value,
                evidence=_votes(lines[bucket], evidence, single) + subjects.others[place],
                falling=falling,
                rising=rising,
                facts=facts,
                history=_history(some, moved, place, scores.window),
            )
        )
    return made


def _interest(
    subjects: Subjects, place: int, single: Mapping[str, float]
) -> tuple[Kind, int, dict[str, float]]:
    best = min(single, key=lambda name: single[name])
    moved, trailing = subjects.moved, subjects.trailing["events"]
    age, drift = int(subjects.age[place]), int(subjects.drift[place])
    mine = moved.pairs_of(place)
    total = float(moved.view.total[place])
    mix = Mix(moved.before[mine], moved.now[mine], moved.gain[mine], total)
    kind = mix.kind(best)
    if kind is None and drift:
        kind, age = Kind.DRIFT, drift
    facts = {
        "actions_now": float(trailing.seen[:age, place].sum()) / age,
        "actions_before": float(trailing.level[age - 1, place]),
        "breadth_now": mix.breadth_now,
        "breadth_before": mix.breadth_before,
    }
    return kind or Kind.SWITCH, age, facts


def _ages(by_week: Floats, part: float) -> NDArray[np.intp]:
    """Weeks in which so large a part of the evidence for a new mix came in, newest week first.

    Examples
    --------
    >>> by_week = np.array([[30.0, 40.0, -1.0, 2.0, 1.0]])
    >>> _ages(by_week, 1.0).item(), _ages(by_week, 0.9).item()
    (5, 2)
    """
    told = np.cumsum(by_week, axis=1)
    most = told.max(axis=1, keepdims=True)
    return np.asarray(np.where(most > 0, told >= part * most, True).argmax(axis=1) + 1, np.intp)


def _drifts(by_week: Floats, age: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whose new mix came in slowly: its evidence still grows week by week."""
    drifts = np.zeros(age.size, np.bool_)
    for weeks in range(_DRIFT_WEEKS, by_week.shape[1] + 1):
        rows = np.flatnonzero(age == weeks)
        z, p = mann_kendall(by_week[rows, :weeks][:, ::-1])
        drifts[rows] = (z > 0) & (p < _DRIFT_P)
    return drifts


def _engagement(
    state: ShardState,
    trailing: Mapping[str, Trailing],
    place: int,
    single: Mapping[str, float],
) -> tuple[Kind, int, dict[str, float]]:
    best = min(single, key=lambda name: single[name])
    events = trailing["events"]
    seen, factor, level = events.seen[:, place], events.factor, events.level[:, place]
    expected = level * np.cumsum(factor) / np.arange(1, factor.size + 1)
    mean = np.cumsum(seen) / np.arange(1, seen.size + 1)
    ages = np.arange(1, seen.size + 1)
    log_ratio = np.log((mean + 0.1) / (expected + 0.1))
    # The age at which the difference is largest in terms of its own noise.
    clear = log_ratio * np.sqrt(ages) * (-1.0 if best.endswith("low") else 1.0)
    age = int(np.argmax(clear)) + 1
    idle_weeks, slow = float(state.cohort.idle[place]) * state.days / 7, {}
    if best.endswith("high"):
        kind = Kind.SURGE
    elif idle_weeks >= _SILENT_WEEKS:
        kind, slow = Kind.CHURN_RISK, fading(age, idle_weeks)
        age = int(np.clip(np.floor(idle_weeks), 1, seen.size))
    else:
        kind = Kind.DROP
    facts = {
        "actions_now": float(mean[age - 1]),
        "actions_before": float(level[age - 1]),
        "ratio": float(mean[age - 1] / max(expected[age - 1], 1e-3)),
        "idle_days": idle_weeks * 7,
        "active_days": float(state.active[place].sum()),
        "days_before": float(trailing["days"].level[age - 1, place]),
    }
    return kind, age, facts | slow


def _votes(
    lines: Mapping[str, float], values: Mapping[str, float], single: Mapping[str, float]
) -> tuple[Evidence, ...]:
    found = [
        Evidence(name, values[name], line, single[name] <= VOTE_P, single[name])
        for name, line in lines.items()
    ]
    return tuple(sorted(found, key=lambda e: e.p_value or 0.0))


def _lines(tables: HeadTables, bucket: int) -> dict[str, float]:
    """From which value on each statistic votes."""
    lines = {}
    at = [np.log(VOTE_P) - 1, np.log(0.02)]
    for k, name in enumerate(tables.statistics):
        last, slope = tables.single.quantiles[bucket, k, -1], tables.single.slopes[bucket, k]
        values = [last + slope * (1 + np.log(0.02 / VOTE_P)), last]
        lines[name] = float(np.interp(np.log(VOTE_P), at, values))
    return lines


def _surprises(state: ShardState) -> list[tuple[Evidence, ...]]:
    """The newest residual of the network's forecast against the user's own box plot, if any."""
    low, high = box(state.residuals)
    newest = state.residuals[:, 0].astype(np.float64)
    return [
        (
            Evidence(
                "lstm_residual",
                float(value),
                float(upper if value > 0 else lower),
                bool(value > upper or value < lower),
                note=f"usual between {lower:+.2f} and {upper:+.2f}",
            ),
        )
        if np.isfinite(value) and np.isfinite(lower)
        else ()
        for value, lower, upper in zip(newest, low, high, strict=True)
    ]


def _trends(state: ShardState) -> list[Evidence]:
    """Mann-Kendall and Sen's slope of each user's weekly actions."""
    per_week = 7 // state.days
    rows, windows = state.events.shape
    series = state.events.reshape(rows, windows // per_week, per_week).sum(axis=2)
    series = series[:, ::-1].astype(np.float64)
    z, p = mann_kendall(series)
    return [
        Evidence(
            "mann_kendall",
            float(z[row]),
            float(np.copysign(1.96, z[row])),
            bool(p[row] < 0.05),
            float(p[row]),
            f"Sen slope {slope:+.2f} actions a week, every week",
        )
        for row, slope in enumerate(sen_slope(series))
    ]


def _history(state: ShardState, moved: Moves, place: int, window: int) -> tuple[HistoryPoint, ...]:
    mine = moved.pairs_of(place)
    order = np.argsort(-np.abs(moved.gain[mine]), kind="stable")[:_HISTORY_CATEGORIES]
    keys = moved.key[mine][order].tolist()
    actions = state.events[place, :_HISTORY_WINDOWS]
    items = moved.counts[: actions.size, mine, 1][:, order]
    shares = np.minimum(1.0, items / np.maximum(actions, 1)[:, None])
    points = [
        HistoryPoint(window - age * state.days, now, tuple(zip(keys, told, strict=True)))
        for age, (now, told) in enumerate(
            zip(actions.astype(np.float64).tolist(), shares.tolist(), strict=True)
        )
    ]
    return tuple(reversed(points))
