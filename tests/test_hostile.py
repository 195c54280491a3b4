"""Files made to hurt: each is answered with a receipt, and its good rows are not hurt."""

from __future__ import annotations

import gzip
import zlib

import pytest
from swerve.domain.codec import zstd
from swerve.settings import Settings

from tests.filewriting import as_parquet
from tests.ingesting import new_world, stored, upload

HEADER = b"user_id,timestamp,behavior,item_id,category_id,value\n"
ROW = b"u1,2026-11-02T10:00:00Z,view,i1,Home,\n"
JSON_ROW = b'{"user_id":"u","timestamp":"2026-11-02T10:00:00Z","behavior":"view"}\n'
SMALL = Settings(shard_count=4, window="7d", horizon_days=400, max_object_mb=20)
PARQUET = as_parquet(
    [(f"u{i}", "2026-11-02T10:00:00Z", "view", f"i{i}", "c", "") for i in range(500)]
)


def bomb() -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [deflate.compress(HEADER)] + [deflate.compress(ROW * 26_000) for _ in range(30)]
    return b"".join([*parts, deflate.flush()])


def zstd_bomb() -> bytes:
    return zstd.compress(HEADER + b"\n" * 30_000_000)


def scrambled(body: bytes) -> bytes:
    return body[:200] + bytes(byte ^ 0x5A for byte in body[200:2000]) + body[2000:]


REFUSED = {
    "gzip bomb": (bomb, "too_large"),
    "zstd bomb": (zstd_bomb, "too_large"),
    "truncated gzip": (lambda: gzip.compress(HEADER + ROW * 9)[:-9], "damaged_gzip"),
    "gzip with a bad checksum": (
        lambda: gzip.compress(HEADER + ROW)[:-8] + b"\1" * 8,
        "damaged_gzip",
    ),
    "truncated zstd": (
        lambda: zstd.compress(HEADER + ROW * 999)[:-3],
        "damaged_zstd",
    ),
    "a million columns": (lambda: b",".join([b"c"] * 1_000_000) + b"\n", "too_many_columns"),
    "brackets without end": (lambda: b"[" * 3_000_000, "not_records"),
    "braces without end": (lambda: b"{" * 3_000_000, "not_records"),
    "braces and quotes": (lambda: b'{"}' * 1_000_000, "not_records"),
    "nothing but NUL": (lambda: b"\0" * 1_000_000, "not_text"),
    "UTF-16": (lambda: HEADER.decode().encode("utf-16"), "bad_encoding"),
    "unknown fields": (lambda: b"colour,size\nred,4\n", "unknown_shape"),
    "Parquet's magic alone": (lambda: b"PAR1", "damaged_parquet"),
    "truncated Parquet": (lambda: PARQUET[:-300], "damaged_parquet"),
    "scrambled Parquet": (lambda: scrambled(PARQUET), "damaged_parquet"),
    "quotes on every line": (lambda: HEADER + b'"\n' * 1_200_000, "mostly_bad"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_advice(name: str) -> None:
    make, reason = REFUSED[name]
    world = new_world()
    receipt = upload(world, make(), settings=SMALL)
    assert receipt.status == "refused"
    assert receipt.reason == reason
    assert receipt.detail
    assert receipt.advice
    assert not world.windows.batches
    assert [key for key in world.data.files if key.startswith("receipts/")]


ANSWERED = {
    "a field of 30 MB": (
        HEADER + ROW + b"u2," + b"x" * 30_000_000 + b",view,i,c,\n" + ROW,
        2,
        {"too_long": 1},
    ),
    "a JSON field of 30 MB": (
        JSON_ROW + b'{"user_id":"' + b"x" * 30_000_000 + b'"}\n' + JSON_ROW,
        2,
        {"too_long": 1},
    ),
    "deep JSON": (
        JSON_ROW[:-2] + b',"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n" + JSON_ROW,
        1,
        {"too_long": 1},
    ),
    "NUL and bytes that are no UTF-8": (
        HEADER + ROW + b"u\0,2026-11-02T10:00:00Z,view,i,c,\n"
        b"u\xff,2026-11-02T10:00:00Z,view,i,c,\n" + ROW,
        2,
        {"bad_encoding": 2},
    ),
    "an unclosed quote": (
        HEADER + b'u1,2026-11-02T10:00:00Z,view,"i1,Home,\n' + ROW * 1000,
        1000,
        {"ragged": 1},
    ),
    "a quoted newline": (HEADER + b'u1,2026-11-02T10:00:00Z,view,"i\n1",Home,\n' + ROW, 2, {}),
    "a byte order mark and CRLF": (
        b"\xef\xbb\xbf" + (HEADER + ROW * 3).replace(b"\n", b"\r\n"),
        3,
        {},
    ),
    "the line ends of an old Mac": ((HEADER + ROW * 3).replace(b"\n", b"\r"), 3, {}),
    "no newline at the end": (HEADER + ROW[:-1], 1, {}),
    "nothing but newlines": (HEADER + b"\n" * 5_000_000, 0, {}),
    "a header alone": (HEADER, 0, {}),
    "Parquet without rows": (as_parquet([]), 0, {}),
    "formulas": (HEADER + b"=cmd|'/c calc'!A1,2026-11-02T10:00:00Z,view,=1+1,@SUM(A1),\n", 1, {}),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_good_rows_survive_bad_neighbours(name: str) -> None:
    body, packed, rejected = ANSWERED[name]
    world = new_world()
    receipt = upload(world, body, settings=Settings(window="7d", shard_count=4))
    assert receipt.status == "accepted"
    assert receipt.rejected == rejected
    assert receipt.packed == len(stored(world)) == packed


def test_control_and_bidi_characters_do_not_reach_the_vocabulary() -> None:
    world = new_world()
    upload(world, HEADER + "u1,2026-11-02T10:00:00Z,view,i,Ho\u202eme\u0007,\n".encode())
    assert "Home" in world.windows.vocabulary.values()


def test_a_bot_is_packed_up_to_the_cap_and_told() -> None:
    # GIVEN a user who does far more than people can, and a person
    rows = [
        b"bot,2026-11-02T10:%02d:%02dZ,view,i,Home,\n" % (i // 60 % 60, i % 60) for i in range(900)
    ]
    world = new_world()
    # WHEN they are uploaded to a stack with a cap of 100 rows in a window
    receipt = upload(
        world, HEADER + b"".join(rows) + ROW, settings=Settings(window="1d", rate_cap=100)
    )
    # THEN the cap holds for the bot alone
    assert receipt.packed == 101
    assert receipt.rejected == {"over_rate_cap": 800}
    assert receipt.flags["users_over_rate_cap"] == 1


def test_bad_rows_are_kept_without_raw_ids() -> None:
    # GIVEN bad rows, one of them with its columns shifted so that an e-mail stands for the time
    body = HEADER + b"jane@example.com,never,view,i,Home,\nx1,jane@example.com,view,i,Home,\n"
    world = new_world()
    receipt = upload(world, body + b"joe77,2026-11-02T10:00:00Z,joe77@fly,i,Home,zz\n")
    # THEN the quarantine tells reasons and rows, and no id
    kept = gzip.decompress(world.data.files[receipt.quarantine]).decode()
    assert kept.count('"bad_time"') == 2
    for secret in ("jane", "example", "joe"):
        assert secret not in kept


def test_what_a_parser_quotes_of_a_file_is_not_repeated():
    from swerve.adapters.parse import _brief

    told = _brief(ValueError('Malformed JSON at byte 7: "anna@example.com", id 8812345 {"u": 1}.'))
    assert told.startswith("Malformed JSON at byte 7")
    assert "anna" not in told
    assert "8812345" not in told
