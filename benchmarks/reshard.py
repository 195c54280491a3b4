"""CPU of splitting one shard in two, one process, one thread.

    python -m benchmarks.reshard

The shard is four of Complete Journey under other pseudonyms: 9,876 dense households, 53 weeks, one
file a week. Reading from and writing to AWS is not in it.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")

import numpy as np
from swerve.adapters.detection import network
from swerve.domain.calibration import Calibration
from swerve.domain.counts import count_window, split_windows
from swerve.domain.detector import Detector
from swerve.domain.merge import Renames
from swerve.domain.packing import pack
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.pseudonym import UserTable
from swerve.domain.splitting import Homes, split_partial
from swerve.domain.totals import Cohort, totals_of

from benchmarks.close import journey

if TYPE_CHECKING:
    from collections.abc import Callable

    from swerve.domain.event import Events
    from swerve.domain.window import WindowSpec


def table_of(events: Events) -> UserTable:
    """Users with routing hashes that are as even as those of a stack."""
    users = np.unique(events.user)
    routing = (users >> np.uint64(32)).astype(np.uint32)
    return UserTable(users, routing, np.zeros(users.size, np.uint64))


def remembered(windows: list[tuple[int, Events]], spec: WindowSpec) -> ShardState:
    """State after the last window."""
    detector, state = Detector(spec, Calibration.shipped(), network()), ShardState.empty(spec)
    shop, cohort = Population.empty(spec), Cohort.empty(spec.days)
    for window, inside in windows:
        counts = count_window(inside, spec, window)
        totals, cohort = totals_of(counts, cohort)
        shop, context, _ = shop.advance(window, totals)
        state, _ = detector.score(state, counts, context)
    return state


def split_state(stored: bytes, homes: Homes) -> list[bytes]:
    """Checkpoint to checkpoints."""
    state = ShardState.from_bytes(stored)
    return [homes.state(state, shard).to_bytes() for shard in range(homes.after)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and the answer."""
    began = time.process_time()
    answer = work()
    return time.process_time() - began, answer


def main() -> None:
    """Print seconds and bytes."""
    events, spec = journey(4)
    windows = list(split_windows(events.canonical(), spec))
    stored = [pack(inside, table_of(inside)) for _, inside in windows if len(inside)]
    state, table = remembered(windows, spec), table_of(events)
    seconds, split = timed(lambda: [split_partial(part, 2) for part in stored])
    before = sum(len(data) for part in stored for data in part)
    after = sum(len(data) for one in split for part in one.values() for data in part)
    print(f"{len(table):,} users, {len(events):,} events")
    print(f"partials     {seconds:6.2f} s  {before / 1e6:6.2f} MB -> {after / 1e6:6.2f} MB")
    checkpoint, homes = state.to_bytes(), Homes.of(table, Renames.none(), 0, 2)
    seconds, parts = timed(partial(split_state, checkpoint, homes))
    sizes = f"{len(checkpoint) / 1e6:6.2f} MB -> {sum(map(len, parts)) / 1e6:6.2f} MB"
    print(f"checkpoint   {seconds:6.2f} s  {sizes}")


if __name__ == "__main__":
    main()
