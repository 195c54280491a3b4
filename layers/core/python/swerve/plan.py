"""Plan a close: which windows to recompute, from which checkpoint, out of which batches."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from swerve import run as runs
from swerve.deployed import check_deployed
from swerve.domain.generation import started
from swerve.domain.manifest import erased_of
from swerve.domain.watermark import Progress
from swerve.errors import Resharding
from swerve.ports import LAYOUT
from swerve.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.ports import WindowControl
    from swerve.run import CloseDeps

# A long history is closed in several runs, so that no task outlives its function's timeout and
# calibrate, which holds what was scored of every shard and window, fits its memory.
MOST_WINDOWS = 128
MOST_SCORED = 128 * 256
# Steady uploads never settle: after so many waits of SettleSeconds the close goes ahead.
MOST_WAITS = 12
# One execution waits for all: each upload may start one, and forty that ask again and again cost
# forty containers. A waiter that died is missed for this long after its turn.
_WAITER = "waiting"
_WAITER_GRACE_S = 60


def plan(deps: CloseDeps, owner: str, waits: int = 0) -> dict[str, Any]:
    """Decide what the workflow does next.

    Parameters
    ----------
    owner : str
        Name of the workflow's execution; holds the lease until `select` gives it back.
    waits : int
        How often this execution has waited for uploads to settle.

    Returns
    -------
    dict
        `next` is `go` (recompute `run` over so many `shards`), `wait` (and say `waits` next time)
        or `nothing`.
    """
    try:
        layout = check_deployed(deps.windows, deps.settings)
    except Resharding:
        return _answer("nothing")  # no failure: the next execution finds the new shards
    return _planned(deps, layout, owner, waits)


def _planned(
    deps: CloseDeps, layout: Mapping[str, str | int], owner: str, waits: int
) -> dict[str, Any]:
    now_ms = deps.clock.now_ms()
    sources = deps.windows.watermarks()
    progress = Progress.of(sources, now_ms, deps.settings.source_idle_s)
    if progress is None or _changed(deps, deps.windows.control(), progress) is None:
        deps.windows.release_lease(_WAITER, owner)
        return _answer("nothing")
    if waits < MOST_WAITS and not progress.settled(now_ms, deps.settings.settle_s):
        until_ms = now_ms + (deps.settings.settle_s + _WAITER_GRACE_S) * 1000
        if not deps.windows.acquire_lease(_WAITER, owner, now_ms, until_ms):
            return _answer("nothing")  # another execution waits already
        return _answer("wait", waits=waits + 1)
    deps.windows.release_lease(_WAITER, owner)
    if not deps.windows.acquire_lease(runs.LEASE, owner, now_ms, now_ms + runs.LEASE_S * 1000):
        return _answer("nothing")  # another execution is at it, and plans again when it is done
    # Read again under the lease: what others have closed or split meanwhile is seen.
    found = _run(deps, progress) if deps.windows.state(LAYOUT) == layout else None
    if found is None:
        deps.windows.release_lease(runs.LEASE, owner)
        return _answer("nothing")
    deps.data.put(found.file("plan.json"), found.to_json().encode(), "application/json")
    # What a Distributed Map goes through: its item reader wants a file.
    items = json.dumps([{"shard": shard} for shard in range(found.shards)])
    deps.data.put(found.file("shards.json"), items.encode(), "application/json")
    return _answer("go", found.name, found.shards)


def _answer(what: str, run: str = "", shards: int = 0, waits: int = 0) -> dict[str, Any]:
    """All fields always: the workflow cannot read one that is not there."""
    return {"next": what, "run": run, "shards": shards, "waits": waits}


def _changed(
    deps: CloseDeps, control: tuple[WindowControl, ...], progress: Progress
) -> tuple[int, int] | None:
    """First and last window that need recomputing; None where nothing does.

    The range ends at the newest window ever closed even if the watermark fell behind it (a slow
    source came back): all later windows build upon the changed one.
    """
    if not control:
        return None
    settings, days = deps.settings, deps.settings.windows.days
    complete = progress.newest_complete(
        settings.windows, deps.clock.now_ms(), settings.lateness_s, settings.settle_s
    )
    last = max([complete, *(c.window for c in control if c.closed)])
    begin = [c.window for c in control if c.dirty > c.closed and c.window <= last]
    through = (deps.windows.state(runs.PROGRESS) or {}).get("through")
    if through is not None and int(through) + days <= last:
        begin.append(int(through) + days)
    return (min(begin), last) if begin else None


def _run(deps: CloseDeps, progress: Progress) -> Run | None:
    # The counters first: featurize raises them after its manifest, so every batch counted here is
    # among the manifests read below. A batch that is read but not counted stays dirty: it is
    # closed again, to the same bytes.
    control = deps.windows.control()
    changed = _changed(deps, control, progress)
    if changed is None:
        return None
    settings, spec = deps.settings, deps.settings.windows
    first, last = changed
    start = _checkpoint_before(deps, first)
    if start is None:
        first = control[0].window
    most = min(MOST_WINDOWS, MOST_SCORED // settings.shard_count)
    span = tuple(range(first, last + 1, spec.days))[:most]
    horizon_ms = progress.horizon_ms(settings.horizon_days)
    # Late data reaches back to the horizon: it needs the state before the window that holds it.
    keep_from = next((w for w in span if spec.end_ms(w + spec.days) > horizon_ms), span[-1])
    batches = {}
    manifests = list(deps.windows.manifests())
    for manifest in manifests:
        inside = {w: n for w, n in manifest.held.items() if span[0] <= w <= span[-1]}
        if inside:
            batches[manifest.batch_id] = dict(sorted(inside.items()))
    erased = {w: e for w, e in erased_of(manifests).items() if span[0] <= w <= span[-1]}
    seen = {c.window: c.dirty for c in control if span[0] <= c.window <= span[-1]}
    models = _models(deps, control)
    draft = Run("", span, start, keep_from, settings.shard_count, seen, batches, erased, models)
    digest = blake2b(draft.to_json().encode(), digest_size=6).hexdigest()
    return replace(draft, name=f"{spec.label(span[-1])}-{digest}")


def _models(deps: CloseDeps, control: tuple[WindowControl, ...]) -> dict[int, str]:
    """Which generation of model starts where: the deployed one at the next window."""
    spec = deps.settings.windows
    starts = runs.models_noted(deps.windows, spec)
    closed = [c.window for c in control if c.closed]
    if done := deps.windows.state(runs.PROGRESS):
        closed.append(int(done["through"]))
    upcoming = max(closed) + spec.days if closed and starts else control[0].window
    models = started(starts, deps.detector.generation, upcoming)
    if models != starts:
        deps.models.keep()
    return models


def _checkpoint_before(deps: CloseDeps, first: int) -> int | None:
    spec = deps.settings.windows
    before = first - spec.days
    done = deps.windows.state(runs.PROGRESS)
    if done is None or not int(done["from"]) <= before <= int(done["through"]):
        return None
    return None if deps.data.get(runs.population_key(spec, before)) is None else before
