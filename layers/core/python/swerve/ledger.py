"""The ledger: every row that came in, and where it went."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swerve import run as runs
from swerve.domain.manifest import NOTHING, Erased, erased_of

if TYPE_CHECKING:
    from swerve.domain.window import WindowSpec
    from swerve.ports import Data, Windows


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts over all batches of the stack.

    Attributes
    ----------
    rows, packed, duplicates_in_file, rejected
        From the manifests: rows == packed + duplicates_in_file + sum(rejected).
    erased : int
        Packed events that were erased since: they are in none of the following.
    waiting : int
        Packed events of windows that are not closed yet, or need closing again.
    closed : int
        Packed events of closed windows: closed == unique + duplicates_across.
    unique, duplicates_across, conflicts : int
        From the last close of each window, less what was erased after it; conflicts are duplicates
        with other content.
    lost : int
        Packed events of closed windows that the close did not find; never anything but 0.
    """

    batches: int
    rows: int
    packed: int
    duplicates_in_file: int
    rejected: dict[str, int]
    erased: int
    waiting: int
    closed: int
    unique: int
    duplicates_across: int
    conflicts: int
    lost: int

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost and nothing is counted twice."""
        rows = self.packed + self.duplicates_in_file + sum(self.rejected.values())
        counted = self.erased + self.waiting + self.unique + self.duplicates_across
        return self.rows == rows and self.packed == counted and self.lost == 0


def ledger(windows: Windows, data: Data, spec: WindowSpec) -> Ledger:
    """Add up the manifests and the last close of each window."""
    closes = json.loads(data.get(runs.LEDGER_KEY) or b"{}")
    clean = {c.window for c in windows.control() if c.closed == c.dirty}
    sums: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    held: Counter[int] = Counter()
    manifests = list(windows.manifests())
    erased = erased_of(manifests)
    for manifest in manifests:
        sums.update(
            batches=1,
            rows=manifest.rows,
            packed=manifest.packed,
            duplicates_in_file=manifest.duplicates,
        )
        rejected.update(manifest.rejected)
        held.update(manifest.held)
    for window, events in held.items():
        close = closes.get(spec.label(window))
        if window not in clean or close is None:
            sums["waiting"] += events
            continue
        before, since = Erased(*close.get("erased", NOTHING)), erased.get(window, NOTHING)
        packed = close["packed"] + before.events - since.events
        unique = close["unique"] + before.unique - since.unique
        sums.update(
            closed=events,
            unique=unique,
            duplicates_across=packed - unique,
            conflicts=close["conflicts"],
            lost=events - packed,
        )
    return Ledger(
        batches=sums["batches"],
        rows=sums["rows"],
        packed=sums["packed"],
        duplicates_in_file=sums["duplicates_in_file"],
        rejected=dict(sorted(rejected.items())),
        erased=sum(gone.events for gone in erased.values()),
        waiting=sums["waiting"],
        closed=sums["closed"],
        unique=sums["unique"],
        duplicates_across=sums["duplicates_across"],
        conflicts=sums["conflicts"],
        lost=sums["lost"],
    )
