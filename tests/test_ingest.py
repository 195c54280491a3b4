"""The ingest use-case: how an adapter is found, what the receipt tells, what ends for good."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from swerve.domain.behaviour import Behaviour
from swerve.domain.names import name_key
from swerve.errors import TransientFault
from swerve.ingest import Delivery, ingest
from swerve.receipt import Receipt

from tests.faults import Crash
from tests.ingesting import FIXTURES, NOW_MS, SETTINGS, deps_of, new_world, stored, upload

if TYPE_CHECKING:
    from tests.fakes import World

HEADER = b"user_id,timestamp,behavior,item_id,category_id,value\n"
ROW = b"u1,2026-11-02T10:00:00Z,view,i1,Home,\n"
DAY_MS = 86_400_000
MINE = """
name = "mine"
match = ["uid", "when", "what"]
[fields]
user = "uid"
time = "when"
event = "what"
item = "thing"
category = "kind"
campaign = "campaign_id"
[events]
seen = "view"
complained = "contact"
"""
MY_FILE = b"uid,when,what,thing,kind,campaign_id\nA1,2026-11-02 10:00:00,seen,x,Tools,spring\n"


def day(ms: int) -> bytes:
    """One event at a time in epoch milliseconds."""
    return b"u1,%d,view,i1,Home,\n" % ms


# How an adapter is found


def test_an_adapter_of_ones_own_needs_no_redeploy() -> None:
    # GIVEN a shape that nobody knows
    world = new_world()
    assert upload(world, MY_FILE, "events/a").reason == "unknown_shape"
    # WHEN its adapter is put into the data bucket, and the file comes again
    world.data.files["adapters/mine.toml"] = MINE.encode()
    receipt = upload(world, MY_FILE, "events/a")
    # THEN it is read
    assert (receipt.status, receipt.adapter, receipt.packed) == ("accepted", "mine", 1)
    assert int(stored(world).campaign[0]) == name_key("spring")


def test_an_adapter_in_the_bucket_replaces_the_packages_own() -> None:
    # GIVEN the same bytes, read by one mapping and then by another
    world = new_world()
    ours = upload(world, HEADER + ROW)
    text = (FIXTURES / "../../layers/core/python/swerve/sources/canonical.toml").read_text()
    world.data.files["adapters/canonical.toml"] = text.replace(
        'view = "view"', 'view = "click"', 1
    ).encode()
    # WHEN / THEN it is another batch
    theirs = upload(world, HEADER + ROW)
    assert theirs.status == "accepted"
    assert theirs.batch_id != ours.batch_id
    assert stored(world, theirs.batch_id).behaviour.tolist() == [Behaviour.CLICK]


def test_a_broken_adapter_refuses_who_asks_for_it_and_no_other() -> None:
    world = new_world()
    world.data.files["adapters/mine.toml"] = b'name = "mine"\n[fields]\nuser = "uid"\n'
    refused = upload(world, MY_FILE, "events/source=mine/a")
    assert refused.reason == "bad_adapter"
    assert "lacks time" in refused.detail
    assert upload(world, HEADER + ROW, "events/b").status == "accepted"


def test_metadata_names_the_adapter() -> None:
    # GIVEN a file that two adapters could read
    world = new_world()
    world.data.files["adapters/mine.toml"] = MINE.encode()
    other = MINE.replace('"mine"', '"other"').replace('"view"', '"share"')
    world.data.files["adapters/other.toml"] = other.encode()
    # WHEN
    for name in ("mine", "other"):
        uploaded = world.uploads.add(f"events/{name}", MY_FILE, NOW_MS, {"adapter": name})
        # THEN
        assert ingest(uploaded, deps_of(world)).adapter == name


@pytest.mark.parametrize(
    ("body", "found", "nearest"),
    [
        (b"colour,size\nred,4\n", "colour, size", "canonical"),
        (b"event_time,event_type,product_id,user_id\n1,view,2,3\n", "event_time", "rees46"),
        (b'{"userId":"x","event":"Product Viewed","messageId":"m"}\n', "userId, event", "segment"),
        (b'{"userId":"x","sentAt":"2026-11-02T10:00:00Z"}\n', "userId, sentAt", "segment"),
        (b'{"event_name":"view","event_timestamp":1}\n', "event_name", "ga4"),
    ],
)
def test_an_unknown_shape_is_told_with_its_fields_and_the_nearest_adapter(
    body: bytes, found: str, nearest: str
) -> None:
    receipt = upload(new_world(), body)
    assert receipt.reason == "unknown_shape"
    assert f"Fields found: {found}" in receipt.detail
    assert f"Nearest adapter: {nearest}" in receipt.detail
    assert "adapters/<name>.toml" in receipt.advice


def test_values_of_a_file_without_header_are_not_told() -> None:
    receipt = upload(new_world(), b"anna@example.com,4711234,2026\n")
    assert "anna" not in receipt.to_json()
    assert "4711234" not in receipt.to_json()


# Side files


def test_the_version_of_a_side_file_is_part_of_the_batch() -> None:
    # GIVEN a batch read without, then with one version of a side file
    world = new_world()
    body = (FIXTURES / "sources/retailrocket.csv").read_bytes()
    without = upload(world, body)
    side = (FIXTURES / "lookups/item_properties.csv").read_bytes()
    receipts = [without]
    for version in ("2026-11-01", "2026-11-08"):
        world.data.files[f"lookups/item_properties/{version}.csv"] = side
        receipts.append(upload(world, body))
    # THEN each version makes a batch, and a missing one is said, with the way out
    assert len({receipt.batch_id for receipt in receipts}) == 3
    assert [dict(receipt.flags) for receipt in receipts] == [{"lookup_missing": 1}, {}, {}]
    assert "lookups/" in without.suggestions["lookup_missing"]


# Receipts


def test_a_receipt_tells_all_that_happened() -> None:
    world = new_world()
    late = b"u2,2026-11-03T10:00:00+02:00,purchase,i2,Home,2\n"
    body = HEADER + ROW * 3 + late + b"u3,soon,view,i,c,\n,2026-11-02T10:00:00Z,view,i,c,\n"
    receipt = upload(world, body, "events/source=web/day.csv")
    told = json.loads(world.data.files["receipts/events/source=web/day.csv/v1.json"])
    assert Receipt.from_json(json.dumps(told)) == receipt
    assert told["rows"] == 6
    assert told["packed"] == 4
    assert told["rejected"] == {"bad_time": 1, "no_user": 1}
    assert set(told["suggestions"]) == {"bad_time", "no_user"}
    assert (told["first"], told["last"]) == (
        "2026-11-02T10:00:00.000+00:00",
        "2026-11-03T08:00:00.000+00:00",
    )
    assert told["watermark"].startswith("2026-11-02T10:00")
    assert (told["adapter"], told["source"], told["dedup"]) == ("canonical", "web", "ordinal")
    assert told["guarantee"]
    assert told["shards"] == len({item.shard for item in world.windows.stored.values()})
    assert told["windows"] == ["2026-11-02"]
    assert told["size_bytes"] == len(body)
    assert told["quarantine"] in world.data.files


def test_the_first_thousand_bad_rows_of_a_reason_are_kept() -> None:
    world = new_world()
    bad = b"".join(b"u%d,soon,view,i,c,\n" % n for n in range(1500))
    bad += b"u,2026-11-02T10:00:00Z,fly,i,c,\n" * 3
    receipt = upload(world, HEADER + ROW + bad)
    kept = gzip.decompress(world.data.files[receipt.quarantine]).decode().splitlines()
    reasons = [json.loads(line)["reason"] for line in kept]
    assert receipt.rejected == {"bad_time": 1500, "unknown_event": 3}
    assert reasons.count("bad_time") == 1000
    assert reasons.count("unknown_event") == 3


def test_returns_and_service_contacts_stay_what_they_are() -> None:
    world = new_world()
    named = ["return", "refund", "cancel", "cart_remove", "remove_from_cart", "contact"]
    body = b"".join(b"u1,2026-11-02T10:00:0%dZ,%s,i,c,\n" % (n, e.encode()) for n, e in
                    enumerate(named))  # fmt: skip
    upload(world, HEADER + body)
    assert [Behaviour(code).name for code in sorted(stored(world).behaviour.tolist())] == [
        "CART_REMOVE",
        "CART_REMOVE",
        "REFUND",
        "REFUND",
        "REFUND",
        "CONTACT",
    ]


def test_what_people_searched_for_is_nowhere() -> None:
    # GIVEN searches, good and bad, as four conventions write them
    world = new_world()
    secret = "knee brace for anna"
    segment = {"messageId": "m", "userId": "u", "event": "Products Searched",
               "timestamp": "2026-11-02T10:00:00Z", "properties": {"query": secret}}  # fmt: skip
    ga4 = {"event_name": "search", "event_timestamp": 1793613600000000, "user_pseudo_id": "p",
           "event_params": [{"key": "search_term", "value": {"string_value": secret}}],
           "items": []}  # fmt: skip
    retail = {"eventType": "search", "visitorId": "v", "eventTime": "2026-11-02T10:00:00Z",
              "searchQuery": secret}  # fmt: skip
    for number, record in enumerate((segment, ga4, retail)):
        bad = {**record, "timestamp": "?", "eventTime": "?", "event_timestamp": "?"}
        body = f"{json.dumps(record)}\n{json.dumps(bad)}\n".encode()
        # WHEN
        receipt = upload(world, body, f"events/{number}")
        # THEN they are packed as searches, without their text
        assert (receipt.packed, receipt.rejected) == (1, {"bad_time": 1})
    assert set(stored(world).behaviour.tolist()) == {Behaviour.SEARCH}
    kept = [gzip.decompress(b) if k.endswith(".gz") else b for k, b in world.data.files.items()]
    assert not any(b"knee" in body for body in kept)
    assert not any("knee" in name for name in world.windows.vocabulary.values())


def test_rows_of_the_same_content_are_counted_once() -> None:
    world = new_world()
    body = HEADER + ROW + b"u1,soon,view,i,c,\n"
    first, again = (upload(world, body, key).metrics() for key in ("events/a", "events/b"))
    assert first == {
        "UploadsAccepted": 1,
        "RowsPacked": 1,
        "RowsDuplicate": 0,
        "RowsRejected": 1,
    }
    assert again == {"UploadsDuplicate": 1, "RowsPacked": 0, "RowsDuplicate": 0, "RowsRejected": 0}


@pytest.mark.parametrize("key", ["events/_SUCCESS", "events/.part", "events/a/", "events/empty"])
def test_what_is_no_data_is_counted_and_leaves_nothing(key: str) -> None:
    world = new_world()
    receipt = upload(world, b"" if key.endswith("empty") else b"x", key)
    assert receipt.metrics()["UploadsIgnored"] == 1
    assert not world.data.files
    assert not world.windows.batches


# Time


@pytest.mark.parametrize("rows", [2, 30, 999, 5000])
def test_one_row_from_the_future_does_not_move_the_watermark(rows: int) -> None:
    # GIVEN a file of the second of November, and one row stamped a day ahead of its upload
    world = new_world()
    first_ms = 1_793_613_600_000
    body = b"".join(day(first_ms + n) for n in range(rows - 1)) + day(NOW_MS + DAY_MS - 1)
    # WHEN
    receipt = upload(world, HEADER + body, "events/source=web/a")
    # THEN the watermark is that of the others
    assert receipt.packed == rows
    assert world.windows.sources["web"][0] <= first_ms + 60_000
    assert receipt.watermark.startswith("2026-11-02")


def test_a_watermark_never_passes_the_upload() -> None:
    # GIVEN a file that holds nothing but rows of tomorrow
    world = new_world()
    upload(world, HEADER + day(NOW_MS + DAY_MS // 2) * 9, "events/source=web/a")
    assert world.windows.sources["web"][0] <= NOW_MS


def test_the_future_is_refused_beyond_a_day() -> None:
    world = new_world()
    receipt = upload(world, HEADER + day(NOW_MS + DAY_MS) + day(NOW_MS + DAY_MS + 1))
    assert receipt.rejected == {"future": 1}
    assert receipt.packed == 1


def test_what_is_known_is_a_duplicate_before_the_horizon_is_asked() -> None:
    # GIVEN a file that was taken, and a watermark that has long left it behind
    world = new_world()
    settings = replace(SETTINGS, horizon_days=14)
    old = HEADER + day(NOW_MS - 60 * DAY_MS) * 2
    first = upload(world, old, "events/source=web/old", settings=settings)
    upload(world, HEADER + day(NOW_MS) * 5, "events/source=web/new", settings=settings)
    # WHEN it comes again, and a file that differs by one byte
    again = upload(world, old, "events/source=web/again", settings=settings)
    other = upload(world, old + b"\n", "events/source=web/other", settings=settings)
    # THEN the one is a duplicate, counted nowhere, and the other behind the horizon
    assert again.status == "duplicate"
    assert again.same_as == first.key
    assert (again.packed, again.rejected) == (2, {})
    assert other.rejected == {"behind_horizon": 2}


def test_a_time_without_zone_is_the_stacks_or_the_adapters() -> None:
    world = new_world()
    body = HEADER + b"u1,2026-11-02 00:30:00,view,i,c,\n"
    shanghai = replace(SETTINGS, time_zone="Asia/Shanghai", window="1d")
    receipt = upload(world, body, settings=shanghai)
    assert receipt.first == "2026-11-01T16:30:00.000+00:00"
    assert receipt.windows == ("2026-11-02",)


# What ends for good


def test_an_object_above_the_limit_is_not_downloaded() -> None:
    world = new_world()
    small = replace(SETTINGS, max_object_mb=1)
    receipt = upload(world, HEADER + ROW * 30_000, settings=small)
    assert (receipt.status, receipt.reason) == ("refused", "too_large")
    assert "MaxObjectMB" in receipt.advice
    assert world.faults.names["uploads.download"] == 0


def test_an_object_above_the_limit_when_inflated() -> None:
    world = new_world()
    small = replace(SETTINGS, max_object_mb=1)
    receipt = upload(world, gzip.compress(HEADER + ROW * 30_000), settings=small)
    assert (receipt.status, receipt.reason) == ("refused", "too_large")
    assert not world.windows.stored


def test_a_file_that_kills_the_function_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a file at which the process dies, without an exception, each time
    world = new_world()
    uploaded = world.uploads.add("events/a.csv", HEADER + ROW, NOW_MS)

    def dies(*_: object) -> None:
        raise Crash

    monkeypatch.setattr("swerve.batch.Batch.read", dies)
    for attempt in (1, 2):
        with pytest.raises(Crash):
            ingest(uploaded, deps_of(world), Delivery(attempt))
    # WHEN the queue delivers it once more
    receipt = ingest(uploaded, deps_of(world), Delivery(3))
    # THEN it is answered, and not tried again
    assert (receipt.status, receipt.reason) == ("refused", "killed")
    assert "receipts/events/a.csv/v1.json" in world.data.files


def out_of_time(world: World, attempt: int) -> Receipt:
    uploaded = world.uploads.add("events/a.csv", HEADER + ROW, NOW_MS)
    return ingest(uploaded, deps_of(world), Delivery(attempt, lambda: 1.0))


def test_the_second_time_out_of_a_batch_is_a_receipt() -> None:
    world = new_world()
    with pytest.raises(TransientFault, match="tried once more"):
        out_of_time(world, 1)
    receipt = out_of_time(world, 2)
    assert (receipt.status, receipt.reason) == ("refused", "too_slow")
    assert "Split it" in receipt.advice


def test_a_fault_of_the_stores_is_no_reason_to_refuse() -> None:
    # GIVEN a file whose reading was throttled many times
    world = new_world()
    uploaded = world.uploads.add("events/a.csv", HEADER + ROW, NOW_MS)
    for attempt in range(1, 6):
        world.break_with(throttle=1.0)
        with pytest.raises(TransientFault):
            ingest(uploaded, deps_of(world), Delivery(attempt))
    # WHEN the stores are well again
    world.faults.heal()
    # THEN
    assert ingest(uploaded, deps_of(world), Delivery(6)).status == "accepted"


@pytest.mark.parametrize("path", ["", ".", "a..b", "[0]", "$", "0", "a'b", "a\\\\b", "日本", "%s"])
def test_a_path_that_leads_nowhere_is_an_empty_field(path: str) -> None:
    # GIVEN an adapter of one's own with a path that no record has
    world = new_world()
    toml = MINE.replace('"thing"', f'"{path}"').replace('"kind"', f'[["{path}", "thing"]]')
    world.data.files["adapters/mine.toml"] = toml.encode()
    record = {"uid": "A1", "when": "2026-11-02T10:00:00Z", "what": "seen", "thing": "x"}
    # WHEN / THEN
    for body in (MY_FILE, json.dumps(record).encode()):
        receipt = upload(world, body, "events/source=mine/a")
        assert (receipt.status, receipt.packed) == ("accepted", 1)


# The close


def test_a_history_in_many_files_starts_one_close_a_settling_time() -> None:
    # GIVEN complete weeks, a file each
    world = new_world()
    settle_ms = SETTINGS.settle_s * 1000
    world.clock.ms -= world.clock.ms % settle_ms
    weeks = [HEADER + day(NOW_MS - weeks * 7 * DAY_MS) for weeks in range(12, 2, -1)]
    # WHEN they come within one settling time
    for number, week in enumerate(weeks):
        upload(world, week, f"events/{number}")
    # THEN one execution is started for all of them
    assert len(world.workflow.started) == 1
    # AND the next starts another
    world.clock.ms += settle_ms
    upload(world, HEADER + day(NOW_MS - 13 * 7 * DAY_MS), "events/late")
    assert len(world.workflow.started) == 2
