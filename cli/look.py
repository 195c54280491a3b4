"""What a stack holds, in plain text: progress, alerts, and any user, shard, window or batch."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from swerve.domain.figures import is_silent
from swerve.domain.window import EVERY_WINDOW
from swerve.errors import SwerveError
from swerve.ports import STATES

from cli import closes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swerve.ports import AlertRow

    from cli.stack import Stack

SEVERITIES = ("critical", "high", "medium", "low")
_LONGEST_NAME = 24


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a stack is.

    Attributes
    ----------
    files, rows : int
        Batches with a manifest, and their rows.
    closed, waiting : int
        Windows whose last change a close has seen, and the others.
    alerts : int
        Selected or told.
    """

    files: int
    rows: int
    closed: int
    waiting: int
    alerts: int

    @classmethod
    def of(cls, stack: Stack) -> Snapshot:
        """Look once."""
        manifests = list(stack.windows.manifests())
        control = stack.windows.control()
        closed = sum(1 for window in control if window.closed == window.dirty)
        return cls(
            len(manifests),
            sum(manifest.rows for manifest in manifests),
            closed,
            len(control) - closed,
            len(chosen_alerts(stack)),
        )

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.files} files, {self.rows:,} rows, {self.closed} windows closed"
            f" ({self.waiting} open), {self.alerts} alerts"
        )


def follow(stack: Stack, every_s: float) -> Iterator[str]:
    """Say how far the stack is, each new alert and failed close; once where `every_s` is 0."""
    said: object = None
    known: set[str] = set()
    failed: set[str] = set()
    while True:
        now = Snapshot.of(stack)
        if now != said:
            yield str(now)
            said = now
        fresh = [row for row in chosen_alerts(stack) if row.alert_id not in known]
        known.update(row.alert_id for row in fresh)
        yield from (f"  {line}" for line in alert_lines(fresh) if fresh)
        for execution in closes.in_state(stack, "FAILED"):
            if execution not in failed:
                failed.add(execution)
                name = execution.rpartition(":")[2]
                yield f"  close {name} failed; another one tries: {closes.why(stack, execution)}"
        if not every_s:
            return
        time.sleep(every_s)


def alert_lines(rows: list[AlertRow]) -> Iterator[str]:
    """One line an alert: when, how grave, who, what, how unusual."""
    heads = f"{'window':10}  {'severity':8}  {'subject':24}  {'kind':14}  {'p':>8}  {'state':8}"
    yield f"{heads}  change"
    for row in rows:
        told = json.loads(row.payload)
        subject = told["subject"]
        name = str(subject.get("label") or subject["id"])
        yield (
            f"{told['window']['label']:10}  {row.severity:8}  {short(name):24}"
            f"  {told['kind']:14}  {told['p_value']:8.1e}  {row.state:8}"
            f"  {told['change']['summary']['en']}" + _status(row.status, told)
        )


def _status(status: str, told: Mapping[str, Any]) -> str:
    """What has become of an alert; of a silence it is not known whether the user came back."""
    if status == "open":
        return ""
    if status == "resolved":
        status = "ended: back, or gone for good" if is_silent(told) else "ended"
    return f" [{status}]"


def chosen_alerts(
    stack: Stack,
    window: str | None = None,
    severity: str | None = None,
    kind: str | None = None,
    level: str | None = None,
) -> list[AlertRow]:
    """Alerts that were selected and still hold, newest window last, gravest first."""
    rows = [
        row
        for row in stack.alerts.in_state(STATES)
        if row.state != "folded" and row.status != "withdrawn"
    ]
    if window:
        number = _parsed(stack, window)
        rows = [row for row in rows if row.window == number]
    if severity:
        rows = [row for row in rows if row.severity == severity]
    if kind:
        rows = [row for row in rows if row.subject_kind.endswith(f"#{kind}")]
    if level:
        rows = [row for row in rows if json.loads(row.payload)["level"] == level]
    return sorted(rows, key=lambda r: (r.window, SEVERITIES.index(r.severity), r.subject_kind))


def tally(rows: list[AlertRow]) -> Iterator[str]:
    """Alerts by kind and severity, as a small table."""
    counts = Counter((row.subject_kind.rpartition("#")[2], row.severity) for row in rows)
    kinds = sorted({kind for kind, _ in counts})
    yield f"{'kind':16}" + "".join(f"{severity:>10}" for severity in SEVERITIES) + f"{'all':>8}"
    for kind in kinds:
        numbers = [counts[kind, severity] for severity in SEVERITIES]
        yield f"{kind:16}" + "".join(f"{n:>10}" for n in numbers) + f"{sum(numbers):>8}"
    yield f"{len(rows)} alerts"


def shard(stack: Stack, number: int) -> Iterator[str]:
    """Users and events of one shard, window by window."""
    import numpy as np
    from swerve.domain.packing import unpack

    if not 0 <= number < stack.settings.shard_count:
        raise SwerveError(f"there are shards 0 to {stack.settings.shard_count - 1}, not {number}")
    spec, kept = stack.settings.windows, kept_batches(stack)
    events: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    users: dict[int, set[int]] = {}
    for partial in stack.windows.partials(number, *EVERY_WINDOW):
        if partial.window not in kept.get(partial.batch_id, {}):
            continue
        rows, _ = unpack(partial.data)
        events[partial.window] += len(rows)
        sizes[partial.window] += len(partial.data)
        users.setdefault(partial.window, set()).update(np.unique(rows.user).tolist())
    everyone: set[int] = set().union(*users.values())
    yield f"shard {number}: {len(everyone)} users, {sum(events.values())} events"
    for window in sorted(events):
        yield (
            f"  {spec.label(window)}  {len(users[window]):6} users  {events[window]:8} events"
            f"  {sizes[window] / 1000:8.1f} kB"
        )


def window(stack: Stack, label: str) -> Iterator[str]:
    """Batches, counters and alerts of one window."""
    spec = stack.settings.windows
    number = _parsed(stack, label)
    control = next((c for c in stack.windows.control() if c.window == number), None)
    if control is None:
        raise SwerveError(f"no event fell into window {label} (it starts on {spec.label(number)})")
    state = "closed" if control.closed == control.dirty else _why_open(stack, number)
    yield f"window {label}: {state} (changed {control.dirty} times, closed at {control.closed})"
    yield f"  {_time(spec.start_ms(number))} to {_time(spec.end_ms(number))}"
    if control.closed:
        yield f"  scored by {_model(stack, number)}"
    for manifest in stack.windows.manifests():
        if number in manifest.windows:
            events = f"{manifest.held[number]:8} events"
            yield f"  batch {manifest.batch_id}  {events}  {manifest.key}"
    rows = list(stack.alerts.in_window(number))
    yield f"{len(rows)} alerts"
    yield from alert_lines(rows) if rows else ()


def _model(stack: Stack, number: int) -> str:
    """Name of the model that scores a closed window, as its alerts tell it."""
    from swerve.domain.alert import StackFacts
    from swerve.domain.generation import generation_at
    from swerve.run import models_noted

    starts = models_noted(stack.windows, stack.settings.windows)
    generation = generation_at(starts, number) if starts else ""
    return StackFacts.of(stack.settings).scored_by(generation).model_version


def _why_open(stack: Stack, number: int) -> str:
    """What a window waits for."""
    from swerve.domain.watermark import Progress

    knobs, now_ms = stack.settings, int(time.time() * 1000)
    spec, marks = knobs.windows, stack.windows.watermarks()
    done = Progress.of(marks, now_ms, knobs.source_idle_s)
    if done is None or number <= done.newest_complete(
        spec, now_ms, knobs.lateness_s, knobs.settle_s
    ):
        return "to be closed"
    data = _time(spec.end_ms(number) + knobs.lateness_s * 1000)
    pause_h = max(knobs.lateness_s, knobs.settle_s) / 3600
    return f"open until data reaches {data}, or no file comes for {pause_h:.3g} hours"


def batch(stack: Stack, prefix: str) -> Iterator[str]:
    """The manifest of one batch, by its id or the uploaded key."""
    found = [
        m for m in stack.windows.manifests() if m.batch_id.startswith(prefix) or m.key == prefix
    ]
    if not found:
        raise SwerveError(f"no batch has an id that starts with {prefix}, or that key")
    spec = stack.settings.windows
    for manifest in found:
        yield f"batch {manifest.batch_id}"
        yield f"  key         {manifest.key}  (version {manifest.version or '-'})"
        yield f"  adapter     {manifest.adapter}, duplicates by {manifest.dedup}"
        yield f"  rows        {manifest.rows:,} of {manifest.size_bytes:,} bytes"
        yield f"  packed      {manifest.packed:,} in {manifest.segments} partials"
        yield f"  duplicates  {manifest.duplicates:,} in the file"
        for reason, rows in sorted(manifest.rejected.items()):
            yield f"  rejected    {rows:,} {reason}"
        yield f"  time        {_time(manifest.first_ms)} to {_time(manifest.last_ms)}"
        if manifest.erased:
            gone = sum(erased.events for erased in manifest.erased.values())
            yield f"  erased      {gone:,} packed events of customers who asked for it"
        for number, events in sorted(manifest.held.items()):
            yield f"  window      {spec.label(number)}  {events:,} events"


def kept_batches(stack: Stack) -> dict[str, Mapping[int, int]]:
    """Events by window of each batch with a manifest: the others do not exist."""
    return {manifest.batch_id: manifest.windows for manifest in stack.windows.manifests()}


def _parsed(stack: Stack, label: str) -> int:
    import numpy as np

    spec = stack.settings.windows
    try:
        day = spec.parse(label)
    except ValueError as wrong:
        raise SwerveError(f"{label} is not a date such as 2026-11-23") from wrong
    return int(spec.window_of(np.array([spec.start_ms(day)], np.int64))[0])


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(name: str) -> str:
    """Return a name that fits a column."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "~"
