"""A stack that holds a customer everywhere, and where anything of them would be found."""

from __future__ import annotations

import copy
import csv
import io
import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from swerve.close import Checkpoint
from swerve.domain import binary, profile
from swerve.domain.packing import unpack
from swerve.domain.pseudonym import subject_of
from swerve.domain.shard import homes_of, shard_of
from swerve.erase import EraseDeps, Report, erase
from swerve.ingest import ingest
from swerve.ledger import Ledger, ledger
from swerve.notify import tell
from swerve.person import Person, Records, find
from swerve.publishing import NotifyDeps

from tests.closing import SETTINGS as CLOSING
from tests.closing import Closer, shop
from tests.fakes import World
from tests.ingesting import KEYRING, deps_of
from tests.streams import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from swerve.domain.event import Events
    from swerve.domain.pseudonym import Keyring
    from swerve.settings import Settings

SETTINGS = replace(CLOSING, uploads_bucket="uploads")
WEEKS = 14
EVENTS = shop(WEEKS)
IDS = [f"customer-{n}" for n in range(8)]
WHO, OTHER = IDS[4], IDS[1]  # these two change, and are told of


def csv_of(events: Events, bad: tuple[str, ...] = ()) -> bytes:
    """Rows of the shop's users by id, and some without a time."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["user_id", "timestamp", "behavior", "item_id", "category_id", "event_id"])
    users = np.unique(EVENTS.user)
    for n in range(len(events)):
        user = IDS[int(np.searchsorted(users, events.user[n]))]
        category, seconds = int(events.category[n]), int(events.time_ms[n]) // 1000
        rows.writerow([user, seconds, "purchase", category, f"c/{category}", events.key[n]])
    for user in bad:
        rows.writerow([user, "yesterday", "purchase", 1, "c/1", "x"])
    return text.getvalue().encode()


def user_of(user_id: str, keyring: Keyring = KEYRING) -> int:
    return int(keyring.pseudonyms([user_id]).users[0])


def bodies(of: Events = EVENTS) -> list[bytes]:
    """Two files that share every third row; both hold rows that are refused."""
    place = np.arange(len(of)) % 3
    return [csv_of(of.take(place != missing), (WHO, OTHER)) for missing in (0, 2)]


def settings_of(world: World) -> Settings:
    """Those of a stack whose shards may have been split."""
    return replace(SETTINGS, shard_count=world.windows.shard_count)


def deliver(world: World, key: str, body: bytes, keyring: Keyring = KEYRING) -> str:
    """Upload and ingest; the batch's id."""
    uploaded = world.uploads.add(key, body, world.clock.ms)
    return ingest(uploaded, deps_of(world, settings_of(world), keyring)).batch_id


def tell_all(world: World) -> None:
    topics = {"email": world.email, "events": world.events}
    ports = (SETTINGS, world.windows, world.data, world.alerts, world.clock)
    stop_ms = world.clock.now_ms() + 10**9
    tell(NotifyDeps(*ports, topics, world.clock.advance, "run", stop_ms))


@cache
def _kept() -> World:
    world = World()
    for n, body in enumerate(bodies()):
        deliver(world, f"events/{n}.csv", body)
    assert Closer(world).close() == 1
    tell_all(world)
    for user_id in (WHO, OTHER):
        name = subject_of(user_of(user_id))
        world.data.put(f"outbox/email/{name[:6]}.txt", f"User {name[:10]} changed".encode())
    return world


def kept() -> World:
    """Everything of eight customers: closed, alerted, told, refused, and copies of messages."""
    world = copy.deepcopy(_kept())
    world.faults.heal()
    return world


def erase_deps(world: World, waiting: int = 0) -> EraseDeps:
    return EraseDeps(
        settings_of(world),
        world.windows,
        world.data,
        world.alerts,
        world.uploads,
        world.eraser,
        world.clock,
        lambda: waiting,
    )


def person_of(world: World, user_id: str = WHO, keyring: Keyring = KEYRING) -> Person:
    table = keyring.pseudonyms([user_id])
    settings = settings_of(world)
    shard = int(shard_of(table.routing, settings.shard_count)[0])
    known = np.concatenate([table.users, table.previous[table.previous != 0]])
    where = homes_of(shard, settings.shard_count)
    return find(Records(settings, world.windows, world.data), known, where)


def erase_from(world: World, user_id: str = WHO, waiting: int = 0) -> Report:
    return erase(erase_deps(world, waiting), person_of(world, user_id), "erasing")


def traces(world: World, user: int) -> Iterator[str]:
    """Where anything of a user is left."""
    subject, raw = subject_of(user), user.to_bytes(8, "little")
    stored = [at for layout in world.windows.layouts.values() for at in layout.items()]
    for key, item in stored:
        events, table = unpack(item.data)
        if user in events.user or user in table.users or user in table.previous:
            yield f"partial {key}"
    for place, rows in (("alert", world.alerts.rows), ("state", world.windows.states)):
        yield from (f"{place} {key}" for key, row in rows.items() if subject in f"{key}{row}")
    for key, body in [*world.data.files.items(), *world.data.old]:
        if subject[:10].encode() in b"".join(unpacked(body)) or raw in body:
            yield key
        if key.endswith(".bin") and "/shard=" in key:
            stored = Checkpoint.from_bytes(body)
            if user in stored.state.users or user in stored.renames.old:
                yield key


def others_in(world: World, user: int) -> dict[str, dict[str, NDArray[Any]]]:
    """What is remembered of all others, by checkpoint."""
    found = {}
    for key, body in world.data.files.items():
        if "/shard=" in key:
            state = Checkpoint.from_bytes(body).state
            others = state.apart(np.flatnonzero(state.users != user))
            found[key] = binary.load(profile.KIND, others.to_bytes())[1]
    return found


def payload_subjects(world: World) -> set[str]:
    return {json.loads(row.payload)["subject"]["id"] for row in world.alerts.rows.values()}


USER = user_of(WHO)


@cache
def _erased() -> tuple[World, Report]:
    world = kept()
    return world, erase_from(world)


def erased() -> World:
    """The same stack without one customer."""
    return copy.deepcopy(_erased()[0])


def first_report() -> Report:
    """What was said when they were erased."""
    return _erased()[1]


def balance(world: World) -> Ledger:
    found = ledger(world.windows, world.data, SETTINGS.windows)
    assert found.balanced
    return found


def same(one: World, other: World) -> bool:
    """Whether two stacks hold the same, old versions included."""
    ours, theirs = (
        (w.windows.stored, w.windows.batches, w.data.files, w.data.old, w.alerts.rows)
        for w in (one, other)
    )
    return ours == theirs
