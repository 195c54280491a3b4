"""Which candidates become alerts: threshold or FDR, cool-down, end of an alert.

Pure and deterministic: the same candidates in any order give the same bytes. What is remembered
between windows is a `Selection`, stored as `selection/window=W.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from swerve.domain.candidate import Head, Kind, Level, subject_kind
from swerve.domain.detectors import GROUP
from swerve.domain.folding import fold
from swerve.domain.severity import Severity, severity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from swerve.domain.candidate import Candidate

DAYS_PER_WEEK = 7

# An alert ends when the evidence stays weak for this many windows in a row. Weak is a score
# -log10(p) below 0.8 of the score that would have fired (hysteresis, so that it does not flap).
RESOLVE_WINDOWS = 2
RESOLVE_SCORE_RATIO = 0.8


class Action(StrEnum):
    """What was decided of a candidate or a standing alert."""

    SELECTED = "selected"
    FOLDED = "folded"  # told as part of a category alert
    HELD = "held"  # the subject is in its cool-down
    RESOLVED = "resolved"  # an alert of an earlier window has ended


@dataclass(frozen=True, slots=True)
class SelectionRules:
    """What the operator chose.

    Attributes
    ----------
    p_thresholds : mapping
        Head to the p-value below which a candidate alarms; applies to every level.
    fdr_q : float
        Expected share of false alarms among the alarms of a window (Benjamini-Hochberg 1995, per
        level and head). 0: use `p_thresholds`.
    tests : mapping
        With `fdr_q`: subjects tested in this window by (level, head), candidates or not.
    cooldown_weeks : int
        No second alert of a (level, subject, head) for so long.
    fold_users : int
        As many users with the same move become one category alert; 0: never.
    """

    p_thresholds: Mapping[Head, float]
    fdr_q: float = 0.0
    tests: Mapping[tuple[Level, Head], int] | None = None
    cooldown_weeks: int = 8
    fold_users: int = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of the last alert of a (level, subject, head).

    Attributes
    ----------
    window : int
        Window of the alert.
    p_limit : float
        The threshold it passed.
    calm : int
        Windows in a row with weak evidence since.
    open : bool
        Its end is watched for: not resolved yet, and not part of a folded group, whose users are
        not tested together again.
    held : int
        Candidates held back by the cool-down since.
    """

    level: Level
    subject: str
    head: Head
    kind: Kind
    window: int
    p_limit: float
    calm: int = 0
    open: bool = True
    held: int = 0

    @property
    def key(self) -> tuple[Level, str, Head]:
        """What the cool-down is kept for."""
        return self.level, self.subject, self.head


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of one window.

    Attributes
    ----------
    window : int
        Window of the alert that is meant: this one, or an earlier one for RESOLVED.
    candidate : Candidate or None
        None for RESOLVED.
    p_limit : float
        The threshold that the candidate passed.
    into : str
        FOLDED: `<subject>#<kind>` of the category alert; HELD: of the alert that stands;
        RESOLVED: `replaced` where a newer alert took its place, else empty.
    resolved_window : int or None
        RESOLVED: the window that showed the end.
    suppressed : int
        SELECTED: candidates held back since the alert before.
    """

    action: Action
    level: Level
    subject: str
    head: Head
    kind: Kind
    window: int
    candidate: Candidate | None = None
    severity: Severity = Severity.LOW
    p_limit: float = 1.0
    into: str = ""
    resolved_window: int | None = None
    suppressed: int = 0
    suppressed_since: int | None = None

    @property
    def subject_kind(self) -> str:
        """Sort key in the alerts table."""
        return subject_kind(self.subject, self.kind)


@dataclass(frozen=True, slots=True)
class Selection:
    """The memory after one window; `standings` are sorted by (level, subject, head)."""

    window: int | None = None
    standings: tuple[Standing, ...] = ()

    def at(self, window: int) -> Selection:
        """Carry over a window without data: nothing is decided, nothing calms down."""
        return replace(self, window=window)

    def without(self, subjects: Collection[str]) -> Selection:
        """Forget the alerts of some subjects."""
        return replace(
            self, standings=tuple(s for s in self.standings if s.subject not in subjects)
        )

    def cooling(self, level: Level, head: Head, window: int, rules: SelectionRules) -> list[str]:
        """Subjects that may not alarm again in this window, ascending."""
        return [
            s.subject
            for s in self.standings
            if s.level is level and s.head is head and _cooling(s, window, rules)
        ]

    def to_json(self) -> str:
        """Deterministic text."""
        rows = [[getattr(s, field.name) for field in fields(Standing)] for s in self.standings]
        return json.dumps({"window": self.window, "standings": rows}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Selection:
        """Inverse of `to_json`."""
        stored: dict[str, Any] = json.loads(text)
        standings = tuple(
            Standing(Level(level), subject, Head(head), Kind(kind), *rest)
            for level, subject, head, kind, *rest in stored["standings"]
        )
        return cls(stored["window"], standings)


def select(
    previous: Selection,
    window: int,
    candidates: Iterable[Candidate],
    rules: SelectionRules,
) -> tuple[Selection, tuple[Decision, ...]]:
    """Decide about one window.

    Parameters
    ----------
    previous : Selection
        Memory after the window before.
    window : int
        The window decided about, later than `previous.window`.
    candidates : iterable of Candidate
        With final p-values; in any order. To let alerts end by hysteresis, they should reach up
        to p = threshold ** 0.8.
    rules : SelectionRules

    Returns
    -------
    (Selection, tuple of Decision)
        The memory after this window, and the decisions sorted by (level, subject, kind, action).

    Raises
    ------
    ValueError
        If `window` is not after `previous.window`, or FDR is asked for without `tests`.
    """
    if previous.window is not None and window <= previous.window:
        raise ValueError(f"window {window} was selected after window {previous.window}")
    best = _best_per_head(candidates)
    limits = _limits(best.values(), rules)
    standings = {standing.key: standing for standing in previous.standings}
    alarming = [c for c in best.values() if c.p_value <= limits[c.level, c.head]]

    fresh, decisions = _hold_back(alarming, standings, window, rules)
    chosen, folded = fold(fresh, rules.fold_users)
    # A category alert made by folding may itself be in its cool-down.
    told, held_groups = _hold_back(chosen, standings, window, rules)
    decisions += held_groups
    passed: dict[str, float] = {}  # by what the members of a group were folded into
    for candidate, into in folded:
        limit = passed[into] = limits[candidate.level, candidate.head]
        decisions.append(_decision(Action.FOLDED, candidate, limit, into))
        standings[candidate.key] = _standing(candidate, limit, is_open=False)
    for candidate in told:
        is_group = any(found.detector == GROUP for found in candidate.evidence)
        limit = (
            passed[subject_kind(candidate.subject, candidate.kind)]
            if is_group
            else limits[candidate.level, candidate.head]
        )
        decisions += _tell(candidate, limit, standings.get(candidate.key))
        standings[candidate.key] = _standing(candidate, limit, is_open=not is_group)

    kept: list[Standing] = []
    for key in sorted(standings):
        standing = standings[key]
        if standing.open and standing.window < window:
            standing = _calmed(standing, best[key].p_value if key in best else 1.0)
            if not standing.open:
                decisions.append(_resolved(standing, window))
        if standing.open or _cooling(standing, window + 1, rules):
            kept.append(standing)
    decisions.sort(key=lambda d: (d.level, d.subject, d.kind, d.action, d.window))
    return Selection(window, tuple(kept)), tuple(decisions)


def benjamini_hochberg(p_values: Iterable[float], tests: int, q: float) -> float:
    """Return the largest p-value that may alarm at false discovery rate `q`; 0 where none may.

    Benjamini and Hochberg (1995): the largest p_(k) <= k q / tests.

    Examples
    --------
    >>> benjamini_hochberg([0.001, 0.04, 0.012], tests=10, q=0.1)
    0.012
    """
    limit = 0.0
    for rank, p_value in enumerate(sorted(p_values), start=1):
        if p_value <= rank * q / tests:
            limit = p_value
    return limit


def _best_per_head(candidates: Iterable[Candidate]) -> dict[tuple[Level, str, Head], Candidate]:
    ranked = sorted(candidates, key=lambda c: (*c.key, c.p_value, c.kind))
    return {key: next(group) for key, group in groupby(ranked, key=lambda c: c.key)}


def _limits(
    candidates: Iterable[Candidate], rules: SelectionRules
) -> dict[tuple[Level, Head], float]:
    if not rules.fdr_q:
        return {(level, head): rules.p_thresholds[head] for level in Level for head in Head}
    p_values: dict[tuple[Level, Head], list[float]] = {}
    for candidate in candidates:
        p_values.setdefault((candidate.level, candidate.head), []).append(candidate.p_value)
    limits = {}
    for (level, head), values in p_values.items():
        tests = (rules.tests or {}).get((level, head), 0)
        if tests < len(values):
            raise ValueError(
                f"FDR over {level.value} {head.value}: {len(values)} candidates but tests={tests}; "
                "give SelectionRules.tests the number of subjects tested"
            )
        limits[level, head] = benjamini_hochberg(values, tests, rules.fdr_q)
    return limits


def _cooling(standing: Standing, window: int, rules: SelectionRules) -> bool:
    return window - standing.window < rules.cooldown_weeks * DAYS_PER_WEEK


def _calmed(standing: Standing, p_value: float) -> Standing:
    if p_value <= standing.p_limit**RESOLVE_SCORE_RATIO:
        return replace(standing, calm=0)
    calm = standing.calm + 1
    return replace(standing, calm=calm, open=calm < RESOLVE_WINDOWS)


def _decision(action: Action, candidate: Candidate, p_limit: float, into: str = "") -> Decision:
    return Decision(
        action,
        candidate.level,
        candidate.subject,
        candidate.head,
        candidate.kind,
        candidate.window,
        candidate,
        severity_of(candidate),
        p_limit,
        into,
    )


def _hold_back(
    candidates: list[Candidate],
    standings: dict[tuple[Level, str, Head], Standing],
    window: int,
    rules: SelectionRules,
) -> tuple[list[Candidate], list[Decision]]:
    """Split off what is in its cool-down, and count it in `standings`."""
    free: list[Candidate] = []
    held: list[Decision] = []
    for candidate in candidates:
        standing = standings.get(candidate.key)
        if standing is None or not _cooling(standing, window, rules):
            free.append(candidate)
            continue
        into = subject_kind(standing.subject, standing.kind)
        held.append(_decision(Action.HELD, candidate, standing.p_limit, into))
        standings[standing.key] = replace(standing, held=standing.held + 1)
    return free, held


def _tell(candidate: Candidate, limit: float, standing: Standing | None) -> list[Decision]:
    selected = _decision(Action.SELECTED, candidate, limit)
    if standing is None:
        return [selected]
    selected = replace(selected, suppressed=standing.held, suppressed_since=standing.window)
    if standing.open:
        return [_resolved(standing, candidate.window, "replaced"), selected]
    return [selected]


def _resolved(standing: Standing, window: int, into: str = "") -> Decision:
    return Decision(
        Action.RESOLVED,
        standing.level,
        standing.subject,
        standing.head,
        standing.kind,
        standing.window,
        into=into,
        resolved_window=window,
    )


def _standing(candidate: Candidate, p_limit: float, *, is_open: bool) -> Standing:
    return Standing(
        candidate.level,
        candidate.subject,
        candidate.head,
        candidate.kind,
        candidate.window,
        p_limit,
        open=is_open,
    )
