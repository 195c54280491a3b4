"""Close: recompute all windows from the earliest changed one to the newest complete one.

`plan` fixes a run; `merge` (for each shard), `population`, `score` (for each shard) and `calibrate`
follow, then `swerve.select` decides. Each task reads what the tasks before it wrote and writes the
same bytes whenever it runs again, so a crash anywhere is answered by running again.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve import run as runs
from swerve.domain.bundle import bundle, unbundle
from swerve.domain.calibration import Histograms, RunningCalibration
from swerve.domain.candidate import Candidate, Level
from swerve.domain.counts import count_window
from swerve.domain.event import Events
from swerve.domain.merge import Part, Renames
from swerve.domain.merge import merge as merged
from swerve.domain.packing import unpack
from swerve.domain.population import Context, Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import ITEM_USERS, Totals, totals_of
from swerve.errors import PartialsMissing
from swerve.run import CloseDeps, Run, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from swerve.domain.candidate import Head
    from swerve.domain.detector import Detector, ShardScores
    from swerve.domain.window import WindowSpec
    from swerve.ports import PartialItem

_CHUNK_BYTES = 32_000_000
# Candidates go on to `select` from well above the threshold: an alert ends by hysteresis at
# threshold ** 0.8, and the shop's calibration may differ from the shard's.
_P_FACTOR, _P_POWER = 4.0, 0.75
# Early notices have a tenth of the budget for themselves.
EARLY_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One shard as of the end of one window; `running` is calibrated on this shard alone."""

    state: ShardState
    renames: Renames
    running: RunningCalibration

    def to_bytes(self) -> bytes:
        """Pack."""
        old, new = self.renames.old.tobytes(), self.renames.new.tobytes()
        running = self.running.to_bytes()
        return bundle({"state": self.state.to_bytes(), "old": old, "new": new, "running": running})

    @classmethod
    def from_bytes(cls, data: bytes) -> Checkpoint:
        """Inverse of `to_bytes`."""
        files = unbundle(data)
        old, new = (np.frombuffer(files[name], np.uint64) for name in ("old", "new"))
        running = RunningCalibration.from_bytes(files["running"])
        return cls(ShardState.from_bytes(files["state"]), Renames(old, new), running)

    def without(self, users: NDArray[np.uint64]) -> Checkpoint:
        """Forget some users, and what only they did; what the others did stays bit for bit."""
        others = np.flatnonzero(~np.isin(self.state.users, users))
        return Checkpoint(self.state.apart(others), self.renames.without(users), self.running)


def merge(deps: CloseDeps, run_name: str, shard: int) -> None:
    """Deduplicate a shard's events of every window, and sum them."""
    run, spec = Run.load(deps.data, run_name), deps.settings.windows
    before = checkpoint_before(deps, run, shard)
    cohort, renames = before.state.cohort, before.renames
    totals: dict[str, bytes] = {}
    counts: dict[str, Any] = {}
    chunk: dict[str, bytes] = {}
    chunks = 0
    for window, partials in _by_window(deps, run, shard):
        label = spec.label(window)
        unpacked = [(p.batch_id, *unpack(p.data)) for p in partials]
        found = Renames.of(table for _, _, table in unpacked)
        if len(found):
            renames = renames.then(found)
            cohort = cohort.rename(renames.old, renames.new)
            chunk |= {f"{label}.old": found.old.tobytes(), f"{label}.new": found.new.tobytes()}
        window_events = merged([Part(b, events) for b, events, _ in unpacked], renames)
        chunk[label] = window_events.events.to_bytes()
        # All items: one that few users of this shard touched may be touched by many in others.
        counted = count_window(window_events.events, spec, window)
        summed, cohort = totals_of(counted, cohort, item_users=1)
        totals[label] = summed.to_bytes()
        packed: Counter[str] = Counter()
        for batch_id, events, _ in unpacked:
            packed[batch_id] += len(events)
        counts[label] = {
            "packed": dict(sorted(packed.items())),
            "unique": len(window_events.events),
            "conflicts": window_events.conflicts,
        }
        if sum(map(len, chunk.values())) >= _CHUNK_BYTES:
            deps.data.put(run.file(f"merged/{shard:04d}/{chunks:04d}.zip"), bundle(chunk))
            chunk, chunks = {}, chunks + 1
    if chunk:
        deps.data.put(run.file(f"merged/{shard:04d}/{chunks:04d}.zip"), bundle(chunk))
    totals["counts.json"] = json.dumps(counts).encode()
    deps.data.put(run.file(f"totals/{shard:04d}.zip"), bundle(totals))


def population(deps: CloseDeps, run_name: str) -> None:
    """Sum the shards; what the whole shop did in each window, and what it says of categories."""
    run, spec = Run.load(deps.data, run_name), deps.settings.windows
    sums: dict[int, Totals] = {}
    counts: dict[int, Counter[str]] = {window: Counter() for window in run.windows}
    packed: Counter[tuple[str, int]] = Counter()
    for shard in range(run.shards):
        files = unbundle(read(deps.data, run.file(f"totals/{shard:04d}.zip")))
        shard_counts = json.loads(files["counts.json"])
        for window in run.windows:
            part = Totals.from_bytes(files[spec.label(window)])
            sums[window] = Totals.sum([sums[window], part]) if window in sums else part
            found = shard_counts[spec.label(window)]
            counts[window].update(unique=found["unique"], conflicts=found["conflicts"])
            for batch_id, events in found["packed"].items():
                packed[batch_id, window] += events
    _check_complete(run, spec, packed)
    sums = {window: summed.of_many(ITEM_USERS) for window, summed in sums.items()}
    state = _population_before(deps, run)
    contexts: dict[str, bytes] = {}
    aggregates: dict[str, Any] = {}
    for window in run.windows:
        state, context, candidates = state.advance(window, sums[window])
        contexts[spec.label(window)] = context.to_bytes()
        aggregates[spec.label(window)] = {
            "tests": {
                Level.CATEGORY: int(sums[window].categories.keys.size),
                Level.PRODUCT: int(sums[window].products.keys.size),
                Level.CAMPAIGN: int(sums[window].campaigns.keys.size),
                Level.PLATFORM: 1,
            },
            "candidates": [candidate.to_dict() for candidate in candidates],
        }
        if run.kept(window):
            deps.data.put(runs.population_key(spec, window), state.to_bytes())
    contexts["aggregates.json"] = json.dumps(aggregates).encode()
    deps.data.put(run.file("contexts.zip"), bundle(contexts))
    _note_counts(deps, run, counts, packed)


def score(deps: CloseDeps, run_name: str, shard: int) -> int:
    """Score every user of a shard, silent ones too, window by window; return how many they are."""
    run, spec = Run.load(deps.data, run_name), deps.settings.windows
    contexts = unbundle(read(deps.data, run.file("contexts.zip")))
    before = checkpoint_before(deps, run, shard)
    state, renames, running = before.state, before.renames, before.running
    detectors = _detectors(deps, run)
    scored: dict[str, bytes] = {}
    for window, events, found in _merged(deps, run, shard):
        label = spec.label(window)
        if len(found):
            renames = renames.then(found)
            state = state.rename(renames.old, renames.new)
        context = Context.from_bytes(contexts[label])
        detector = detectors[run.generation(window)]
        if run.generation(window - spec.days) != detector.generation:
            state = detector.takes_over(state, context)
        state, scores = detector.score(state, count_window(events, spec, window), context)
        scored[f"{label}.histograms"] = scores.histograms.to_bytes()
        candidates = _explained(deps, state, scores, context, running)
        running = running.advance(scores.histograms.times(run.shards), spec)
        scored[f"{label}.json"] = json.dumps(
            {
                "tested": int(np.count_nonzero(scores.ready)),
                "renamed": dict(zip(_subjects(found.old), _subjects(found.new), strict=True)),
                "candidates": [candidate.to_dict() for candidate in candidates],
            }
        ).encode()
        if run.kept(window):
            kept = Checkpoint(state, renames, running).to_bytes()
            deps.data.put(runs.shard_key(spec, window, shard, run.shards), kept)
    deps.data.put(run.file(f"scores/{shard:04d}.zip"), bundle(scored))
    return int(state.users.size)


def calibrate(deps: CloseDeps, run_name: str) -> None:
    """Give candidates their final p-values, from how the windows before looked, shop-wide."""
    run, spec = Run.load(deps.data, run_name), deps.settings.windows
    contexts = unbundle(read(deps.data, run.file("contexts.zip")))
    aggregates = json.loads(contexts["aggregates.json"])
    shards = [
        unbundle(read(deps.data, run.file(f"scores/{shard:04d}.zip")))
        for shard in range(run.shards)
    ]
    thresholds = {head.value: p for head, p in p_thresholds(deps).items()}
    running = RunningCalibration.empty()
    reference = deps.detector.calibration.reference(spec)
    if run.start is not None:
        stored = read(deps.data, runs.calibration_key(spec, run.start))
        running = RunningCalibration.from_bytes(stored)
    for window in run.windows:
        label = spec.label(window)
        said = [json.loads(files[f"{label}.json"]) for files in shards]
        users = [Candidate.from_dict(c) for part in said for c in part["candidates"]]
        histograms = Histograms.sum(
            Histograms.from_bytes(files[f"{label}.histograms"]) for files in shards
        )
        final = running.recalibration(reference, histograms).apply_to(users)
        running = running.advance(histograms, spec)
        if run.kept(window):
            deps.data.put(runs.calibration_key(spec, window), running.to_bytes())
        deps.data.put(
            run.file(f"candidates/{label}.json"),
            json.dumps(
                {
                    "gap": Context.from_bytes(contexts[label]).gap,
                    "tests": {
                        Level.USER: sum(part["tested"] for part in said),
                        **aggregates[label]["tests"],
                    },
                    "renamed": {k: v for part in said for k, v in part["renamed"].items()},
                    "p_thresholds": thresholds,
                    "candidates": [c.to_dict() for c in final] + aggregates[label]["candidates"],
                }
            ).encode(),
            "application/json",
        )


def p_thresholds(deps: CloseDeps) -> Mapping[Head, float]:
    """The p-values below which users alarm at the close's part of the budget."""
    share = 1.0 - EARLY_SHARE if deps.settings.early == "on" else 1.0
    budget = deps.settings.budget_per_1000 * share
    return deps.detector.calibration.p_threshold(budget, deps.settings.windows)


def _explained(
    deps: CloseDeps,
    state: ShardState,
    scores: ShardScores,
    context: Context,
    running: RunningCalibration,
) -> list[Candidate]:
    """Candidates with the p-values of the shipped tables.

    The shop's own calibration of this window is known only when all shards are scored. The shard's
    own, which is close to it, chooses who is worth explaining, well above the threshold; whether
    this window is a holiday, one shard cannot know.
    """
    limits = {h: max(_P_FACTOR * p, p**_P_POWER) for h, p in p_thresholds(deps).items()}
    reference = deps.detector.calibration.reference(deps.settings.windows)
    recalibration = running.recalibration(reference)
    chosen = deps.detector.candidates(state, scores, context, recalibration, limits)
    users = np.array([int(candidate.subject[2:], 16) for candidate in chosen], np.uint64)
    rows = np.searchsorted(scores.users, users)
    return [
        replace(candidate, p_value=float(scores.p[candidate.head][row]))
        for candidate, row in zip(chosen, rows, strict=True)
    ]


def _detectors(deps: CloseDeps, run: Run) -> dict[str, Detector]:
    """The detector of every generation that scores a window of the run."""
    return {
        generation: replace(
            deps.detector, generation=generation, network=deps.models.network(generation)
        )
        for generation in sorted({run.generation(window) for window in run.windows})
    }


def checkpoint_before(deps: CloseDeps, run: Run, shard: int) -> Checkpoint:
    """State of a shard before the run's range."""
    spec = deps.settings.windows
    if run.start is None:
        return Checkpoint(ShardState.empty(spec), Renames.none(), RunningCalibration.empty())
    stored = read(deps.data, runs.shard_key(spec, run.start, shard, run.shards))
    return Checkpoint.from_bytes(stored)


def _population_before(deps: CloseDeps, run: Run) -> Population:
    spec = deps.settings.windows
    if run.start is None:
        return Population.empty(spec)
    return Population.from_bytes(read(deps.data, runs.population_key(spec, run.start)))


def _by_window(deps: CloseDeps, run: Run, shard: int) -> Iterator[tuple[int, list[PartialItem]]]:
    """Every window of the range with the partials of the run's batches; one at a time in memory."""
    stored = deps.windows.partials(shard, run.windows[0], run.windows[-1])
    groups = groupby(stored, key=lambda partial: partial.window)
    window, partials = next(groups, (None, iter(())))
    for due in run.windows:
        if due != window:
            yield due, []
            continue
        yield due, [p for p in partials if due in run.batches.get(p.batch_id, ())]
        window, partials = next(groups, (None, iter(())))


def _merged(deps: CloseDeps, run: Run, shard: int) -> Iterator[tuple[int, Events, Renames]]:
    """What merge wrote: each window's events, and the pseudonyms renamed from it on."""
    windows = {deps.settings.windows.label(window): window for window in run.windows}
    for key in deps.data.keys(run.file(f"merged/{shard:04d}/")):
        files = unbundle(read(deps.data, key))
        for label in [name for name in files if name in windows]:
            old, new = files.get(f"{label}.old", b""), files.get(f"{label}.new", b"")
            renames = Renames(np.frombuffer(old, np.uint64), np.frombuffer(new, np.uint64))
            yield windows[label], Events.from_bytes(files[label]), renames


def _check_complete(run: Run, spec: WindowSpec, packed: Mapping[tuple[str, int], int]) -> None:
    """Hold what merge found against the manifests: a loss must be loud."""
    for batch_id, counts in run.batches.items():
        for window, events in counts.items():
            found = packed.get((batch_id, window), 0)
            if found != events:
                raise PartialsMissing(
                    f"batch {batch_id}, window {spec.label(window)}: its manifest says {events} "
                    f"events, its partials hold {found}; upload the file again to write them anew"
                )


def _note_counts(
    deps: CloseDeps,
    run: Run,
    counts: Mapping[int, Counter[str]],
    packed: Mapping[tuple[str, int], int],
) -> None:
    """Keep the ledger's side of the close: rows found, of which unique, by window."""
    spec = deps.settings.windows
    known = json.loads(deps.data.get(runs.LEDGER_KEY) or b"{}")
    totals: Counter[int] = Counter()
    for (_, window), events in packed.items():
        totals[window] += events
    for window, count in counts.items():
        known[spec.label(window)] = {
            "packed": totals[window],
            "unique": count["unique"],
            "conflicts": count["conflicts"],
        }
        if window in run.erased:
            known[spec.label(window)]["erased"] = run.erased[window]
    body = json.dumps(known, sort_keys=True).encode()
    deps.data.put(runs.LEDGER_KEY, body, "application/json")


def _subjects(users: NDArray[np.uint64]) -> list[str]:
    return [f"u-{user:016x}" for user in users.tolist()]
