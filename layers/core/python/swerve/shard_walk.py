"""One shard of a back-test: all that is done user by user, so that shards can be walked apart.

As in the close of a stack, one pass counts and sums, and a second scores, once the shop's sums of
a window are known. What is written is the same for any number of shards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.candidate import Head, Level
from swerve.domain.counts import count_window, split_windows
from swerve.domain.detector import Detector
from swerve.domain.profile import ShardState
from swerve.domain.pseudonym import subject_of
from swerve.domain.selection import Selection, select
from swerve.domain.totals import Cohort, totals_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.calibration import Calibration, Histograms, Recalibration
    from swerve.domain.candidate import Candidate
    from swerve.domain.counts import WindowCounts
    from swerve.domain.event import Events
    from swerve.domain.network import Network
    from swerve.domain.population import Context
    from swerve.domain.selection import Decision, SelectionRules
    from swerve.domain.totals import Totals
    from swerve.domain.window import WindowSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """What every shard of a back-test must know.

    Attributes
    ----------
    windows : range
        First day of every window, empty ones included.
    warmup_weeks : int
        Of the shop, a partial first week included.
    names : mapping of int to str
        Pseudonym to what is written for it; of the others, the subject.
    """

    spec: WindowSpec
    windows: range
    calibration: Calibration
    warmup_weeks: int
    rules: SelectionRules
    names: Mapping[int, str]

    def written(self, subject: str) -> str:
        """What is written for a subject."""
        user = int(subject[2:], 16) if subject.startswith("u-") else -1
        return self.names.get(user, subject)


@dataclass(frozen=True, slots=True)
class Said:
    """What a shard says of one window.

    Attributes
    ----------
    decisions : tuple of Decision
        Of its users, sorted.
    scores : mapping of Head to str
        Lines of `scores.csv`, users ascending.
    users : int
        Users past warm-up.
    """

    decisions: tuple[Decision, ...]
    scores: Mapping[Head, str]
    users: int


class Shard:
    """Walks some users; ask for each window's `totals`, then for each `score` and `said`."""

    def __init__(self, network: Network | None) -> None:
        self._network = network

    def begin(self, events: Events, plan: Plan) -> None:
        """Take all events of the shard's users."""
        self._plan = plan
        self._windows = split_windows(events, plan.spec, plan.windows)
        self._detector = Detector(plan.spec, plan.calibration, self._network, plan.warmup_weeks)
        self._cohort = Cohort.empty(plan.spec.days)
        self._counted: deque[WindowCounts] = deque()
        self._state, self._selection = ShardState.empty(plan.spec), Selection()
        self._shown: dict[int, str] = {}

    def totals(self) -> Totals:
        """Count and sum the next window; rare items too, as they may be frequent elsewhere."""
        window, inside = next(self._windows)
        counts = count_window(inside, self._plan.spec, window)
        self._counted.append(counts)
        totals, self._cohort = totals_of(counts, self._cohort, item_users=1)
        return totals

    def score(self, context: Context) -> Histograms:
        """Score all users in the next window that was counted."""
        self._context = context
        self._state, self._scores = self._detector.score(
            self._state, self._counted.popleft(), context
        )
        return self._scores.histograms

    def said(self, recalibration: Recalibration) -> Said:
        """Who alarms in the window just scored, and every p-value."""
        window, rules = self._context.window, self._plan.rules
        found = self._candidates(recalibration)
        # Without folding or a false discovery rate, users are selected one by one.
        self._selection, decisions = select(self._selection, window, found, rules)
        rows = np.flatnonzero(self._scores.ready)
        return Said(decisions, self._lines(recalibration, rows), rows.size)

    def _candidates(self, recalibration: Recalibration) -> list[Candidate]:
        """Explain who alarms and may be told; how alerts end is not asked here."""
        found: list[Candidate] = []
        for head in Head:
            free = replace(self._scores, ready=self._scores.ready & ~self._cooling(head))
            limits = {head: self._plan.rules.p_thresholds[head]}
            found += self._detector.candidates(
                self._state, free, self._context, recalibration, limits
            )
        return found

    def _cooling(self, head: Head) -> NDArray[np.bool_]:
        cooling = np.zeros(self._scores.users.size, np.bool_)
        subjects = self._selection.cooling(Level.USER, head, self._scores.window, self._plan.rules)
        users = np.array([int(subject[2:], 16) for subject in subjects], np.uint64)
        cooling[np.searchsorted(self._scores.users, users)] = True
        return cooling

    def _lines(self, recalibration: Recalibration, rows: NDArray[np.intp]) -> dict[Head, str]:
        scores, label = self._scores, self._plan.spec.label(self._scores.window)
        for user in scores.users[rows].tolist():
            if user not in self._shown:
                self._shown[user] = self._plan.written(subject_of(user))
        shown = [self._shown[user] for user in scores.users[rows].tolist()]
        lines = {}
        for head in Head:
            p = recalibration.apply(head, scores.bucket[head][rows], scores.p[head][rows])
            middle = f",{label},{head.value},"
            lines[head] = "".join(
                [f"{name}{middle}{v:.6g}\n" for name, v in zip(shown, p.tolist(), strict=True)]
            )
        return lines
