"""Measure the shipped calibration tables on unchanged households, none of the test split.

`python -m training.calibrate` rebuilds `swerve/calibration.json`. No label is used: the tables say
how often unchanged users reach a statistic, per bucket of activity, and how often they would alarm.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from swerve.adapters.local_events import read_canonical
from swerve.domain import matching
from swerve.domain.calibration import Calibration, HeadTables, soft_maximum
from swerve.domain.candidate import Head
from swerve.domain.detector import ACTIVITY, Detector, evidence_of, settled_in
from swerve.domain.peaks import calmest
from swerve.domain.profile import ShardState
from swerve.domain.running import COMPARED, ENDING, Histograms
from swerve.domain.tables import TailTable
from swerve.domain.window import WindowSpec

from training import panels
from training.evaluate import in_weeks
from training.walk import in_context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TABLES = Path(__file__).resolve().parents[1] / "layers/core/python/swerve/calibration.json"
WARMUP_WEEKS = 12
COOLDOWN_WEEKS = 8
ZONE = "America/New_York"
SPLITS = ("train", "validation")  # the test split stays locked
LEAST_SLOPE = 0.8
# Panels by recipe, seed and least active weeks: unchanged households, all of which tables are
# measured, and steady ones.
ALL = (("unchanged", 0, 8),)
STEADY = (("unchanged", 0, panels.DENSE_WEEKS),)
# Those whose unchanged user-weeks say how often alarms fall. Half of the users of a canonical one
# change, and those before their change are seen early in the year only, when fewer truly change.
CONTROLS = (*(("canonical", seed, panels.DENSE_WEEKS) for seed in (0, 1)), *STEADY)
_DAYS = (2.5, 4, 5.5, 7, 9, 12, 18)  # bounds of buckets of active days in eight weeks


@dataclass(frozen=True, slots=True)
class HeadDesign:
    """What a head combines; chosen on the training and validation splits.

    Attributes
    ----------
    weights : mapping
        Statistic to its weight in the soft maximum.
    edges : tuple of float
        Bounds of the activity buckets.
    power, share : float
        See `HeadTables`.
    steady_from : float
        Activity from which only steady households (dense, see `panels`) are measured: among those
        who came as often and then no more, many truly left.
    long_tailed : tuple of str
        Log likelihood ratios, whose tail is at least `LEAST_SLOPE` long in any shop, even where
        the households of a bucket could hardly reach them.
    as_ratios : bool
        All are log likelihood ratios of a model that holds in many shops (`TailTable.fitted`).
    controls : tuple
        As `CONTROLS`.
    """

    weights: Mapping[str, float]
    edges: tuple[float, ...]
    power: float
    share: float
    steady_from: float = np.inf
    long_tailed: tuple[str, ...] = ()
    as_ratios: bool = False
    controls: tuple[tuple[str, int, int], ...] = CONTROLS


DESIGN: Mapping[Head, HeadDesign] = {
    Head.INTEREST: HeadDesign(
        weights={
            "person3": 2,
            "person6": 1,
            "switch3": 0.6,
            "switch6": 0.3,
            "own3down_3": 1,
            "own3down_6": 2,
            "own8down_6": 2,
            "fresh_6": 2,
            "narrow_3": 1,
            "narrow_6": 0.5,
            "up3_6": 0.3,
        },
        edges=(10, 25, 45, 75, 110, 160),
        power=0.4,
        share=0.48,
        # All but the z-scores of breadth.
        long_tailed=(
            "person3",
            "person6",
            "switch3",
            "switch6",
            "own3down_3",
            "own3down_6",
            "own8down_6",
            "fresh_6",
            "up3_6",
        ),
    ),
    Head.ENGAGEMENT: HeadDesign(
        weights={"events_low": 2, "days_low": 1},
        edges=_DAYS,
        power=0.7,
        share=0.45,
        steady_from=5.5,
        as_ratios=True,
    ),
    Head.SURGE: HeadDesign(
        weights={"events_high": 1},
        edges=_DAYS,
        power=0.7,
        share=0.07,
        as_ratios=True,
        # Surges are rarer the more steadily people shop, and other shops' users are less steady.
        controls=ALL,
    ),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """Evidence of a whole panel: float32[T, U] each, NaN where not ready or already changed."""

    days: int
    evidence: Mapping[str, NDArray[np.float32]]


def walk(folder: Path, zone: str, days: int) -> Walk:
    """Walk a panel and keep every statistic of every ready user-window before a change."""
    spec = WindowSpec(7 if days == 7 else 1, zone)
    log = read_canonical([folder / "EVENTS.csv.gz"], zone)
    changes = _changes(folder)
    state = ShardState.empty(spec)
    steps: list[tuple[NDArray[np.uint64], dict[str, NDArray[np.float64]], NDArray[np.bool_]]] = []
    for counts, context in in_context(log.events, spec):
        state = state.advance(counts, context)
        if context.age < WARMUP_WEEKS * 7 // days or context.gap:
            continue
        ready = settled_in(state, context)
        end = (counts.window + days) / 7
        change = np.array([changes[log.users[user]] for user in state.users.tolist()])
        steps.append(
            (
                state.users,
                evidence_of(state, context, dict.fromkeys(Head, ready)),
                ready & (end <= change),
            )
        )
    users = state.users
    kept = {n: np.full((len(steps), users.size), np.nan, np.float32) for n in steps[0][1]}
    for place, (known, evidence, ready) in enumerate(steps):
        at = np.searchsorted(users, known)
        for name, values in evidence.items():
            kept[name][place, at] = np.where(ready, values, np.nan)
    return Walk(days, kept)


def _changes(folder: Path) -> dict[str, float]:
    """Week since 1970 in which each user of a panel changes; never, for most."""
    truth = pd.read_csv(folder / "truth.csv", dtype={"user_id": str})
    weeks = in_weeks(truth["change_at"]).where(truth["kind"] != "none", np.inf)
    return dict(zip(truth["user_id"], weeks.tolist(), strict=True))


def tables_of(
    design: HeadDesign, head: Head, walks: Sequence[Walk], steady: Sequence[Walk]
) -> HeadTables:
    """Fit both layers of tables on weekly walks; alarms are added by `with_alarms`."""
    edges = np.asarray(design.edges, np.float64)
    names = tuple(design.weights)
    weights = np.array(list(design.weights.values()), np.float64)
    weights /= weights.sum()
    columns = (ACTIVITY[head], *names)
    every, dense = _stacked(walks, columns), _stacked(steady, columns)
    told = np.concatenate(
        [every[every[:, 0] < design.steady_from], dense[dense[:, 0] >= design.steady_from]]
    )
    values, bucket = told[:, 1:], np.searchsorted(edges, told[:, 0], side="right")
    buckets, as_ratios = edges.size + 1, design.as_ratios
    least = np.where(np.isin(names, design.long_tailed), LEAST_SLOPE, 0.0)
    single = TailTable.fitted(values, bucket, buckets, least, as_ratios=as_ratios)
    score = soft_maximum(-single.log_p(values, bucket), weights, design.power)[:, None]
    combined = TailTable.fitted(score, bucket, buckets, as_ratios=as_ratios)
    return HeadTables(names, weights, edges, design.power, single, combined, {}, design.share, {})


def log_p_of(tables: HeadTables, head: Head, walked: Walk) -> NDArray[np.float64]:
    """Log p of the head, float64[T, U]; 0 where not ready."""
    shape = walked.evidence[ACTIVITY[head]].shape
    flat = {n: np.nan_to_num(v.reshape(-1).astype(float)) for n, v in walked.evidence.items()}
    judged = np.isfinite(walked.evidence[ACTIVITY[head]]).reshape(-1)
    _, log_p = tables.log_p(flat, tables.bucket(flat[ACTIVITY[head]]))
    return np.where(judged, log_p, 0.0).reshape(shape)


def alarm_rate(
    log_p: NDArray[np.float64], limit: float, days: int, ready: NDArray[np.bool_]
) -> float:
    """Alarms per 1,000 user-weeks below a limit, each user at most once in the cool-down."""
    cooldown = COOLDOWN_WEEKS * 7 // days
    free_from = np.zeros(log_p.shape[1], np.int64)
    alarms = 0
    for t in range(log_p.shape[0]):
        fired = (log_p[t] <= limit) & (free_from <= t)
        alarms += int(fired.sum())
        free_from[fired] = t + cooldown
    return 1000.0 * alarms / (ready.sum() * days / 7)


def with_alarms(tables: HeadTables, head: Head, walks: Sequence[Walk]) -> HeadTables:
    """Measure how often unchanged users alarm at each p, on the controls of panels.

    Rates are read where there are at least 8 alarms; below, alarms fall in proportion to p.
    """
    limits = np.log(np.geomspace(1e-5, 0.2, 45))
    curves = dict(tables.alarms)
    for days in {w.days for w in walks}:
        some = [w for w in walks if w.days == days]
        log_p = [log_p_of(tables, head, w) for w in some]
        ready = [np.isfinite(w.evidence["level"]) for w in some]
        weeks = sum(r.sum() for r in ready) * days / 7
        rates = np.array(
            [
                sum(
                    alarm_rate(p, limit, days, r) * r.sum() * days / 7
                    for p, r in zip(log_p, ready, strict=True)
                )
                / weeks
                for limit in limits
            ]
        )
        enough = rates * weeks / 1000 >= 8
        first = int(np.argmax(enough))
        log_rate = np.log(np.maximum(rates, 1e-12))
        log_rate[:first] = log_rate[first] + limits[:first] - limits[first]
        curves[days] = (np.round(limits, 5), np.round(np.maximum.accumulate(log_rate), 5))
    return replace(tables, alarms=curves)


@dataclass(frozen=True, slots=True)
class Seen:
    """Histograms of unchanged users of one panel or more, float64 by bucket and BINS.

    Attributes
    ----------
    peaks : float64[BUCKETS, BINS]
        Of interest, that passed.
    ended : float64[2, BUCKETS, BINS]
    """

    peaks: NDArray[np.float64]
    ended: NDArray[np.float64]

    def of(self, head: Head) -> NDArray[np.float64]:
        """What a head is compared by, float64[BINS]."""
        counts = self.ended[list(ENDING).index(head)] if head in ENDING else self.peaks
        return np.asarray(counts.sum(axis=0))


def seen_in(calibration: Calibration, folders: Sequence[Path], zone: str, days: int) -> Seen:
    """Walk panels with tables and count p-values as a running shop would."""
    spec = WindowSpec(7 if days == 7 else 1, zone)
    told = []
    detector = Detector(spec, calibration)
    for folder in folders:
        state = ShardState.empty(spec)
        events = read_canonical([folder / "EVENTS.csv.gz"], zone).events
        for counts, context in in_context(events, spec):
            state, scores = detector.score(state, counts, context)
            told.append(scores.histograms)
    every = Histograms.sum(told)
    return Seen(calmest(every.passed.astype(np.float64)), every.ended.astype(np.float64))


def with_reference(
    heads: Mapping[Head, HeadTables], days: int, steady: Seen, every: Seen
) -> dict[Head, HeadTables]:
    """Add what the running calibration compares a shop with.

    Surges are rare, so they are counted of `every` household; of all, silences are longer.
    """
    made = dict(heads)
    for head, tables in heads.items():
        counts = (every if head is Head.SURGE else steady).of(head)
        per_week = 7 // days if head in ENDING else 1
        said = matching.ended_of(counts, COMPARED[head], per_week)
        made[head] = replace(tables, ended=dict(tables.ended) | {days: said})
    return made


def _stacked(walks: Sequence[Walk], names: tuple[str, ...]) -> NDArray[np.float64]:
    parts = []
    for walked in walks:
        flat = np.stack([walked.evidence[n].reshape(-1) for n in names], axis=1)
        parts.append(flat[np.isfinite(flat[:, 0])])
    return np.concatenate(parts).astype(np.float64)


class _Walked:
    """Panels of both splits, walked when they are first asked for."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._walks: dict[tuple[Path, int], Walk] = {}

    def folders(self, of: Sequence[tuple[str, int, int]]) -> list[Path]:
        """By recipe, seed and least active weeks."""
        return [
            panels.real_panel(split, recipe, seed, self._out, min_active_weeks=weeks)
            for split in SPLITS
            for recipe, seed, weeks in of
        ]

    def __call__(self, of: Sequence[tuple[str, int, int]], days: int) -> list[Walk]:
        """Evidence of panels in windows of `days`."""
        for folder in self.folders(of):
            if (folder, days) not in self._walks:
                self._walks[folder, days] = walk(folder, ZONE, days)
        return [self._walks[folder, days] for folder in self.folders(of)]


def main() -> None:
    """Rebuild the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TABLES)
    parser.add_argument("--panels", type=Path, default=panels.PANELS)
    parser.add_argument("--daily", action="store_true", help="also measure daily windows (slow)")
    options = parser.parse_args()
    days = (7, 1) if options.daily else (7,)
    walked = _Walked(options.panels)
    heads = {}
    for head, design in DESIGN.items():
        tables = tables_of(design, head, walked(ALL, 7), walked(STEADY, 7))
        controls = [one for d in days for one in walked(design.controls, d)]
        heads[head] = with_alarms(tables, head, controls)
    for d in days:
        told = Calibration(heads)
        steady = seen_in(told, walked.folders(STEADY)[:1], ZONE, d)
        heads = with_reference(heads, d, steady, seen_in(told, walked.folders(ALL), ZONE, d))
    options.out.write_text(Calibration(heads).to_json() + "\n")


if __name__ == "__main__":
    main()
