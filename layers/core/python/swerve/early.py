"""Early notices: provisional alerts of an open window, confirmed or withdrawn by its close."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swerve import run as runs
from swerve.close import EARLY_SHARE, Checkpoint
from swerve.deployed import check_deployed
from swerve.domain.alert import build_payload, named_keys, to_json
from swerve.domain.counts import count_window
from swerve.domain.early import early_candidates
from swerve.domain.merge import Part, Renames, merge
from swerve.domain.packing import unpack
from swerve.domain.population import Population
from swerve.domain.selection import Action, Decision, Selection
from swerve.domain.severity import severity_of
from swerve.domain.totals import totals_of
from swerve.domain.watermark import Progress
from swerve.ports import AlertRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swerve.domain.alert import StackFacts
    from swerve.domain.candidate import Candidate
    from swerve.domain.pseudonym import UserTable
    from swerve.ports import Alerts, Clock, Data, PartialItem, Queue, Windows
    from swerve.settings import Settings

_STATISTICS = 2  # surge and new interest share the budget
_WEEK_DAYS = 7
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class EarlyDeps:
    """What early notices need of the outside."""

    settings: Settings
    windows: Windows
    data: Data
    alerts: Alerts
    notify_queue: Queue
    clock: Clock
    facts: StackFacts


def notice(deps: EarlyDeps, shard: int) -> int:
    """Look at the open windows of a shard; return how many notices are new.

    Nothing happens where early notices are off, before the first close, while a backlog is loaded
    (the close speaks of that at once), or when no batch came since the last look.
    """
    check_deployed(deps.windows, deps.settings)
    done = deps.windows.state(runs.PROGRESS)
    if deps.settings.early != "on" or done is None:
        return 0
    through = int(done["through"])
    span = _open_windows(deps, through)
    if not span:
        return 0
    partials = list(deps.windows.partials(shard, span[0], span[-1]))
    seen_key = runs.early_key(shard, deps.settings.shard_count)
    stored = json.loads(deps.data.get(seen_key) or b"{}")
    seen = set(stored.get("batches", ())) if stored.get("through") == through else set()
    batches = {b for b in {p.batch_id for p in partials} if b in seen or _complete(deps, b)}
    if batches == seen:
        return 0
    found = _candidates(deps, shard, through, [p for p in partials if p.batch_id in batches])
    told = _tell(deps, through, span, found)
    mark = {"through": through, "batches": sorted(batches)}
    deps.data.put(seen_key, json.dumps(mark).encode(), "application/json")
    return told


def _open_windows(deps: EarlyDeps, through: int) -> range:
    """Windows that may hold data and are not closed; empty while there is a backlog."""
    settings, spec = deps.settings, deps.settings.windows
    now_ms = deps.clock.now_ms()
    progress = Progress.of(deps.windows.watermarks(), now_ms, settings.source_idle_s)
    first = through + spec.days
    if progress is None or progress.newest_ms < spec.start_ms(first):
        return range(0)
    late_windows = settings.lateness_s // (spec.days * _DAY_S)
    last = first + (1 + late_windows) * spec.days
    if progress.newest_ms >= spec.end_ms(last):
        return range(0)
    return range(first, last + 1, spec.days)


def _complete(deps: EarlyDeps, batch_id: str) -> bool:
    return deps.windows.manifest(batch_id) is not None


def _candidates(
    deps: EarlyDeps, shard: int, through: int, partials: list[PartialItem]
) -> list[Candidate]:
    settings, spec = deps.settings, deps.settings.windows
    before = deps.data.get(runs.shard_key(spec, through, shard, settings.shard_count))
    shop = deps.data.get(runs.population_key(spec, through))
    if before is None or shop is None:
        return []  # a close has just moved on: the next message finds its checkpoint
    checkpoint, population = Checkpoint.from_bytes(before), Population.from_bytes(shop)
    found: list[Candidate] = []
    for window, parts, tables in _by_window(partials):
        renames = checkpoint.renames.then(Renames.of(tables))
        state = checkpoint.state
        if len(renames):
            state = state.rename(renames.old, renames.new)
        counts = count_window(merge(parts, renames).events, spec, window)
        totals, _ = totals_of(counts, state.cohort)
        _, context, _ = population.advance(window, totals)
        found += early_candidates(state, counts, context, _p_max(deps), settings.warmup_weeks)
    return found


def _p_max(deps: EarlyDeps) -> float:
    """Share of the budget that one statistic of one user has in one window."""
    week = deps.settings.budget_per_1000 / 1000 * EARLY_SHARE
    return week * deps.settings.windows.days / _WEEK_DAYS / _STATISTICS


def _by_window(
    partials: Iterable[PartialItem],
) -> list[tuple[int, list[Part], list[UserTable]]]:
    groups: dict[int, tuple[list[Part], list[UserTable]]] = {}
    for partial in partials:
        events, table = unpack(partial.data)
        parts, tables = groups.setdefault(partial.window, ([], []))
        parts.append(Part(partial.batch_id, events))
        tables.append(table)
    return [(window, *groups[window]) for window in sorted(groups)]


def _tell(deps: EarlyDeps, through: int, span: range, found: list[Candidate]) -> int:
    """Put rows for what is new, and ask for them to be told."""
    spoken = {row.subject_kind: row for window in span for row in deps.alerts.in_window(window)}
    memory = deps.data.get(runs.selection_key(deps.settings.windows, through))
    cooling = _cooling(deps, Selection() if memory is None else Selection.from_json(memory))
    decisions = [
        Decision(
            Action.SELECTED,
            candidate.level,
            candidate.subject,
            candidate.head,
            candidate.kind,
            candidate.window,
            candidate,
            severity_of(candidate),
            _p_max(deps),
        )
        for candidate in found
        if cooling.get((candidate.subject, candidate.head), 0) <= candidate.window
    ]
    fresh = [decision for decision in decisions if decision.subject_kind not in spoken]
    names = deps.windows.names(sorted(named_keys(fresh))) if fresh else {}
    told = sum(deps.alerts.put(_row(decision, names, deps.facts), None) for decision in fresh)
    _confirm_later(deps, {decision.window for decision in fresh})
    # A crash after the rows must not lose the message: what waits to be told is asked for again.
    told_already = {name for name, row in spoken.items() if row.state != "selected"}
    if any(decision.subject_kind not in told_already for decision in decisions):
        deps.notify_queue.send([json.dumps({"task": "tell"})])
    return told


def _cooling(deps: EarlyDeps, memory: Selection) -> Mapping[tuple[str, str], int]:
    """(subject, head) -> first window in which it may alarm again."""
    days = deps.settings.cooldown_weeks * _WEEK_DAYS
    return {(s.subject, s.head): s.window + days for s in memory.standings}


def _confirm_later(deps: EarlyDeps, windows: set[int]) -> None:
    """Have a window closed again if its close overtook this notice: each is confirmed or not."""
    done = deps.windows.state(runs.PROGRESS)
    overtaken = {window for window in windows if done and window <= int(done["through"])}
    if overtaken:
        deps.windows.raise_dirty(sorted(overtaken))


def _row(decision: Decision, names: Mapping[int, str], facts: StackFacts) -> AlertRow:
    payload = build_payload(decision, names, facts, provisional=True)
    return AlertRow(
        window=decision.window,
        subject_kind=decision.subject_kind,
        alert_id=payload["alert_id"],
        state="selected",
        status=payload["status"],
        severity=payload["severity"],
        payload=to_json(payload),
        revision=1,
    )
