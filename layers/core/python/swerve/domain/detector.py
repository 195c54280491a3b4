"""Score one shard's window: evidence of every user, silent ones too, and a p-value of each head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.calibration import Histograms
from swerve.domain.candidate import Head
from swerve.domain.evidence_engagement import engagement_evidence
from swerve.domain.evidence_interest import interest_evidence
from swerve.domain.explain import Subjects, explain
from swerve.domain.forecast import watched
from swerve.domain.matching import SUSPECT_P
from swerve.domain.population import RING_WEEKS
from swerve.domain.replay import replayed
from swerve.domain.running import ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swerve.domain.calibration import Calibration, Recalibration
    from swerve.domain.candidate import Candidate
    from swerve.domain.counts import WindowCounts
    from swerve.domain.network import Network
    from swerve.domain.population import Context
    from swerve.domain.profile import ShardState
    from swerve.domain.running import Ended
    from swerve.domain.window import WindowSpec

    Floats = NDArray[np.float64]

COLD_START_WEEKS = 6
_LEARN_WEEKS = 9
ACTIVITY = {Head.INTEREST: "activity", Head.ENGAGEMENT: "level", Head.SURGE: "level"}
_HABIT_DAYS = 6.0  # remembered days of activity
_NONE = (np.empty(0), np.empty(0, np.uint8))
NOBODY: Mapping[Head, Ended] = dict.fromkeys(ENDING, _NONE)  # of whom anything ended


@dataclass(frozen=True, slots=True)
class ShardScores:
    """What one window says of every user of a shard.

    Attributes
    ----------
    users : uint64[U]
    p : mapping of Head to float64[U]
        By the shipped tables; 1 where not `ready`.
    bucket : mapping of Head to uint8[U]
    ready : bool[U]
        Past warm-up: this user-week counts.
    evidence : mapping of str to float64[U]
        Every statistic.
    single : mapping of Head to float64[U, K]
        Log p of the head's statistics.
    """

    window: int
    users: NDArray[np.uint64]
    p: Mapping[Head, Floats]
    bucket: Mapping[Head, NDArray[np.uint8]]
    ready: NDArray[np.bool_]
    histograms: Histograms
    evidence: Mapping[str, Floats]
    single: Mapping[Head, Floats]


@dataclass(frozen=True, slots=True)
class Detector:
    """The detectors with their tables; `network` may be missing.

    Attributes
    ----------
    warmup_weeks : int
        Of the shop; a user who came later alerts from `COLD_START_WEEKS` of own history.
    generation : str
        Name of the network; empty without one.
    """

    spec: WindowSpec
    calibration: Calibration
    network: Network | None = None
    warmup_weeks: int = 12
    generation: str = ""

    def takes_over(self, state: ShardState, context: Context) -> ShardState:
        """Give the network the memory that it would have, had it scored before.

        Parameters
        ----------
        state : ShardState
            After the window before, scored by another generation.
        context : Context
            Of the first window of this one.
        """
        return state if self.network is None else replayed(self.network, state, context)

    def score(
        self, state: ShardState, counts: WindowCounts, context: Context
    ) -> tuple[ShardState, ShardScores]:
        """Take in one window and score every user.

        Parameters
        ----------
        state : ShardState
            After the window before; do not use it again.
        counts, context
            Of this window; counts of this shard, context of the whole shop.
        """
        per_week = 7 // self.spec.days
        state = state.advance(counts, context)
        if self.network is not None:
            state = watched(self.network, state, counts, context)
        settled = settled_in(state, context)
        ready = settled & (context.age >= self.warmup_weeks * per_week)
        judged = settled & (not context.gap)
        # Whoever came a few times has no habit to break: a long silence of theirs says nothing.
        visits = state.old[:, 2] + state.active.sum(axis=1)
        # A silence that was no alarm in its first weeks is no news later.
        lately = state.cohort.idle <= RING_WEEKS * per_week
        used = judged & (visits >= _HABIT_DAYS) & lately
        judged_by = {Head.INTEREST: judged, Head.ENGAGEMENT: used, Head.SURGE: used}
        evidence = evidence_of(state, context, judged_by)
        log_p, bucket, single = {}, {}, {}
        for head, tables in self.calibration.heads.items():
            bucket[head] = tables.bucket(evidence[ACTIVITY[head]])
            single[head], log_p[head] = tables.log_p(evidence, bucket[head])
            # A window without a statistic (nothing done, for interest) is no evidence: p = 1.
            log_p[head] = np.where(judged_by[head] & np.isfinite(log_p[head]), log_p[head], 0.0)
        # The shop's own calibration starts to learn before the first alarm may sound.
        old_enough = context.age >= _LEARN_WEEKS * per_week
        learnt = {h: judged_by[h] & calm & old_enough for h, calm in _calm(state).items()}
        above = used & (evidence["events_high"] > 0)
        surged, calmed = _surged(state, log_p[Head.SURGE], bucket[Head.SURGE], used, above)
        over = {Head.ENGAGEMENT: _silences(state), Head.SURGE: calmed}
        ended = {
            head: over[head]
            if context.age >= from_week * per_week and not context.gap
            else NOBODY[head]
            for head, from_week in ENDING.items()
        }
        peaks = state.peaks.advance(
            context.window,
            state.days,
            log_p[Head.INTEREST],
            bucket[Head.INTEREST],
            judged_by[Head.INTEREST],
        )
        passed = peaks.passed(context.window, state.days)
        histograms = Histograms.of(log_p, learnt, passed, ended)
        scores = ShardScores(
            window=context.window,
            users=state.users,
            p={head: np.where(ready, np.exp(values), 1.0) for head, values in log_p.items()},
            bucket=bucket,
            ready=ready,
            histograms=histograms,
            evidence=evidence,
            single=single,
        )
        if not context.gap:  # what goes on while the shop is closed goes on
            state = replace(state, engaged=_engaged(log_p, bucket, used), surged=surged)
        return replace(state, peaks=peaks), scores

    def candidates(
        self,
        state: ShardState,
        scores: ShardScores,
        context: Context,
        recalibration: Recalibration,
        p_max: Mapping[Head, float],
    ) -> list[Candidate]:
        """Explain every user whose recalibrated p-value is at most that of a head in `p_max`.

        Parameters
        ----------
        state : ShardState
            As `score` returned it.
        """
        final = {h: recalibration.apply(h, scores.bucket[h], scores.p[h]) for h in p_max}
        passed = {h: np.flatnonzero(scores.ready & (p <= p_max[h])) for h, p in final.items()}
        rows = np.unique(np.concatenate([*passed.values(), np.empty(0, np.intp)]))
        if not rows.size:
            return []
        subjects = Subjects.of(state, context, rows)
        found: list[Candidate] = []
        for head, some in passed.items():
            tables = self.calibration.heads[head]
            found += explain(head, tables, subjects, scores, some, final[head][some])
        return found


def settled_in(state: ShardState, context: Context) -> NDArray[np.bool_]:
    """Who has been known long enough to be judged, bool[U]."""
    return context.window - state.first >= COLD_START_WEEKS * 7


def evidence_of(
    state: ShardState, context: Context, judged: Mapping[Head, NDArray[np.bool_]]
) -> dict[str, Floats]:
    """Every statistic after a window, float64[U] each, NaN where not `judged` by its head."""
    interest = interest_evidence(state, context, judged[Head.INTEREST])
    return interest | engagement_evidence(state, context, judged[Head.ENGAGEMENT])


def _calm(state: ShardState) -> dict[Head, NDArray[np.bool_]]:
    """Who was not suspect before: what lasts says nothing of how everybody is in a window."""
    suspect = np.log(SUSPECT_P)
    return {
        Head.INTEREST: state.peaks.calm,
        Head.ENGAGEMENT: ~(state.engaged[:, 0] < suspect),
        Head.SURGE: ~(state.surged[:, 0] < suspect),
    }


def _engaged(
    log_p: Mapping[Head, Floats], bucket: Mapping[Head, NDArray[np.uint8]], used: NDArray[np.bool_]
) -> NDArray[np.float16]:
    both = np.stack([log_p[Head.ENGAGEMENT], bucket[Head.ENGAGEMENT]], axis=1)
    return np.where(used[:, None], both, np.nan).astype(np.float16)


def _silences(state: ShardState) -> Ended:
    """Log p and bucket in the window before, of users judged then; 0 of who is silent now."""
    judged = ~np.isnan(state.engaged[:, 0])
    acts = state.events[judged, 0] > 0
    log_p, bucket = state.engaged[judged].T
    return np.where(acts, log_p, 0.0).astype(np.float64), bucket.astype(np.uint8)


def _surged(
    state: ShardState,
    log_p: Floats,
    bucket: NDArray[np.uint8],
    used: NDArray[np.bool_],
    above: NDArray[np.bool_],
) -> tuple[NDArray[np.float16], Ended]:
    """Surges that go on, of who is `above` usual; log p and bucket of those that ended, or 0."""
    before = np.nan_to_num(state.surged.astype(np.float64))
    going = np.stack([np.minimum(before[:, 0], log_p), bucket], axis=1)
    going[~above] = np.nan
    ended = np.where(above, 0.0, before[:, 0])[used]
    where = np.where(ended < 0, before[used, 1], bucket[used]).astype(np.uint8)
    return going.astype(np.float16), (ended, where)
