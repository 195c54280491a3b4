"""Every format gives the same events, and every row of every file is accounted for."""

from __future__ import annotations

import io
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from swerve.domain.names import name_key, normalise

from tests.filewriting import COMPRESSIONS, FIELDS, TEXT_WRITERS, WRITERS, Record, as_csv
from tests.ingesting import KEYRING, Row, new_world, rows_of, stored, upload

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
BEHAVIOURS = ["view", "search", "cart", "favorite", "purchase", "review", "share", "return"]
RECORD = st.tuples(
    st.sampled_from(["u1", "u2", "用户", 'o"neil', "a,b", "tab\tbed"]),
    st.datetimes(
        min_value=pd.Timestamp("2026-06-01").to_pydatetime(),
        max_value=pd.Timestamp("2026-11-01").to_pydatetime(),
    ).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z"),
    st.sampled_from(BEHAVIOURS),
    TEXT,
    st.one_of(TEXT, st.just('}{"in": "text')),
    st.one_of(st.just(""), st.integers(-999, 99_999).map(lambda cents: str(cents / 100))),
)


def packed_bytes(body: bytes) -> list[tuple[int, int, int, bytes]]:
    world = new_world()
    receipt = upload(world, body)
    assert receipt.status == "accepted", receipt
    return sorted((p.shard, p.window, p.segment, p.data) for p in world.windows.stored.values())


@given(st.lists(RECORD, min_size=1, max_size=12), st.data())
@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_the_same_events_are_the_same_bytes_in_every_format(
    records: list[Record], data: st.DataObject
) -> None:
    # GIVEN the same events, some of them repeated, in every format and in another order
    records = records + data.draw(st.lists(st.sampled_from(records), max_size=3))
    shuffled = data.draw(st.permutations(records))
    # WHEN they are ingested
    reference = packed_bytes(as_csv(records))
    # THEN the partials are the same, byte for byte
    for name, write in WRITERS.items():
        assert packed_bytes(write(shuffled)) == reference, name


MOMENTS = pd.to_datetime(["2026-06-01T10:00:00.123Z", "2026-10-25T00:30:00Z"], format="ISO8601")


@pytest.mark.parametrize(
    "times",
    [
        pa.array(MOMENTS, pa.timestamp("us", "UTC")),
        pa.array(MOMENTS, pa.timestamp("ms", "Asia/Shanghai")),
        pa.array(MOMENTS.tz_localize(None), pa.timestamp("ns")),
        pa.array([1_780_308_000_123, 1_792_888_200_000], pa.int64()),
        pa.array([1_780_308_000.123, 1_792_888_200.0], pa.float64()),
    ],
    ids=lambda times: str(times.type),
)
def test_columns_of_parquet_need_not_be_text(times: pa.Array) -> None:
    # GIVEN numbers, times and repeated texts in types of their own
    table = pa.table(
        {
            "user_id": pa.array([17, 18]),
            "timestamp": times,
            "behavior": pa.array(["view", "purchase"]).dictionary_encode(),
            "item_id": pa.array([5, 6], pa.int32()),
            "category_id": pa.array(["Home", None]),
            "value": pa.array([1.25, None]),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    # WHEN / THEN they are what their texts are
    texts = [
        ("17", "2026-06-01T10:00:00.123Z", "view", "5", "Home", "1.25"),
        ("18", "2026-10-25T00:30:00Z", "purchase", "6", "", ""),
    ]
    assert packed_bytes(sink.getvalue()) == packed_bytes(as_csv(texts))


@pytest.mark.parametrize("odd", ["two\nlines", "a\x1fb", "a\x1bb", "\x1b1\x1f", "a\tb"])
def test_texts_with_newlines_and_separators_in_every_format(odd: str) -> None:
    # GIVEN names with the bytes that plain lines are made of, in a piece of JSON or Parquet too
    records = [("u1", "2026-06-01T00:00:00Z", "view", odd, f"Home/{odd}", "1")] * 2
    # WHEN / THEN
    reference = packed_bytes(as_csv(records))
    for name, write in WRITERS.items():
        assert packed_bytes(write(records)) == reference, name


def noisy_records(count: int, seed: int) -> list[Record]:
    rng = random.Random(seed)  # noqa: S311 - test data
    records: list[Record] = []
    for _ in range(count):
        moment = pd.Timestamp("2026-10-01") + pd.Timedelta(rng.randrange(40 * 86_400), "s")
        records.append(
            (
                rng.choice(["", *(f"user{i}" for i in range(40))]),
                rng.choice([moment.isoformat() + "Z", str(int(moment.timestamp())), "soon", ""])
                if rng.random() < 0.1
                else moment.isoformat() + "Z",
                rng.choice([*BEHAVIOURS, "teleport"]) if rng.random() < 0.3 else "view",
                f"item{rng.randrange(30)}",
                rng.choice(["", "Home", "Garden/Tools"]),
                rng.choice(["", "1.5", "x", "20"]) if rng.random() < 0.2 else "",
            )
        )
    return records + rng.sample(records, count // 10)


def pandas_rows(records: list[Record]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The slow and plain way: what the article's recipe does, with a reason for every row."""
    frame = pd.DataFrame(records, columns=list(FIELDS))
    epoch = pd.to_numeric(frame["timestamp"], errors="coerce")
    text = pd.to_datetime(frame["timestamp"], errors="coerce", utc=True, format="ISO8601")
    frame["time"] = pd.to_datetime(epoch, unit="s", utc=True).fillna(text)
    frame["number"] = pd.to_numeric(frame["value"], errors="coerce")
    reason = pd.Series("", index=frame.index)
    reason[(frame["value"] != "") & frame["number"].isna()] = "bad_number"
    reason[~frame["behavior"].isin(BEHAVIOURS)] = "unknown_event"
    reason[frame["time"].isna()] = "bad_time"
    reason[frame["user_id"] == ""] = "no_user"
    counts = reason[reason != ""].value_counts().to_dict()
    return frame[reason == ""], {str(name): int(count) for name, count in counts.items()}


def rows_in(frame: pd.DataFrame) -> list[Row]:
    """The events that a frame of good rows stands for."""
    names = {"cart": "cart_add", "favorite": "wishlist_add", "return": "refund"}
    users = KEYRING.pseudonyms(frame["user_id"].tolist()).users.tolist()
    return sorted(
        (
            user,
            round(row.time.timestamp() * 1000),
            names.get(row.behavior, row.behavior),
            name_key(normalise(row.category_id)),
            name_key(normalise(row.item_id)),
            0,
            None if row.value == "" else float(np.float32(row.value)),
        )
        for user, row in zip(users, frame.itertuples(), strict=True)
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_pandas_oracle_agrees(name: str) -> None:
    # GIVEN two thousand rows, a good part of them wrong
    records = noisy_records(2000, seed=5)
    good, rejected = pandas_rows(records)
    # WHEN they are ingested in this format
    world = new_world()
    receipt = upload(world, WRITERS[name](records))
    # THEN every event, and every count of a reason, is that of pandas
    assert receipt.rejected == rejected
    assert receipt.packed == len(good)
    assert rows_of(stored(world)) == rows_in(good)


def test_every_format_packs_the_same_bytes_of_a_noisy_file() -> None:
    # GIVEN the same two thousand rows, a good part of them wrong, in every format
    records = noisy_records(2000, seed=6)
    packed = {name: packed_bytes(write(records)) for name, write in WRITERS.items()}
    # THEN the partials do not tell which
    assert packed.pop("csv")
    assert all(found == packed["parquet"] for found in packed.values())


CORRUPTIONS = 20


def corrupted(body: bytes, keep: int, rng: random.Random) -> bytes:
    """Some damage after the first `keep` bytes (the header)."""
    damaged = bytearray(body)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(keep, len(damaged))
        match rng.randrange(6):
            case 0:
                damaged[at] = rng.randrange(256)
            case 1:
                del damaged[at : at + rng.randrange(1, 200)]
            case 2:
                damaged[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 30)))
            case 3:
                damaged[at:at] = damaged[keep:at][-100:]
            case 4:
                damaged[at:at] = rng.choice(
                    [b"\0", b'"', b'\n"', b"\n\n", b"{", b"}", b",,,", b"\\"]
                )
            case 5:
                del damaged[at:]
        if len(damaged) <= keep:
            damaged += b"\n"
    return bytes(damaged)


ONE_A_LINE = ("csv", "tsv", "json_lines")


@pytest.mark.parametrize("seed", range(10))
def test_every_row_of_a_corrupted_file_is_accounted_for(seed: int) -> None:
    # GIVEN 20 files of random damage (200 over all seeds), in every text format
    rng = random.Random(seed)  # noqa: S311 - test data
    accepted = 0
    for _ in range(CORRUPTIONS):
        name = rng.choice(list(TEXT_WRITERS))
        body = TEXT_WRITERS[name](noisy_records(rng.randrange(5, 120), rng.randrange(10**6)))
        keep = body.index(b"\n") + 1 if name in {"csv", "tsv"} else 0
        damaged = corrupted(body, keep, rng)
        # WHEN it is ingested (`upload` holds rows == packed + duplicates + rejected)
        world = new_world()
        receipt = upload(world, COMPRESSIONS[rng.choice(list(COMPRESSIONS))](damaged))
        # THEN it is answered, and what is told to be packed is there
        assert receipt.packed == len(stored(world))
        if receipt.status == "refused":
            assert receipt.detail
            assert receipt.advice
            continue
        accepted += 1
        # and where no quote can join lines, rows are lines
        if name in ONE_A_LINE and (b'"' not in damaged or name == "json_lines"):
            lines = damaged[keep:].replace(b"\r\n", b"\n").split(b"\n")
            assert receipt.rows == sum(line != b"" for line in lines)
    assert accepted > CORRUPTIONS // 2  # damage to some rows does not cost the file


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in TEXT_WRITERS])
def test_damage_to_compressed_bytes_is_told_or_harmless(name: str) -> None:
    # GIVEN 20 files of each compressed format, damaged as a whole
    rng = random.Random(name)  # noqa: S311 - test data
    for _ in range(CORRUPTIONS):
        records = noisy_records(rng.randrange(5, 120), rng.randrange(10**6))
        damaged = corrupted(WRITERS[name](records), 0, rng)
        # WHEN it is ingested
        world = new_world()
        receipt = upload(world, damaged)
        # THEN it is answered, and nothing is packed that was not told
        assert receipt.packed == len(stored(world))
        assert receipt.status == "accepted" or (receipt.detail and receipt.advice)
