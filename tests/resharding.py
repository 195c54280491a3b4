"""Splits the shards of the in-memory world, and says what a split may not change."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from swerve.close import Checkpoint
from swerve.domain.alert import StackFacts
from swerve.early import EarlyDeps
from swerve.ledger import ledger
from swerve.reshard import Outcome, Portion, ReshardDeps, reshard, task

from tests.closing import SETTINGS, Closer, alerts_of, history, upload, weeks_of
from tests.fakes import World

BEFORE = SETTINGS.shard_count

if TYPE_CHECKING:
    from swerve.settings import Settings

    from tests.faults import Faults


@dataclass
class FakeDeployment:
    """Counts as any other port, so that a crash may come before it too."""

    faults: Faults
    counts: list[int] = field(default_factory=list)

    def set_shard_count(self, shard_count: int) -> None:
        self.faults.before("deployment.set_shard_count")
        self.counts.append(shard_count)


def deps_of(world: World, settings: Settings = SETTINGS) -> ReshardDeps:
    return ReshardDeps(
        settings,
        world.windows,
        world.data,
        world.score_queue,
        FakeDeployment(world.faults),
        world.clock,
    )


def split(
    world: World, to: int | None = None, settings: Settings = SETTINGS, owner: str = "operator"
) -> tuple[Outcome, list[Portion]]:
    """Split, and let the world be seen by functions that have the new count."""
    deps, told = deps_of(world, settings), []
    asked = task(deps, to)
    assert asked is not None
    outcome = reshard(deps, asked, owner, told.append)
    world.windows = world.windows.under(asked.after)
    return outcome, told


def under(world: World, shards: int) -> Closer:
    """The close as deployed with so many shards."""
    world.windows = world.windows.under(shards)
    return Closer(world, replace(SETTINGS, shard_count=shards))


def kept_of(world: World) -> dict[str, object]:
    """All that a later close builds on.

    Of checkpoints without the calibration of a shard by itself: it is no sum, so the parts of a
    split shard go on with that of the whole.
    """
    kept: dict[str, object] = {}
    for key, body in world.data.files.items():
        if "/shard=" in key:
            checkpoint = Checkpoint.from_bytes(body)
            renames = checkpoint.renames
            kept[key] = checkpoint.state.to_bytes(), renames.old.tobytes(), renames.new.tobytes()
        elif key.startswith(("checkpoints/", "selection/")):
            kept[key] = body
    return kept


@cache
def _closed_weeks(shards: int, weeks: int) -> World:
    closer = under(World(), shards)
    for week in weeks_of(history())[:weeks]:
        upload(closer.world, week, closer.settings)
    closer.close()
    return closer.world


def closed_weeks(shards: int, weeks: int = 10) -> Closer:
    """So many weeks of the history, uploaded and closed."""
    return under(copy.deepcopy(_closed_weeks(shards, weeks)), shards)


def early_deps_of(closer: Closer) -> EarlyDeps:
    world, facts = closer.world, StackFacts.of(closer.settings)
    ports = (world.windows, world.data, world.alerts, world.notify_queue, world.clock)
    return EarlyDeps(closer.settings, *ports, facts)


def assert_same(world: World, expected: World, note: str = "") -> None:
    assert world.windows.stored == expected.windows.stored, note
    assert world.windows.expiries == expected.windows.expiries, note
    assert world.windows.batches == expected.windows.batches, note
    assert world.windows.states == expected.windows.states, note
    assert kept_of(world) == kept_of(expected), note
    assert sorted(alerts_of(world)) == sorted(alerts_of(expected)), note
    balance = ledger(world.windows, world.data, SETTINGS.windows)
    assert balance.balanced, note
    assert balance == ledger(expected.windows, expected.data, SETTINGS.windows), note


class Meanwhile:
    """A deployment in whose place a test acts while uploads and closes stand still."""

    def __init__(self, act):
        self.set_shard_count = lambda _: act()
