"""The close of a stack, in process: a user's own history, window by window, strictly online.

What is said of a window never depends on rows after it, so a file cut at any week gives the same
alerts up to that week.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.calibration import Calibration, RunningCalibration
from swerve.domain.candidate import Head
from swerve.domain.counts import count_window
from swerve.domain.detector import Detector
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.selection import Action, Selection, SelectionRules, select
from swerve.domain.totals import totals_of
from swerve.domain.window import WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.calibration import Recalibration
    from swerve.domain.candidate import Candidate, Share
    from swerve.domain.detector import ShardScores
    from swerve.domain.event import Events
    from swerve.domain.network import Network
    from swerve.domain.population import Context
    from swerve.domain.selection import Decision

_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Walked:
    """One window, done.

    Attributes
    ----------
    state : ShardState
        After the window; consumed by the next step.
    recalibration : Recalibration
        From the windows before.
    aggregates : tuple of Candidate
        Categories, products, campaigns, the platform.
    """

    window: int
    context: Context
    state: ShardState
    scores: ShardScores
    recalibration: Recalibration
    aggregates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """Counts of a back-test."""

    events: int
    windows: int
    user_windows: int
    alerts: int


def split_windows(events: Events, spec: WindowSpec) -> Iterator[tuple[int, Events]]:
    """Cut events into windows, from the first that holds data to the last, empty ones included."""
    if not len(events):
        return
    window = spec.window_of(events.time_ms)
    order = np.argsort(window, kind="stable")
    ordered = window[order]
    for start in range(int(ordered[0]), int(ordered[-1]) + spec.days, spec.days):
        low, high = np.searchsorted(ordered, [start, start + spec.days])
        yield start, events.take(order[low:high])


def walk(
    events: Events, detector: Detector, bulk: NDArray[np.float64] | None = None
) -> Iterator[Walked]:
    """Score every window in order, as the close of a stack with one shard would.

    `bulk` is that of the detector's tables, unless it is just being measured.
    """
    spec = detector.spec
    bulk = detector.calibration.bulk(spec) if bulk is None else bulk
    population, state = Population.empty(spec), ShardState.empty(spec)
    running = RunningCalibration.empty()
    for window, inside in split_windows(events, spec):
        counts = count_window(inside, spec, window)
        totals, _ = totals_of(counts, state.cohort)
        population, context, aggregates = population.advance(window, totals)
        state, scores = detector.score(state, counts, context)
        recalibration = running.recalibration(bulk)
        running = running.advance(window, scores.histograms)
        yield Walked(window, context, state, scores, recalibration, aggregates)


def first_partial(events: Events, spec: WindowSpec) -> bool:
    """Whether the data starts in the middle of a window of seven days."""
    if spec.days == 1 or not len(events):
        return False
    first_ms = events.time_ms.min(keepdims=True)
    day = WindowSpec(1, spec.zone).window_of(first_ms)
    return bool(day[0] > spec.window_of(first_ms)[0])


def backtest(
    events: Events,
    spec: WindowSpec,
    out: Path,
    name_of: Callable[[str], str],
    names: Mapping[int, str],
    *,
    warmup_weeks: int = 12,
    budget_per_1000: float = 1.0,
    cooldown_weeks: int = 8,
    network: Network | None = None,
    calibration: Calibration | None = None,
) -> Told:
    """Write `alerts.jsonl` and `scores.csv.gz` of a whole history.

    Parameters
    ----------
    events : Events
        Deduplicated.
    out : Path
        Folder, made if missing.
    name_of : callable
        Subject of ours to what is written (the raw id with `--reveal`).
    names : mapping of int to str
        Key of a category, item or campaign to its name.
    budget_per_1000 : float
        False alarms per 1,000 user-weeks, both heads together.
    """
    tables = calibration or Calibration.shipped()
    partial = first_partial(events, spec)
    detector = Detector(spec, tables, network, warmup_weeks + partial)
    thresholds = tables.p_threshold(budget_per_1000, spec)
    rules = SelectionRules(thresholds, cooldown_weeks=cooldown_weeks, fold_users=0)
    selection = Selection()
    out.mkdir(parents=True, exist_ok=True)
    windows = scored = alerts = 0
    with (
        (out / "alerts.jsonl").open("w", encoding="utf-8") as told,
        gzip.GzipFile(out / "scores.csv.gz", "wb", _GZIP_LEVEL, mtime=0) as scores,
    ):
        scores.write(b"subject,window_start,head,p_value\n")
        shown: dict[int, str] = {}
        for step in walk(events, detector):
            windows += 1
            # Only who alarms is explained: how alerts end is not told here.
            found = detector.candidates(
                step.state, step.scores, step.context, step.recalibration, thresholds
            )
            if step.context.age >= detector.warmup_weeks * 7 // spec.days:
                found += step.aggregates
            selection, decisions = select(selection, step.window, found, rules)
            for decision in decisions:
                if decision.action is Action.SELECTED:
                    alerts += 1
                    told.write(json.dumps(_line(decision, spec, name_of, names)) + "\n")
            scored += _write_scores(scores, step, spec.label(step.window), shown, name_of)
    return Told(len(events), windows, scored, alerts)


def _line(
    decision: Decision, spec: WindowSpec, name_of: Callable[[str], str], names: Mapping[int, str]
) -> dict[str, Any]:
    candidate = decision.candidate
    assert candidate is not None  # noqa: S101 - a selected decision carries its candidate
    return {
        "subject": name_of(candidate.subject),
        "level": candidate.level.value,
        "head": candidate.head.value,
        "kind": candidate.kind.value,
        "window_start": spec.label(candidate.window),
        "window_end": spec.label(candidate.window + spec.days),
        "change_start": spec.label(candidate.change_window),
        "p_value": candidate.p_value,
        "severity": decision.severity.value,
        "falling": [_named(share, names) for share in candidate.falling],
        "rising": [_named(share, names) for share in candidate.rising],
        "facts": candidate.facts,
        "evidence": [asdict(found) for found in candidate.evidence],
    }


def _named(share: Share, names: Mapping[int, str]) -> dict[str, Any]:
    name = names.get(share.category, f"#{share.category:016x}")
    return {"category": name, "before": share.before, "now": share.now}


def _write_scores(
    scores: gzip.GzipFile,
    step: Walked,
    label: str,
    shown: dict[int, str],
    name_of: Callable[[str], str],
) -> int:
    """Both heads of every user past warm-up; the number of user-windows."""
    rows = np.flatnonzero(step.scores.ready)
    users = step.scores.users[rows].tolist()
    for user in users:
        if user not in shown:
            shown[user] = name_of(f"u-{user:016x}")
    for head in Head:
        bucket = step.scores.bucket[head][rows]
        p = step.recalibration.apply(head, bucket, step.scores.p[head][rows]).tolist()
        middle = f",{label},{head.value},"
        lines = [f"{shown[u]}{middle}{v:.6g}\n" for u, v in zip(users, p, strict=True)]
        scores.write("".join(lines).encode())
    return len(users)
