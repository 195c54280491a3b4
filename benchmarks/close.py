"""CPU of a close, by stage: microseconds per user-window, one process, one thread.

    python benchmarks/close.py [--shop journey|journey4|panel_s ...] [--rounds 3]

Closes every window of a shop as a shard of a stack does, users of all kinds, silent ones too: count
the window, sum it, score it, explain who alarms. No reading of files is in it. The checkpoint is
unpacked before a close and packed after it, once however many windows it closes: that is told
apart. A user-window is a user known in a window; of the rounds the least CPU is told.

`journey` is Complete Journey (2,469 dense households), `journey4` four of it under other
pseudonyms, `panel_s` a simulated shop of 10,000 users without items.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from dataclasses import replace
from functools import wraps
from inspect import ismethod
from typing import TYPE_CHECKING, Any

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")

import numpy as np
from swerve.adapters.detection import network
from swerve.domain import calibration, counts, detector, profile, running
from swerve.domain import population as shop
from swerve.domain import totals as sums
from swerve.domain.event import Events
from swerve.domain.window import WindowSpec

from training.data import SOURCES, load
from training.panel_s import simulate
from training.streams import to_events

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES: tuple[tuple[str, object, str], ...] = (
    ("count", counts, "count_window"),
    ("sums and context", sums, "totals_of"),
    ("sums and context", shop.Population, "advance"),
    ("state", profile.ShardState, "advance"),
    ("network", detector, "watched"),
    ("interest", detector, "interest_evidence"),
    ("engagement", detector, "engagement_evidence"),
    ("tables", calibration.HeadTables, "log_p"),
    ("histograms", running.Histograms, "of"),
    ("explain", detector.Detector, "candidates"),
    ("rest", detector.Detector, "score"),
    ("rest", running.RunningCalibration, "recalibration"),
    ("pack", profile.ShardState, "to_bytes"),
    ("unpack", profile.ShardState, "from_bytes"),
)
APART = ("pack", "unpack")
BUDGET = 1.0


class Stopwatch:
    """CPU of functions, what they call under another name not included."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = 0.0

    def on(self, stage: str, owner: object, name: str) -> None:
        """Replace a function by itself, timed."""
        function = getattr(owner, name)
        timed = self._timed(stage, function)
        setattr(owner, name, staticmethod(timed) if ismethod(function) else timed)

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._lap()
            self._open.append(stage)
            try:
                return function(*arguments, **named)
            finally:
                self._lap()
                self._open.pop()

        return timed

    def _lap(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def journey(times: int = 1) -> tuple[Events, WindowSpec]:
    """Complete Journey, or several of it under other pseudonyms."""
    events = to_events(load("completejourney"))
    # Other pseudonyms by another mask, so that the copies of a household lie far apart.
    masks = np.random.default_rng(1).integers(0, 1 << 63, times).astype(np.uint64)
    copies = [replace(events, user=events.user ^ mask) for mask in masks]
    return Events.concatenate(copies), WindowSpec(7, SOURCES["completejourney"].zone)


def panel_s(users: int = 10_000) -> tuple[Events, WindowSpec]:
    """A simulated shop."""
    return to_events(simulate(7, users, changed=0.1)[0]), WindowSpec(7, "UTC")


SHOPS = {"journey": journey, "journey4": lambda: journey(4), "panel_s": panel_s}


def close(windows: list[tuple[int, Events]], spec: WindowSpec) -> tuple[int, int]:
    """Close window by window; user-windows and candidates."""
    tables = calibration.Calibration.shipped()
    scorer = detector.Detector(spec, tables, network())
    limits, reference = tables.p_threshold(BUDGET, spec), tables.reference(spec)
    whole, cohort = shop.Population.empty(spec), sums.Cohort.empty(spec.days)
    state, seen = profile.ShardState.empty(spec), running.RunningCalibration.empty()
    user_windows = told = 0
    for window, inside in windows:
        counted = counts.count_window(inside, spec, window)
        summed, cohort = sums.totals_of(counted, cohort)
        whole, context, _ = whole.advance(window, summed)
        state, scores = scorer.score(
            profile.ShardState.from_bytes(state.to_bytes()), counted, context
        )
        recalibration = seen.recalibration(reference, scores.histograms)
        told += len(scorer.candidates(state, scores, context, recalibration, limits))
        seen = seen.advance(scores.histograms, spec)
        user_windows += state.users.size
    return user_windows, told


def main() -> None:
    """Print a table of each shop."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    asked.add_argument("--shop", nargs="+", choices=SHOPS, default=list(SHOPS))
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args()
    stages = list(dict.fromkeys(stage for stage, _, _ in STAGES))
    watch = Stopwatch()
    for stage in STAGES:
        watch.on(*stage)
    for name in given.shop:
        events, spec = SHOPS[name]()
        windows = list(counts.split_windows(events.canonical(), spec))
        rounds: list[Counter[str]] = []
        for _ in range(given.rounds):
            watch.seconds.clear()
            user_windows, told = close(windows, spec)
            rounds.append(watch.seconds.copy())
        least = {
            stage: min(found[stage] for found in rounds) / user_windows * 1e6 for stage in stages
        }
        print(f"{name}: {user_windows:,} user-windows, {len(events):,} events, {told} candidates")
        for stage in stages:
            print(f"  {stage:<18}{least[stage]:6.2f} us")
        print(
            f"  {'all but packing':<18}{sum(v for s, v in least.items() if s not in APART):6.2f} us"
        )


if __name__ == "__main__":
    main()
