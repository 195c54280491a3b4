"""The close of a stack, in process: a user's own history, window by window, strictly online.

What is said of a window never depends on rows after it, so a file cut at any week gives the same
alerts up to that week.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.calibration import Calibration, Histograms, RunningCalibration
from swerve.domain.candidate import Head
from swerve.domain.counts import windows_of
from swerve.domain.population import Population
from swerve.domain.selection import Action, Selection, SelectionRules, select
from swerve.domain.totals import ITEM_USERS, Totals
from swerve.domain.window import WindowSpec
from swerve.shard_walk import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from swerve.domain.candidate import Candidate, Share
    from swerve.domain.event import Events
    from swerve.domain.population import Context
    from swerve.domain.selection import Decision
    from swerve.ports import Worker
    from swerve.shard_walk import Said

_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Told:
    """Counts of a back-test."""

    events: int
    windows: int
    user_windows: int
    alerts: int


@dataclass(frozen=True, slots=True)
class _Step:
    """What the whole shop says of one window."""

    context: Context
    aggregates: tuple[Candidate, ...]


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
    shards: Sequence[Worker],
    names: Mapping[int, str],
    *,
    users: Mapping[int, str] | None = None,
    warmup_weeks: int = 12,
    budget_per_1000: float = 1.0,
    cooldown_weeks: int = 8,
    calibration: Calibration | None = None,
) -> Told:
    """Write `alerts.jsonl` and `scores.csv.gz` of a whole history.

    Parameters
    ----------
    events : Events
        In canonical order, each once.
    out : Path
        Folder, made if missing.
    shards : sequence of Worker
        Each a `shard_walk.Shard`; what is written is the same for any number of them.
    names : mapping of int to str
        Key of a category, item or campaign to its name.
    users : mapping of int to str, optional
        Pseudonym to what is written instead of it (the raw id with `--reveal`).
    budget_per_1000 : float
        False alarms per 1,000 user-weeks, all heads together.
    """
    tables = calibration or Calibration.shipped()
    rules = SelectionRules(
        tables.p_threshold(budget_per_1000, spec), cooldown_weeks=cooldown_weeks, fold_users=0
    )
    plan = Plan(
        spec,
        windows_of(events, spec),
        tables,
        warmup_weeks + first_partial(events, spec),
        rules,
        users or {},
    )
    for shard, part in zip(shards, _parts(events, len(shards)), strict=True):
        shard.ask("begin", part, plan)
    _answers(shards)
    steps = list(_population(shards, plan))
    out.mkdir(parents=True, exist_ok=True)
    scored = alerts = 0
    with (
        (out / "alerts.jsonl").open("w", encoding="utf-8") as told,
        gzip.GzipFile(out / "scores.csv.gz", "wb", _GZIP_LEVEL, mtime=0) as scores,
    ):
        scores.write(b"subject,window_start,head,p_value\n")
        for decisions, said in zip(
            _aggregate_decisions(steps, plan), _scored(shards, steps, plan), strict=True
        ):
            for decision in (*decisions, *(d for part in said for d in part.decisions)):
                if decision.action is Action.SELECTED:
                    alerts += 1
                    told.write(json.dumps(_line(decision, plan, names)) + "\n")
            for head in Head:
                scores.write("".join(part.scores[head] for part in said).encode())
            scored += sum(part.users for part in said)
    return Told(len(events), len(plan.windows), scored, alerts)


def _parts(events: Events, count: int) -> Iterator[Events]:
    """Users in ranges of about as many events each, so that their lines follow each other."""
    if count == 1 or not len(events):
        yield from [events, *[events.take(slice(0))] * (count - 1)]
        return
    # Events lie user by user: a part is a slice, cut where a user ends.
    places = [len(events) * part // count for part in range(1, count)]
    cuts = np.searchsorted(events.user, events.user[places])
    for first, last in pairwise([0, *cuts.tolist(), len(events)]):
        yield events.take(slice(first, last))


def _answers(shards: Iterable[Worker]) -> list[Any]:
    return [shard.answer() for shard in shards]


def _population(shards: Sequence[Worker], plan: Plan) -> Iterator[_Step]:
    """Calendar and cohort factors, and aggregate candidates, from the sums of all shards."""
    population = Population.empty(plan.spec)
    for window, totals in zip(plan.windows, _totals(shards, plan), strict=True):
        population, context, aggregates = population.advance(window, totals)
        yield _Step(context, aggregates)


def _totals(shards: Sequence[Worker], plan: Plan) -> Iterator[Totals]:
    """Sum the shards window by window; they count the next while this one is used."""
    for place in range(len(plan.windows) + 1):
        parts = _answers(shards) if place else []
        if place < len(plan.windows):
            for shard in shards:
                shard.ask("totals")
        if parts:
            yield Totals.sum(parts).of_many(ITEM_USERS)


def _aggregate_decisions(steps: list[_Step], plan: Plan) -> Iterator[tuple[Decision, ...]]:
    """Categories, products, campaigns and the platform, selected apart from the users."""
    selection = Selection()
    warm = plan.warmup_weeks * 7 // plan.spec.days
    for window, step in zip(plan.windows, steps, strict=True):
        found = step.aggregates if step.context.age >= warm else ()
        selection, decisions = select(selection, window, found, plan.rules)
        yield decisions


def _scored(shards: Sequence[Worker], steps: list[_Step], plan: Plan) -> Iterator[list[Said]]:
    """Score each window; its p-values are recalibrated by what was seen before it, shop-wide."""
    running, reference = RunningCalibration.empty(), plan.calibration.reference(plan.spec)
    contexts = [step.context for step in steps]
    _ask(shards, "score", contexts[:1])
    for place in range(len(plan.windows)):
        histograms = Histograms.sum(_answers(shards))
        recalibration = running.recalibration(reference, histograms)
        running = running.advance(histograms, plan.spec)
        _ask(shards, "said", [recalibration])
        said = _answers(shards)
        # The next window is scored while this one is written.
        _ask(shards, "score", contexts[place + 1 : place + 2])
        yield said


def _ask(shards: Sequence[Worker], what: str, inputs: Sequence[Any]) -> None:
    """Ask all shards about one input, if there is one."""
    for shard, given in product(shards, inputs):
        shard.ask(what, given)


def _line(decision: Decision, plan: Plan, names: Mapping[int, str]) -> dict[str, Any]:
    candidate, spec = decision.candidate, plan.spec
    assert candidate is not None  # noqa: S101 - a selected decision carries its candidate
    return {
        "subject": plan.written(candidate.subject),
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
    units = {} if share.units is None else asdict(share.units)
    return {"category": name, "before": share.before, "now": share.now} | units
