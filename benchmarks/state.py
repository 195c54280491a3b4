"""How many bytes a shard remembers of a user: mean, median and 99th percentile.

    python benchmarks/state.py EVENTS.csv.gz

A checkpoint is one compressed file, so a user's part is attributed: that of each column of the
sparse tables by the user's rows in it, and the same for everybody of the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from swerve.adapters.detection import network
from swerve.adapters.local_events import read_canonical
from swerve.domain import binary
from swerve.domain.calibration import Calibration
from swerve.domain.detector import Detector
from swerve.domain.profile import ShardState
from swerve.domain.window import WindowSpec

from training.walk import in_context

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from swerve.domain.pairs import PairTable


def state_of(path: Path) -> ShardState:
    """Everything remembered after the last window."""
    spec = WindowSpec(7, "UTC")
    detector, state = Detector(spec, Calibration.shipped(), network()), ShardState.empty(spec)
    for counts, context in in_context(read_canonical([path]).events, spec):
        state, _ = detector.score(state, counts, context)
    return state


def bytes_by_user(state: ShardState) -> NDArray[np.float64]:
    """Bytes of each user, float64[U]; they sum to the size of the checkpoint."""
    size = state.users.size
    parts = np.zeros(size)
    for name, table in (("category", state.categories), ("item", state.items)):
        pairs, recent = _rows(table, size)
        for column, values in table.arrays(name).items():
            rows = recent if column.endswith(("rows", "count")) else pairs
            parts += len(binary.dump("", {}, {column: values})) * rows / max(rows.sum(), 1)
    rest = len(state.to_bytes()) - parts.sum()
    return np.asarray(parts + rest / size)


def _rows(table: PairTable, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of each user in the table, and in its ring."""
    recent = np.concatenate([table.user[slot.rows] for slot in table.ring])
    return np.bincount(table.user, minlength=size), np.bincount(recent, minlength=size)


if __name__ == "__main__":
    told = bytes_by_user(state_of(Path(sys.argv[1])))
    middle, most = np.quantile(told, [0.5, 0.99])
    print(f"{told.size} users: mean {told.mean():.0f}, median {middle:.0f}, p99 {most:.0f} bytes")
