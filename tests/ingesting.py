"""Runs the ingest use-case against the in-memory world, with real files."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from swerve.adapters.files import LocalFiles
from swerve.domain.behaviour import Behaviour
from swerve.domain.event import Events
from swerve.domain.names import name_key, normalise
from swerve.domain.packing import unpack
from swerve.domain.pseudonym import Keyring
from swerve.ingest import Delivery, IngestDeps, ingest
from swerve.settings import Settings

from tests.fakes import World

if TYPE_CHECKING:
    from swerve.receipt import Receipt

SECRET = '{"current": "a secret of the tests"}'
KEYRING = Keyring.parse(SECRET)
FIXTURES = Path(__file__).parent / "fixtures"
NOW_MS = 1_795_500_000_000  # 2026-11-24
SETTINGS = Settings(shard_count=4, window="7d", horizon_days=400)

Row = tuple[int, int, str, int, int, int, float | None]


def deps_of(world: World, settings: Settings = SETTINGS, keyring: Keyring = KEYRING) -> IngestDeps:
    return IngestDeps(
        settings,
        keyring,
        world.uploads,
        world.data,
        world.windows,
        world.score_queue,
        world.workflow,
        world.clock,
        LocalFiles(),
    )


def new_world(now_ms: int = NOW_MS) -> World:
    world = World()
    world.clock.ms = now_ms
    return world


def upload(
    world: World,
    body: bytes,
    key: str = "events/file",
    *,
    settings: Settings = SETTINGS,
    keyring: Keyring = KEYRING,
    delivery: Delivery | None = None,
) -> Receipt:
    """Upload and ingest; check that every row is accounted for."""
    uploaded = world.uploads.add(key, body, world.clock.ms)
    receipt = ingest(uploaded, deps_of(world, settings, keyring), delivery)
    assert receipt.rows == receipt.packed + receipt.duplicates + sum(receipt.rejected.values())
    return receipt


def stored(world: World, batch_id: str | None = None) -> Events:
    """All packed events, or those of one batch, in canonical order."""
    parts = [
        unpack(item.data)[0]
        for item in world.windows.stored.values()
        if batch_id in (None, item.batch_id)
    ]
    return Events.concatenate(parts).canonical()


def rows_of(events: Events) -> list[Row]:
    """Events as plain rows, in an order that is theirs alone."""
    return sorted(
        (
            int(events.user[i]),
            int(events.time_ms[i]),
            Behaviour(events.behaviour[i]).name.lower(),
            int(events.category[i]),
            int(events.item[i]),
            int(events.campaign[i]),
            None if np.isnan(events.value[i]) else float(events.value[i]),
        )
        for i in range(len(events))
    )


def golden_rows(path: Path, keyring: Keyring = KEYRING) -> list[Row]:
    """Rows of a golden file: user,time,behaviour,category,item,campaign,value."""
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for user, time, behaviour, category, item, campaign, value in list(csv.reader(file))[1:]:
            moment = datetime.fromisoformat(time)
            assert moment.tzinfo == UTC
            rows.append(
                (
                    int(keyring.pseudonyms([user]).users[0]),
                    round(moment.timestamp() * 1000),
                    behaviour,
                    name_key(normalise(category)),
                    name_key(normalise(item)),
                    name_key(normalise(campaign)),
                    float(np.float32(value)) if value else None,
                )
            )
    return sorted(rows, key=lambda row: row[:6])
