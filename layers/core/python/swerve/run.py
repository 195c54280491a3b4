"""One run of the close: what it recomputes, and where its files are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swerve.domain.generation import generation_at
from swerve.domain.manifest import Erased
from swerve.errors import SwerveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.domain.detector import Detector
    from swerve.domain.window import WindowSpec
    from swerve.ports import Clock, Data, Models, Windows
    from swerve.settings import Settings

LEASE = "close"
# Longer than the workflow's timeout plus one function's, so that no straggler of a dead
# execution writes beside its successor.
LEASE_S = 5_400
PROGRESS = "close"  # control state: {"from", "through"}: checkpoints are valid in between
MODELS = "models"  # control state: label of a window -> generation of model that starts there
EARLY = "runs/early/"  # what early notices have looked at: batches only
LEDGER_KEY = "checkpoints/ledger.json"


@dataclass(frozen=True, slots=True)
class CloseDeps:
    """What plan, merge, population, score and calibrate need of the outside."""

    settings: Settings
    windows: Windows
    data: Data
    clock: Clock
    detector: Detector
    models: Models


@dataclass(frozen=True, slots=True)
class Run:
    """What one run recomputes, fixed by plan: no later task reads anything newer.

    Attributes
    ----------
    name : str
        Label of the last window and a digest of all the rest: the same work has the same name.
    windows : tuple of int
        The range, without holes.
    start : int or None
        The window before the range whose checkpoint is built upon; None: from nothing.
    keep_from : int
        Checkpoints of this window and later ones are kept.
    seen : dict
        Window to its `dirty` counter as noted: what select sets `closed` to.
    batches : dict
        Batch id to (window to events held), as the manifests say, inside the range.
    erased : dict
        Window to what was erased of it before: the close will not find it.
    models : dict
        Window to the generation of model that starts there.
    """

    name: str
    windows: tuple[int, ...]
    start: int | None
    keep_from: int
    shards: int
    seen: dict[int, int]
    batches: dict[str, dict[int, int]]
    erased: dict[int, Erased]
    models: dict[int, str]

    def file(self, name: str) -> str:
        """Key of a working file in the data bucket."""
        return f"runs/{self.name}/{name}"

    def kept(self, window: int) -> bool:
        """Whether a late file may still need the state after this window."""
        return window >= self.keep_from

    def generation(self, window: int) -> str:
        """Generation of model that scores a window."""
        return generation_at(self.models, window)

    def progress_after(self, done: Mapping[str, str | int] | None) -> dict[str, str | int]:
        """Which checkpoints are valid when this run is done, given the control state before."""
        valid_from = self.windows[0]
        if self.keep_from > valid_from:
            valid_from = self.keep_from
        elif done is not None and self.start is not None:
            valid_from = int(done["from"])
        return {"from": valid_from, "through": self.windows[-1]}

    def to_json(self) -> str:
        """Deterministic text."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def load(cls, data: Data, name: str) -> Run:
        """Read what plan wrote."""
        stored = read(data, f"runs/{name}/plan.json")
        fields = json.loads(stored)
        return cls(
            name=fields["name"],
            windows=tuple(fields["windows"]),
            start=fields["start"],
            keep_from=fields["keep_from"],
            shards=fields["shards"],
            seen={int(window): count for window, count in fields["seen"].items()},
            batches={
                batch_id: {int(window): events for window, events in counts.items()}
                for batch_id, counts in fields["batches"].items()
            },
            # A run that was planned before an upgrade has none.
            erased={int(w): Erased(*counts) for w, counts in fields.get("erased", {}).items()},
            models={int(window): name for window, name in fields["models"].items()},
        )


def models_noted(windows: Windows, spec: WindowSpec) -> dict[int, str]:
    """Which generation of model starts at which window, as of the last run that ended."""
    noted = windows.state(MODELS) or {}
    return {spec.parse(label): str(generation) for label, generation in noted.items()}


def read(data: Data, key: str) -> bytes:
    """Read a file that an earlier task wrote."""
    found = data.get(key)
    if found is None:
        raise SwerveError(
            f"{key} is missing from the data bucket: an earlier task of the close has not written "
            "it, or a lifecycle rule removed it; start the close workflow again"
        )
    return found


def shard_key(spec: WindowSpec, window: int, shard: int, shard_count: int) -> str:
    """Key of the checkpoint of one of so many shards."""
    return f"checkpoints/window={spec.label(window)}{shard_file(shard, shard_count)}"


def shard_file(shard: int, shard_count: int) -> str:
    """How the key of every checkpoint of one of so many shards ends."""
    return f"/shard={shard:04d}{shard_ending(shard_count)}"


def shard_ending(shard_count: int) -> str:
    """How keys of checkpoints of so many shards end."""
    return f"-of-{shard_count:04d}.bin"


def early_key(shard: int, shard_count: int) -> str:
    """Key of the note of what was last looked at for early notices."""
    return f"{EARLY}{shard:04d}-of-{shard_count:04d}.json"


def population_key(spec: WindowSpec, window: int) -> str:
    """Key of the population's checkpoint."""
    return f"checkpoints/window={spec.label(window)}/population.bin"


def calibration_key(spec: WindowSpec, window: int) -> str:
    """Key of the running calibration's checkpoint."""
    return f"checkpoints/window={spec.label(window)}/calibration.bin"


def selection_key(spec: WindowSpec, window: int) -> str:
    """Key of the selection's memory."""
    return f"selection/window={spec.label(window)}.json"
