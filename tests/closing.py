"""A small shop, its batches written as ingest writes them, and the close run without a workflow."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b

import numpy as np
from swerve import close, plan
from swerve.adapters.detection import StoredModels
from swerve.adapters.detection import network as shipped_network
from swerve.deployed import check_deployed
from swerve.domain.alert import StackFacts
from swerve.domain.behaviour import Behaviour
from swerve.domain.calibration import Calibration
from swerve.domain.detector import Detector
from swerve.domain.event import COLUMN_TYPES, Events
from swerve.domain.manifest import DedupRule, Manifest
from swerve.domain.packing import pack
from swerve.domain.pseudonym import UserTable
from swerve.domain.shard import shard_of
from swerve.domain.window import DAY_MS
from swerve.ports import PartialItem
from swerve.run import CloseDeps
from swerve.select import SelectDeps, select
from swerve.settings import Settings

from tests.fakes import World

EXPIRES_S = 2_000_000_000
MONDAY = 17_168  # 2017-01-02
WEEKS = 12  # of the history that most tests of the close share
SETTINGS = Settings(
    window="7d",
    shard_count=2,
    lateness_s=0,
    settle_s=60,
    horizon_days=10_000,
    early="off",
    warmup_weeks=6,
)


def shop(
    weeks: int, users: int = 8, seed: int = 0, changed: int = 2, actions: float = 6.0
) -> Events:
    """Users with stable tastes; the first `changed` of them move to others after two thirds."""
    dice = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int]] = []
    for user in range(users):
        taste = dice.permutation(12)[:4]
        moved = dice.permutation(np.setdiff1d(np.arange(12), taste))[:3]
        for week in range(weeks):
            is_new = user < changed and week >= weeks * 2 // 3
            for _ in range(dice.poisson(actions * (3 if is_new else 1))):
                second = int(dice.integers(7 * 86_400))
                category = int(dice.choice(moved if is_new else taste))
                rows.append(
                    (user, (MONDAY + 7 * week) * DAY_MS + second * 1000, category, len(rows))
                )
    user, time, category, key = (np.array(column) for column in zip(*rows, strict=True))
    columns = {name: np.zeros(len(rows), kind) for name, kind in COLUMN_TYPES.items()}
    columns |= {
        "user": (user.astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15),
        "key": key.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(1),
        "time_ms": time.astype(np.int64),
        "behaviour": np.full(len(rows), Behaviour.PURCHASE, np.uint8),
        "category": (category.astype(np.uint64) + 1) * np.uint64(0xBF58476D1CE4E5B9),
        "item": category.astype(np.uint64) + 100,
        "value": np.ones(len(rows), np.float32),
    }
    return Events(**columns).canonical()


def table_of(events: Events, previous: dict[int, int] | None = None) -> UserTable:
    """Users of the events; the routing hash is what the key rotation leaves alone."""
    users = np.unique(events.user)
    before = np.array([(previous or {}).get(int(u), 0) for u in users], np.uint64)
    stable = np.where(before == 0, users, before)
    return UserTable(users, (stable >> np.uint64(32)).astype(np.uint32), before)


def upload(
    world: World,
    events: Events,
    settings: Settings = SETTINGS,
    source: str = "web",
    previous: dict[int, int] | None = None,
) -> str:
    """Do what ingest does with a batch, and return its id."""
    table = table_of(events, previous)
    content = b"".join(pack(events, table))
    batch_id = blake2b(content, digest_size=16).hexdigest()
    windows = settings.windows.window_of(events.time_ms)
    shards = shard_of(table.routing, settings.shard_count)[
        np.searchsorted(table.users, events.user)
    ]
    partials = []
    for shard in np.unique(shards):
        for window in np.unique(windows[shards == shard]):
            rows = (shards == shard) & (windows == window)
            segments = pack(events.take(rows), table)
            for number, segment in enumerate(segments):
                size = int(rows.sum()) if len(segments) == 1 else 0
                partials.append(
                    PartialItem(int(shard), int(window), batch_id, number, segment, size)
                )
    world.windows.put_partials(partials, EXPIRES_S)
    found, counts = np.unique(windows, return_counts=True)
    first_ms, last_ms = int(events.time_ms.min()), int(events.time_ms.max())
    manifest = Manifest(
        batch_id=batch_id,
        key=f"events/{batch_id}",
        version="v1",
        source=source,
        adapter="common",
        dedup=DedupRule.ID,
        key_id="k1",
        rows=len(events),
        packed=len(events),
        duplicates=0,
        rejected={},
        windows=dict(zip(found.tolist(), counts.tolist(), strict=True)),
        shards=tuple(np.unique(shards).tolist()),
        segments=len(partials),
        first_ms=first_ms,
        last_ms=last_ms,
        watermark_ms=last_ms,
        size_bytes=len(content),
        uploaded_ms=world.clock.now_ms(),
    )
    layout = check_deployed(world.windows, settings)
    if world.windows.put_manifest(manifest, EXPIRES_S, layout):
        world.windows.raise_dirty(found.tolist())
        world.windows.put_watermark(source, last_ms, world.clock.now_ms())
    return batch_id


network = cache(shipped_network)


@dataclass
class Closer:
    """Runs the tasks of the workflow in their order."""

    world: World = field(default_factory=World)
    settings: Settings = SETTINGS

    @property
    def deps(self) -> CloseDeps:
        settings, world = self.settings, self.world
        detector = Detector(
            settings.windows,
            Calibration.shipped(),
            network(),
            settings.warmup_weeks,
            network().generation,
        )
        models = StoredModels(world.data, detector)
        return CloseDeps(settings, world.windows, world.data, world.clock, detector, models)

    @property
    def select_deps(self) -> SelectDeps:
        world, facts = self.world, StackFacts.of(self.settings)
        return SelectDeps(
            self.settings, world.windows, world.data, world.alerts, world.clock, facts
        )

    def close(self, owner: str = "execution") -> int:
        """Close all that can be closed; return the number of runs."""
        self.world.clock.advance(self.settings.settle_s)
        for runs in range(20):
            answer = plan.plan(self.deps, owner)
            if answer["next"] != "go":
                return runs
            self.run(answer["run"], answer["shards"], owner)
        raise AssertionError("the close finds no end")

    def run(self, run: str, shards: int, owner: str) -> None:
        for shard in range(shards):
            close.merge(self.deps, run, shard)
        close.population(self.deps, run)
        for shard in range(shards):
            close.score(self.deps, run, shard)
        close.calibrate(self.deps, run)
        self.select(run, owner)

    def select(self, run: str, owner: str) -> int:
        return select(self.select_deps, run, owner)


def state_of(world: World) -> dict[str, bytes]:
    """Checkpoints and selections: what may not depend on the order of files."""
    folders = ("checkpoints/", "selection/")
    return {key: body for key, body in world.data.files.items() if key.startswith(folders)}


def alerts_of(world: World) -> list[tuple[int, str, str, str]]:
    """Selected alerts as a reader knows them; not how often they were rewritten on the way."""
    return [
        (row.window, row.subject_kind, row.alert_id, row.severity)
        for row in world.alerts.rows.values()
        if row.status != "withdrawn"
    ]


@cache
def history() -> Events:
    return shop(WEEKS)


def weeks_of(events: Events) -> list[Events]:
    windows = SETTINGS.windows.window_of(events.time_ms)
    return [events.take(windows == window) for window in np.unique(windows)]


@cache
def at_once() -> Closer:
    """The whole history in one batch, closed in one run: what every other way must equal."""
    closer = Closer()
    upload(closer.world, history())
    assert closer.close() == 1
    return closer


@cache
def _before_last_week() -> World:
    closer = Closer()
    *earlier, _ = weeks_of(history())
    for week in earlier:
        upload(closer.world, week)
    closer.close()
    return closer.world


def before_last_week() -> Closer:
    """All weeks but the last are closed; the last and a late file of the week before are in."""
    closer = Closer(copy.deepcopy(_before_last_week()))
    *_, before, last = weeks_of(history())
    upload(closer.world, last)
    upload(closer.world, replace(before, key=before.key + np.uint64(77)).take(slice(0, 5)))
    return closer
