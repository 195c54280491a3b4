"""Select: decide which candidates become alerts, and put them into the outbox.

The last task of a close. It runs in the notify function, so nothing here may import numpy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swerve import run as runs
from swerve.domain.alert import StackFacts, named_keys
from swerve.domain.candidate import Candidate, Head, Level, subject_kind
from swerve.domain.selection import Decision, Selection, SelectionRules
from swerve.domain.selection import select as decide
from swerve.errors import SwerveError, TransientFault
from swerve.reconcile import reconcile
from swerve.run import Run, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.ports import AlertRow, Alerts, Clock, Data, Windows
    from swerve.settings import Settings

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class SelectDeps:
    """What select needs of the outside."""

    settings: Settings
    windows: Windows
    data: Data
    alerts: Alerts
    clock: Clock
    facts: StackFacts


def select(deps: SelectDeps, run_name: str, owner: str) -> int:
    """Decide about every window of the run, end the run, and return how many rows changed.

    Raises
    ------
    SwerveError
        If the lease of the close is no longer `owner`'s.
    TransientFault
        If alert rows kept changing under its hands.
    """
    run = Run.load(deps.data, run_name)
    now_ms = deps.clock.now_ms()
    if not deps.windows.acquire_lease(runs.LEASE, owner, now_ms, now_ms + runs.LEASE_S * 1000):
        raise SwerveError(
            f"close {run_name}: the lease of {owner} ran out and another execution has it; "
            "nothing was selected, the other one will"
        )
    before = _memory_before(deps, run)
    decisions = _decide(deps, run, before)
    changed = _tell(deps, run, before, decisions)
    _finish(deps, run, owner)
    return changed


def _memory_before(deps: SelectDeps, run: Run) -> Selection:
    if run.start is None:
        return Selection()
    key = runs.selection_key(deps.settings.windows, run.start)
    return Selection.from_json(read(deps.data, key))


def _decide(deps: SelectDeps, run: Run, memory: Selection) -> list[Decision]:
    spec = deps.settings.windows
    decisions: list[Decision] = []
    for window in run.windows:
        said = _candidates(deps, run, window)
        memory = _renamed(memory, said["renamed"])
        if said["gap"]:
            memory = memory.at(window)
        else:
            candidates = [Candidate.from_dict(stored) for stored in said["candidates"]]
            memory, made = decide(memory, window, candidates, _rules(deps.settings, said))
            decisions.extend(made)
        if run.kept(window):
            key, body = runs.selection_key(spec, window), memory.to_json().encode()
            deps.data.put(key, body, "application/json")
    return decisions


def _candidates(deps: SelectDeps, run: Run, window: int) -> dict[str, Any]:
    """What calibrate wrote of a window."""
    label = deps.settings.windows.label(window)
    said: dict[str, Any] = json.loads(read(deps.data, run.file(f"candidates/{label}.json")))
    return said


def _rules(settings: Settings, said: Mapping[str, Any]) -> SelectionRules:
    return SelectionRules(
        {Head(head): p for head, p in said["p_thresholds"].items()},
        settings.fdr_q,
        {(Level(level), head): n for level, n in said["tests"].items() for head in Head},
        settings.cooldown_weeks,
    )


def _renamed(memory: Selection, renamed: Mapping[str, str]) -> Selection:
    """Follow users to their pseudonyms under a new key: the cool-down goes with them."""
    if not renamed:
        return memory
    standings = [replace(s, subject=renamed.get(s.subject, s.subject)) for s in memory.standings]
    return replace(memory, standings=tuple(sorted(standings, key=lambda s: s.key)))


def _tell(deps: SelectDeps, run: Run, before: Selection, decisions: list[Decision]) -> int:
    """Bring the alert rows of the range in line with the decisions."""
    names = deps.windows.names(sorted(named_keys(decisions)))
    changed = 0

    def facts(window: int) -> StackFacts:
        return deps.facts.scored_by(run.generation(window))

    for _ in range(_ATTEMPTS):
        rows = _rows(deps, run, before)
        changes = reconcile(rows, decisions, run.windows[0], names, facts)
        lost = 0
        for change in changes:
            done = deps.alerts.put(change.row, change.expected_revision)
            changed, lost = changed + done, lost + (not done)
        if not lost:
            return changed
    raise TransientFault(
        f"close {run.name}: alert rows changed while they were selected, {_ATTEMPTS} times; "
        "the workflow tries again"
    )


def _rows(deps: SelectDeps, run: Run, before: Selection) -> list[AlertRow]:
    """Rows of the range, and those of earlier alerts that it may resolve or open again."""
    rows = [row for window in run.windows for row in deps.alerts.in_window(window)]
    for standing in before.standings:
        row = deps.alerts.get(standing.window, subject_kind(standing.subject, standing.kind))
        if row is not None:
            rows.append(row)
    return rows


def _finish(deps: SelectDeps, run: Run, owner: str) -> None:
    """Say that the run is done: first how far it came, so that a crash here only repeats work."""
    spec, noted = deps.settings.windows, deps.windows.state(runs.MODELS)
    models = {spec.label(window): generation for window, generation in run.models.items()}
    if models != noted and not deps.windows.put_state(runs.MODELS, models, noted):
        raise TransientFault(f"close {run.name}: its models were changed by somebody else")
    done = deps.windows.state(runs.PROGRESS)
    if not deps.windows.put_state(runs.PROGRESS, run.progress_after(done), done):
        raise TransientFault(f"close {run.name}: its progress was changed by somebody else")
    deps.windows.set_closed(run.seen)
    deps.windows.release_lease(runs.LEASE, owner)
