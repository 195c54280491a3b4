"""Files of a source with event ids may overlap in any way: each event is counted once."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from swerve import run as runs
from swerve.domain.pseudonym import Keyring
from swerve.ingest import ingest
from swerve.ledger import Ledger, ledger

from tests.closing import SETTINGS, Closer, alerts_of, shop, state_of
from tests.fakes import World
from tests.filewriting import gzipped, zstandard_frames
from tests.ingesting import FIXTURES, KEYRING, NOW_MS, SECRET, deps_of, golden_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WITH_IDS = {
    "canonical": "csv",
    "completejourney": "csv",
    "segment": "jsonl",
    "ga4": "jsonl",
    "snowplow": "tsv",
}


def parquet(frame: pd.DataFrame) -> bytes:
    sink = BytesIO()
    frame.to_parquet(sink, index=False)
    return sink.getvalue()


WRITERS: list[Callable[[pd.DataFrame], bytes]] = [
    lambda frame: frame.to_csv(index=False).encode(),
    lambda frame: gzipped(frame.to_csv(index=False, sep="\t").encode()),
    lambda frame: zstandard_frames(frame.to_json(orient="records", lines=True).encode()),
    lambda frame: frame.to_json(orient="records").encode(),
    parquet,
]


@cache
def events() -> pd.DataFrame:
    of_shop = shop(weeks=4, users=6)
    return pd.DataFrame(
        {
            "user_id": of_shop.user.astype(str),
            "timestamp": (of_shop.time_ms // 1000).astype(str),
            "behavior": "purchase",
            "item_id": of_shop.item.astype(str),
            "category_id": [f"c/{category}" for category in of_shop.category],
            "value": "1.5",
            "event_id": of_shop.key.astype(str),
        }
    )


def taken(files: Sequence[bytes], keyrings: Sequence[Keyring] = (KEYRING,)) -> World:
    """Ingest and close; the keys change half way where there are two."""
    world = World()
    for n, body in enumerate(files):
        keyring = keyrings[n * len(keyrings) // len(files)]
        uploaded = world.uploads.add(f"events/source=canonical/{n}", body, world.clock.ms)
        ingest(uploaded, deps_of(world, SETTINGS, keyring))
    Closer(world).close()
    return world


def balance_of(world: World) -> Ledger:
    balance = ledger(world.windows, world.data, SETTINGS.windows)
    assert balance.balanced
    assert balance.waiting == balance.conflicts == 0
    return balance


def state(world: World) -> dict[str, bytes]:
    """What readers know; the ledger beside it tells the packed rows, which overlaps make more."""
    return {key: body for key, body in state_of(world).items() if key != runs.LEDGER_KEY}


@cache
def straight() -> World:
    """All events in one file, once each."""
    return taken([WRITERS[0](events())])


def overlapping(seed: int) -> tuple[list[bytes], int]:
    """Files of every format that hold every event, many of them several times, in any order."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    frame = events()
    cuts = sorted(dice.sample(range(1, len(frame)), 3))
    spans = list(zip([0, *cuts], [*cuts, len(frame)], strict=True))
    spans += [sorted(dice.sample(range(len(frame) + 1), 2)) for _ in range(5)]
    dice.shuffle(spans)
    files = []
    for n, (first, last) in enumerate(spans):
        part = frame[first:last].sample(frac=1, random_state=dice.randrange(1000))
        part = pd.concat([part, part.head(n)])  # a few rows twice within the file
        files.append(WRITERS[(n + seed) % len(WRITERS)](part))
    return files, sum(last - first for first, last in spans)


@pytest.mark.parametrize("seed", range(4))
def test_many_overlapping_files_in_any_order_and_format(seed: int) -> None:
    # GIVEN
    files, rows = overlapping(seed)
    # WHEN
    world = taken(files)
    # THEN each event is counted once, and everything is as if it had come in one file
    balance = balance_of(world)
    assert balance.unique == len(events())
    assert balance.duplicates_across == rows - len(events()) > 0
    assert balance.duplicates_in_file > 0
    assert state(world) == state(straight())
    assert sorted(alerts_of(world)) == sorted(alerts_of(straight()))


def test_overlaps_are_found_while_two_keys_live() -> None:
    # GIVEN files before and after a rotation of the pseudonym key
    rotated = Keyring.parse(Keyring.rotated(SECRET, "another secret of the tests"))
    files, rows = overlapping(seed=9)
    # WHEN
    world = taken(files, [KEYRING, rotated])
    # THEN nobody became two people, and no event became two
    balance = balance_of(world)
    assert balance.unique == len(events())
    assert balance.duplicates_across == rows - len(events())
    one_key = taken([WRITERS[0](events())], [rotated])
    assert state(world) == state(one_key)


@pytest.mark.parametrize("name", WITH_IDS)
def test_a_conventions_own_files_may_overlap(name: str) -> None:
    # GIVEN a file of the convention, and pieces of it as three more files
    suffix = WITH_IDS[name]
    lines = (FIXTURES / f"sources/{name}.{suffix}").read_bytes().splitlines(keepends=True)
    header = lines[:1] if suffix == "csv" else []
    rows = lines[len(header) :]
    spans = [rows[2:7], rows, rows[:5], rows[4:][::-1]]
    files = [b"".join([*header, *span]) for span in spans]
    world = World()
    world.clock.ms = NOW_MS
    settings = replace(SETTINGS, shard_count=4)
    products = (FIXTURES / "lookups/products.csv").read_bytes()
    world.data.files["lookups/products/2026-11-01.csv"] = products
    # WHEN all are ingested and closed
    for n, body in enumerate(files):
        uploaded = world.uploads.add(f"events/source={name}/{n}", body, world.clock.ms)
        ingest(uploaded, deps_of(world, settings))
    Closer(world, settings).close()
    # THEN the stack holds the golden events and no more
    balance = balance_of(world)
    golden = golden_rows(FIXTURES / f"sources/{name}.golden.csv")
    assert balance.unique == len(golden)
    assert balance.duplicates_across > 0


def test_the_receipt_says_what_overlaps_cost_without_ids() -> None:
    # GIVEN a convention without event ids, and files that overlap
    rows = [b"u1,i1,1543631760,View\n", b"u1,i1,1543631760,View\n", b"u2,i1,1543631761,View\n"]
    header = b"USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n"
    world = World()
    world.clock.ms = NOW_MS
    for n, part in enumerate((rows, rows[1:])):
        uploaded = world.uploads.add(f"events/{n}.csv", header + b"".join(part), world.clock.ms)
        ingest(uploaded, deps_of(world, SETTINGS))
    Closer(world).close()
    # THEN what is equal is counted once all the same, and the receipt states the limit
    assert balance_of(world).unique == 3
    told = [json.loads(body) for key, body in world.data.files.items() if "receipts/" in key]
    assert all("may be counted more than once" in receipt["guarantee"] for receipt in told)
