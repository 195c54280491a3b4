"""Every format gives the same events, and every row of every file is accounted for."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.filewriting import FIELDS, WRITERS, Record, as_csv, as_json_lines, gzipped
from tests.ingesting import new_world, rows_of, stored, upload

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


@pytest.mark.parametrize("name", WRITERS)
def test_a_pandas_oracle_agrees(name: str) -> None:
    # GIVEN two thousand rows, a good part of them wrong
    records = noisy_records(2000, seed=5)
    good, rejected = pandas_rows(records)
    # WHEN they are ingested in this format
    world = new_world()
    receipt = upload(world, WRITERS[name](records))
    # THEN counts by reason, and events by user, behaviour and day, are those of pandas
    assert receipt.rejected == rejected
    assert receipt.packed == len(good)
    events = rows_of(stored(world))
    ours = pd.Series([(row[1] // 86_400_000, row[2]) for row in events]).value_counts()
    names = {"cart": "cart_add", "favorite": "wishlist_add", "return": "refund"}
    theirs = pd.Series(
        list(
            zip(
                good["time"].map(lambda moment: int(moment.timestamp()) // 86_400),
                good["behavior"].replace(names),
                strict=True,
            )
        )
    ).value_counts()
    assert ours.to_dict() == theirs.to_dict()
    assert sorted(pd.Series([row[0] for row in events]).value_counts()) == sorted(
        good["user_id"].value_counts()
    )
    total = sum(row[6] for row in events if row[6] is not None)
    assert total == pytest.approx(good["number"].sum(), rel=1e-6)


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


@pytest.mark.parametrize("seed", range(10))
def test_every_row_of_a_corrupted_file_is_accounted_for(seed: int) -> None:
    # GIVEN 20 files of random damage (200 over all seeds)
    rng = random.Random(seed)  # noqa: S311 - test data
    for _ in range(CORRUPTIONS):
        json_lines = rng.random() < 0.5
        records = noisy_records(rng.randrange(5, 120), rng.randrange(10**6))
        body = as_json_lines(records) if json_lines else as_csv(records)
        keep = 0 if json_lines else body.index(b"\n") + 1
        damaged = corrupted(body, keep, rng)
        # WHEN it is ingested (`upload` holds rows == packed + duplicates + rejected)
        receipt = upload(new_world(), rng.choice([bytes, gzipped])(damaged))
        # THEN it is answered, and where no quote can join lines, rows are lines
        lines = damaged[keep:].replace(b"\r\n", b"\n").split(b"\n")
        if receipt.status == "refused" or (b'"' in damaged and not json_lines):
            continue
        assert receipt.rows == sum(line != b"" for line in lines)
