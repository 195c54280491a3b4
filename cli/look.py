"""What a stack holds, in plain text: progress, alerts, and any user, shard, window or batch."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from swerve.errors import SwerveError

from cli import closes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swerve.ports import AlertRow

    from cli.stack import Stack

STATES = ("selected", "folded", "held", "sending", "sent")
SEVERITIES = ("critical", "high", "medium", "low")
_LONGEST_NAME = 24
_SHOWN_TASTES = 10


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
            f"{told['window']['label']:10}  {row.severity:8}  {_short(name):24}"
            f"  {told['kind']:14}  {told['p_value']:8.1e}  {row.state:8}"
            f"  {told['change']['summary']['en']}"
            + ("" if row.status == "open" else f" [{row.status}]")
        )


def chosen_alerts(
    stack: Stack,
    window: str | None = None,
    severity: str | None = None,
    kind: str | None = None,
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


def user(stack: Stack, subject: str) -> Iterator[str]:
    """What is kept of one user: activity by window, the detector's state, alerts."""
    import numpy as np
    from swerve.domain.behaviour import Behaviour

    key = _user_key(stack, subject)
    subject = f"u-{key:016x}"
    events, shard = _events_of(stack, key)
    spec = stack.settings.windows
    yield f"{subject}  shard {shard}  {len(events)} events"
    windows = spec.window_of(events.time_ms)
    keys = {int(k) for k in np.unique(events.category)} - {0}
    names = stack.windows.names(keys)
    for window in np.unique(windows):
        mine = events.take(windows == window)
        top = Counter(int(k) for k in mine.category).most_common(4)
        what = ", ".join(f"{names.get(k, 'no category')} {n}" for k, n in top)
        kinds = Counter(Behaviour(int(b)).name.lower() for b in mine.behaviour)
        did = ", ".join(f"{n} {name}" for name, n in kinds.most_common(3))
        yield f"  {spec.label(int(window))}  {did:32}  {what}"
    yield from _remembered(stack, shard, key)
    rows = [r for r in stack.alerts.in_state(STATES) if r.subject_kind.startswith(f"{subject}#")]
    yield f"{len(rows)} alerts"
    yield from alert_lines(sorted(rows, key=lambda row: row.window)) if rows else ()


def shard(stack: Stack, number: int) -> Iterator[str]:
    """Users and events of one shard, window by window."""
    import numpy as np
    from swerve.domain.packing import unpack

    if not 0 <= number < stack.settings.shard_count:
        raise SwerveError(f"there are shards 0 to {stack.settings.shard_count - 1}, not {number}")
    spec, kept = stack.settings.windows, _batches(stack)
    events: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    users: dict[int, set[int]] = {}
    for partial in stack.windows.partials(number, *_all_windows()):
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
    for manifest in stack.windows.manifests():
        if number in manifest.windows:
            events = f"{manifest.windows[number]:8} events"
            yield f"  batch {manifest.batch_id}  {events}  {manifest.key}"
    rows = list(stack.alerts.in_window(number))
    yield f"{len(rows)} alerts"
    yield from alert_lines(rows) if rows else ()


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
        for number, events in sorted(manifest.windows.items()):
            yield f"  window      {spec.label(number)}  {events:,} events"


def _user_key(stack: Stack, subject: str) -> int:
    digits = subject.removeprefix("u-")
    if len(digits) == 16:
        return int(digits, 16)
    known = {
        row.subject_kind.partition("#")[0]
        for row in stack.alerts.in_state(STATES)
        if row.subject_kind.startswith(f"u-{digits}")
    }
    if len(known) != 1:
        raise SwerveError(
            f"{subject} is not one user: give all 16 digits, or the start of one with an alert"
            " (`swerve pseudonym ID` says the pseudonym of a customer)"
        )
    return int(known.pop().removeprefix("u-"), 16)


def _events_of(stack: Stack, key: int) -> tuple[Any, int]:
    """Return a user's events and shard; the shard is found by looking, it needs no secret."""
    import numpy as np
    from swerve.domain.event import Events
    from swerve.domain.packing import unpack

    kept = _batches(stack)
    for number in range(stack.settings.shard_count):
        parts = []
        for partial in stack.windows.partials(number, *_all_windows()):
            if partial.window in kept.get(partial.batch_id, {}):
                rows, _ = unpack(partial.data)
                parts.append(rows.take(rows.user == key))
        found = Events.concatenate(parts)
        if len(found):
            # The same event may have come in two files.
            return found.take(np.unique(found.key, return_index=True)[1]).canonical(), number
    raise SwerveError(f"no event of u-{key:016x} is kept")


def _remembered(stack: Stack, number: int, key: int) -> Iterator[str]:
    """What the detector keeps of a user beside the events themselves."""
    from swerve.close import Checkpoint
    from swerve.run import PROGRESS, shard_key

    spec, done = stack.settings.windows, stack.windows.state(PROGRESS)
    through = None if done is None else int(done["through"])
    stored = None if through is None else stack.data.get(shard_key(spec, through, number))
    if through is None or stored is None:
        return
    try:
        state = Checkpoint.from_bytes(stored).state.describe(key)
    except KeyError:
        return  # the user came after the last closed window
    tastes = sorted(state["categories"].items(), key=lambda taste: -taste[1]["last_8_weeks"])
    names = stack.windows.names({category for category, _ in tastes[:_SHOWN_TASTES]})
    yield f"remembered after the window of {spec.label(through)}"
    yield f"  first seen    {spec.label(state['first'])}"
    yield f"  actions       {' '.join(map(str, state['events']))}  (newest window first)"
    yield f"  active days   {' '.join(map(str, state['active_days']))}"
    for category, taste in tastes[:_SHOWN_TASTES]:
        yield (
            f"  {_short(names.get(category, 'no name')):24} {taste['last_8_weeks']:3}"
            f" in the last 8 weeks, {taste['before']:.1f} before"
        )
    if len(tastes) > _SHOWN_TASTES:
        yield f"  and {len(tastes) - _SHOWN_TASTES} more categories"


def _batches(stack: Stack) -> dict[str, Mapping[int, int]]:
    return {manifest.batch_id: manifest.windows for manifest in stack.windows.manifests()}


def _all_windows() -> tuple[int, int]:
    # Labels sort as text, so only years of four digits.
    return 0, 100 * 366


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


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "~"
