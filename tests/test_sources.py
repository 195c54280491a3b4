"""Every convention: a file written by hand becomes the events that were written beside it."""

from __future__ import annotations

import pytest
from swerve.domain.source import parse_source
from swerve.sources import bundled_sources

from tests.ingesting import FIXTURES, golden_rows, new_world, rows_of, stored, upload

CONVENTIONS = {
    "canonical": (
        "csv",
        "id",
        {"ragged": 1, "no_user": 1, "bad_time": 1, "unknown_event": 1, "bad_number": 1},
    ),
    "completejourney": ("csv", "id", {}),
    "segment": ("jsonl", "id", {"not_a_record": 1, "unknown_event": 1}),
    "ga4": ("jsonl", "id", {"unknown_event": 1, "no_user": 1}),
    "snowplow": ("tsv", "id", {"unknown_event": 1, "no_user": 1}),
    "personalize": ("csv", "ordinal", {"unknown_event": 1, "bad_time": 1}),
    "taobao": ("csv", "ordinal", {"unknown_event": 1, "ragged": 1}),
    "retailrocket": ("csv", "ordinal", {"bad_time": 1}),
    "rees46": ("csv", "ordinal", {"bad_number": 1}),
    "google_retail": ("jsonl", "ordinal", {"not_a_record": 1}),
}
LOOKUPS = {"completejourney": "products", "retailrocket": "item_properties"}


def test_every_bundled_source_has_a_fixture() -> None:
    assert {source.name for source in bundled_sources()} == set(CONVENTIONS)


@pytest.mark.parametrize("named", [False, True], ids=["recognised", "named"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_file_becomes_its_golden_events(name: str, named: bool) -> None:
    # GIVEN a file as the convention writes it, and its side file where it needs one
    suffix, dedup, rejected = CONVENTIONS[name]
    body = (FIXTURES / f"sources/{name}.{suffix}").read_bytes()
    world = new_world()
    if name in LOOKUPS:
        lookup = LOOKUPS[name]
        side = (FIXTURES / f"lookups/{lookup}.csv").read_bytes()
        world.data.files[f"lookups/{lookup}/2026-11-01.csv"] = side
    # WHEN it is uploaded, with and without saying what it is
    key = f"events/source={name}/x" if named else "events/x"
    receipt = upload(world, body, key)
    # THEN the events are the golden ones, and the rest is told
    assert receipt.adapter == name
    assert receipt.dedup == dedup
    assert receipt.rejected == rejected
    golden = golden_rows(FIXTURES / f"sources/{name}.golden.csv")
    assert rows_of(stored(world)) == golden
    assert receipt.packed == len(golden)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = 5", "name must be a text"),
        ('name = "x"', "lacks user and time"),
        ("not toml", "is not TOML"),
        ('name = "x"\nmatch = ["a"]\n[fields]\nuser = "a"\ntime = "b"', "needs .fields. event"),
        (
            'name = "x"\nmatch = ["a"]\n[fields]\nuser = "a"\ntime = "b"\nevent = "c"\n'
            '[events]\nx = "fly"',
            "event 'x' maps to none of",
        ),
        (
            'name = "x"\nmatch = ["a"]\ncolour = "red"\n[fields]\nuser = "a"\ntime = "b"\n'
            'event = "c"',
            "unknown colour",
        ),
        (
            'name = "x"\nmatch = ["a"]\ndedup = "no"\n[fields]\nuser = "a"\ntime = "b"\n'
            'event = "c"',
            "dedup must be one of",
        ),
        (
            'name = "x"\nmatch = ["a"]\n[fields]\nuser = "line.a"\ntime = "b"\nevent = "c"',
            "need an ..explode",
        ),
        (
            'name = "x"\nmatch = ["a"]\n[fields]\nuser = "a"\ntime = "b"\nevent = "c"\n'
            "item = 'i\"d'",
            "has a quote or an asterisk",
        ),
        (
            'name = "x"\nmatch = ["a"]\n[fields]\nuser = "a"\ntime = "b"\nevent = "c"\n'
            '[[explode]]\npath = "items"\nwhere = "*"',
            "has a quote or an asterisk",
        ),
        (
            'name = "x"\nmatch = ["a"]\ntime_zone = "Shanghai"\n[fields]\nuser = "a"\n'
            'time = "b"\nevent = "c"',
            "'Shanghai' is no IANA zone such as Asia/Shanghai",
        ),
    ],
)
def test_a_wrong_adapter_is_told_by_name(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        parse_source(text, "mine.toml")
    assert "mine.toml" in str(raised.value)
