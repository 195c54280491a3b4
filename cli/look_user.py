"""`swerve inspect user`: what one user did, window by window, and what is remembered of it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from swerve.domain.window import EVERY_WINDOW
from swerve.errors import SwerveError
from swerve.ports import STATES

from cli.look import alert_lines, kept_batches, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from swerve.domain.event import Events
    from swerve.ports import AlertRow

    from cli.stack import Stack

_SHOWN_TASTES = 10


def user(stack: Stack, subject: str) -> Iterator[str]:
    """What is kept of one user: activity by window, the detector's state, alerts."""
    key = _user_key(stack, subject)
    subject = f"u-{key:016x}"
    events, shard = _events_of(stack, key)
    yield f"{subject}  shard {shard}  {len(events)} events"
    windows = stack.settings.windows.window_of(events.time_ms)
    names = stack.windows.names({int(k) for k in np.unique(events.category)} - {0})
    yield from _by_window(stack, events, windows, names)
    yield from _remembered(stack, shard, key)
    rows = [r for r in stack.alerts.in_state(STATES) if r.subject_kind.startswith(f"{subject}#")]
    yield f"{len(rows)} alerts"
    if rows:
        rows.sort(key=lambda row: row.window)
        yield from alert_lines(rows)
        place = (windows - windows.min()) // stack.settings.windows.days
        yield from _named(events, place, names, rows)


def _by_window(
    stack: Stack, events: Events, windows: NDArray[np.int32], names: Mapping[int, str]
) -> Iterator[str]:
    """What was done in each window; windows without anything are counted."""
    from swerve.domain.behaviour import Behaviour

    spec = stack.settings.windows
    seen = set(np.unique(windows).tolist())
    every = range(min(seen), max(seen) + 1, spec.days)
    for active, run in groupby(every, key=seen.__contains__):
        if not active:
            silent = list(run)
            span = f"{len(silent)} windows" if len(silent) > 1 else "a window"
            yield f"  {spec.label(silent[0])}  nothing for {span}"
            continue
        for window in run:
            mine = events.take(windows == window)
            top = Counter(int(k) for k in mine.category).most_common(4)
            what = ", ".join(f"{names.get(k, 'no category')} {n}" for k, n in top)
            kinds = Counter(Behaviour(int(b)).name.lower() for b in mine.behaviour)
            did = ", ".join(f"{n} {name}" for name, n in kinds.most_common(3))
            yield f"  {spec.label(window)}  {did:32}  {what}"


def _named(
    events: Events, place: NDArray[np.int32], names: Mapping[int, str], rows: Sequence[AlertRow]
) -> Iterator[str]:
    """Events by window, counted from 0, of each category that an alert names."""
    told = {
        share["category"]
        for row in rows
        for share in (json.loads(row.payload)["change"].get(side) for side in ("from", "to"))
        if share
    }
    if told:
        yield "categories of these alerts, events by window, oldest first"
    for key, name in sorted(names.items(), key=lambda named: named[1]):
        if name in told:
            counts = np.bincount(place[events.category == key], minlength=place.max() + 1)
            yield f"  {short(name):24}  {' '.join(map(str, counts.tolist()))}"


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
    from swerve.domain.event import Events
    from swerve.domain.packing import unpack

    kept = kept_batches(stack)
    for number in range(stack.settings.shard_count):
        parts = []
        for partial in stack.windows.partials(number, *EVERY_WINDOW):
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
    if through is None:
        return
    stored = stack.data.get(shard_key(spec, through, number, stack.settings.shard_count))
    if stored is None:
        return
    try:
        state = Checkpoint.from_bytes(stored).state.describe(key)
    except KeyError:
        return  # the user came after the last closed window
    tastes = sorted(
        state["categories"].items(),
        key=lambda taste: (-taste[1]["last_8_weeks"], -taste[1]["before"]),
    )
    names = stack.windows.names({category for category, _ in tastes[:_SHOWN_TASTES]})
    yield f"remembered after the window of {spec.label(through)}"
    yield f"  first seen    {spec.label(state['first'])}"
    yield f"  actions       {' '.join(map(str, state['events']))}  (newest window first)"
    yield f"  active days   {' '.join(map(str, state['active_days']))}"
    yield "  items and days by category; of those before the last 8 weeks, older ones count less"
    for category, taste in tastes[:_SHOWN_TASTES]:
        yield (
            f"  {short(names.get(category, 'no name')):24} {taste['last_8_weeks']:3}"
            f" on {taste['days']} day{'s' if taste['days'] != 1 else ''} in the last 8 weeks,"
            f" {taste['before']:.1f} on {taste['days_before']:.1f} before"
        )
    if len(tastes) > _SHOWN_TASTES:
        yield f"  and {len(tastes) - _SHOWN_TASTES} more categories"
