from __future__ import annotations

from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from swerve.adapters.alerts import DynamoAlerts
from swerve.adapters.dynamodb import DynamoWindows
from swerve.errors import TransientFault
from swerve.ports import LAYOUT, AlertRow, PartialItem, WindowControl

from tests.domain.manifests import manifest
from tests.fakes import ManualClock

EXPIRES_S = 2_000_000_000
SHARDS: dict[str, str | int] = {"shards": 8}
MANIFEST = manifest(rows=10, duplicates=1, rejected={"no_user": 2}, shards=(0, 3), segments=4)
ROW = AlertRow(17168, "u-01#drop", "A1", "selected", "open", "low", '{"a": 1}', 1, 5, "email")


@pytest.fixture
def client(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", region_name="us-east-1")
        for table in ("windows", "alerts"):
            made.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"}
                    for name in ("pk", "sk", "pending")
                ],
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": "pending",
                        "KeySchema": [
                            {"AttributeName": "pending", "KeyType": "HASH"},
                            {"AttributeName": "pk", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
            )
        yield made


@pytest.fixture
def windows(client):
    return DynamoWindows(client, "windows", shard_count=8, sleep=lambda _: None)


@pytest.fixture
def alerts(client):
    return DynamoAlerts(client, "alerts", 86_400, ManualClock())


def partial(shard: int, window: int, batch_id: str, segment: int, size: int = 3) -> PartialItem:
    return PartialItem(shard, window, batch_id, segment, bytes([segment]) * size, segment + 1)


def test_partials_come_back_in_order_and_range(windows):
    # GIVEN 32 segments (more than one BatchWriteItem) in scrambled order, and neighbours
    wanted = [partial(3, w, b, s) for w in (17168, 17175) for b in ("a", "b") for s in range(8)]
    others = [partial(3, 17161, "a", 0), partial(3, 17182, "a", 0), partial(4, 17168, "a", 0)]
    # WHEN
    windows.put_partials(reversed(wanted + others), EXPIRES_S)
    windows.put_partials(wanted, EXPIRES_S)
    # THEN
    assert list(windows.partials(3, 17168, 17175)) == wanted


def test_queries_follow_pages(windows, client):
    # GIVEN 1.5 MB in one shard: a page of Query ends at 1 MB
    stored = [partial(0, 17168, "a", segment, 300_000) for segment in range(5)]
    windows.put_partials(stored, EXPIRES_S)
    page = client.query(
        TableName="windows",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "shard#0000/0008"}},
    )
    assert "LastEvaluatedKey" in page
    # WHEN / THEN
    assert list(windows.partials(0, 17168, 17168)) == stored


def test_unprocessed_items_are_written_again_or_reported(windows, client, monkeypatch):
    # GIVEN a table that takes one item a call
    real, calls = client.batch_write_item, []

    def slow(RequestItems):
        (requests,) = RequestItems.values()
        calls.append(len(requests))
        real(RequestItems={"windows": requests[:1]})
        return {"UnprocessedItems": {"windows": requests[1:]} if requests[1:] else {}}

    monkeypatch.setattr(client, "batch_write_item", slow)
    # WHEN
    windows.put_partials([partial(0, 17168, "a", s) for s in range(3)], EXPIRES_S)
    # THEN
    assert calls == [3, 2, 1]
    assert len(list(windows.partials(0, 17168, 17168))) == 3
    with pytest.raises(TransientFault, match="unwritten"):
        windows.put_partials([partial(1, 17168, "a", s) for s in range(9)], EXPIRES_S)


def test_manifest_is_written_once(windows):
    # GIVEN
    windows.put_state(LAYOUT, SHARDS, None)
    # WHEN / THEN
    assert windows.manifest("b1") is None
    assert windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)
    assert not windows.put_manifest(replace(MANIFEST, rows=99), EXPIRES_S, SHARDS)
    assert windows.manifest("b1") == MANIFEST
    windows.put_manifest(replace(MANIFEST, batch_id="a0"), EXPIRES_S, SHARDS)
    assert [m.batch_id for m in windows.manifests()] == ["a0", "b1"]


def test_no_manifest_comes_after_the_shards_were_split(windows):
    # GIVEN a batch that began under eight shards
    windows.put_state(LAYOUT, SHARDS, None)
    # WHEN
    windows.put_state(LAYOUT, {"shards": 16}, SHARDS)
    # THEN
    assert not windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)
    assert windows.manifest("b1") is None


def test_batches_that_come_at_once_wait_for_each_other(windows, client, monkeypatch):
    # GIVEN another transaction is at the control item just then
    windows.put_state(LAYOUT, SHARDS, None)
    real, calls = client.transact_write_items, []

    def busy(reason, until):
        def transact(**request):
            calls.append(reason)
            if len(calls) < until:
                answer = {"Error": {"Code": "TransactionCanceledException"}}
                reasons = [{"Code": reason}, {"Code": "None"}]
                raise ClientError(answer | {"CancellationReasons": reasons}, "TransactWriteItems")
            return real(**request)

        return transact

    # WHEN / THEN
    monkeypatch.setattr(client, "transact_write_items", busy("TransactionConflict", 3))
    assert windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)
    assert len(calls) == 3
    monkeypatch.setattr(client, "transact_write_items", busy("TransactionConflict", 99))
    with pytest.raises(TransientFault, match="others wrote"):
        windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)
    monkeypatch.setattr(client, "transact_write_items", busy("ValidationError", 99))
    with pytest.raises(ClientError):
        windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)


def test_an_amended_manifest_keeps_its_expiry_and_none_is_made(windows, client):
    # GIVEN
    windows.put_state(LAYOUT, SHARDS, None)
    windows.put_manifest(MANIFEST, EXPIRES_S, SHARDS)
    amended = replace(MANIFEST, shards=(1, 6), segments=5)
    # WHEN
    windows.amend_manifest(amended)
    windows.amend_manifest(replace(MANIFEST, batch_id="expired"))
    # THEN
    assert list(windows.manifests()) == [amended]
    item = client.scan(TableName="windows", FilterExpression="attribute_exists(manifest)")
    assert [found["expires"]["N"] for found in item["Items"]] == [str(EXPIRES_S)]


def test_two_counts_of_shards_lie_side_by_side(windows):
    # GIVEN the same shard, window and batch under eight shards and under sixteen
    eight, sixteen = windows, windows.under(16)
    here = [(partial(3, 17168, "a", s), EXPIRES_S + s) for s in range(30)]
    there = [(partial(3, 17168, "a", 0, 9), EXPIRES_S)]
    # WHEN
    eight.put_items(here)
    sixteen.put_items(there)
    # THEN
    assert list(eight.items(3)) == here
    assert list(sixteen.items(3)) == there
    eight.remove_shard(3)
    assert list(eight.items(3)) == []
    assert list(sixteen.items(3)) == there


def test_counters(windows):
    # GIVEN
    windows.raise_dirty([17175, 17168, 17175])
    # WHEN
    windows.set_closed({17175: 2})
    windows.set_closed({17175: 1})
    # THEN
    assert windows.control() == (WindowControl(17168, 1, 0), WindowControl(17175, 2, 2))


def test_watermarks_never_go_back(windows):
    # GIVEN
    windows.put_watermark("web", 100, 5)
    # WHEN
    windows.put_watermark("web", 50, 6)
    windows.put_watermark("till#2", 7, 8)
    # THEN
    assert windows.watermarks() == {"web": (100, 6), "till#2": (7, 8)}


def test_state_is_compared_and_set(windows):
    # GIVEN / WHEN / THEN
    assert windows.state("shards") is None
    assert not windows.put_state("shards", {"count": 4}, {"count": 2})
    assert windows.put_state("shards", {"count": 4, "zone": "UTC"}, None)
    assert not windows.put_state("shards", {"count": 8}, None)
    assert windows.put_state("shards", {"count": 8}, {"zone": "UTC", "count": 4})
    assert windows.state("shards") == {"count": 8}


def test_lease_is_free_own_or_expired(windows):
    # GIVEN / WHEN / THEN
    assert windows.acquire_lease("close", "a", 0, 10)
    assert windows.acquire_lease("close", "a", 1, 11)
    assert not windows.acquire_lease("close", "b", 10, 20)
    assert windows.acquire_lease("close", "b", 11, 21)
    windows.release_lease("close", "a")
    assert not windows.acquire_lease("close", "a", 12, 22)
    windows.release_lease("close", "b")
    assert windows.acquire_lease("close", "a", 12, 22)


def test_vocabulary(windows):
    # GIVEN more names than one BatchGetItem may ask for
    names = {2**63 + n: f"food/{n}" for n in range(130)}
    # WHEN
    windows.put_names(names)
    windows.put_names({2**63: "food/0"})
    # THEN
    assert windows.names([*names, 1, 2**63]) == names
    assert windows.names([]) == {}


def test_throttling_is_transient_and_a_mistake_is_not(windows, client, monkeypatch):
    # GIVEN
    def raising(code):
        def call(**_):
            raise ClientError({"Error": {"Code": code}}, "GetItem")

        return call

    # WHEN / THEN
    monkeypatch.setattr(client, "get_item", raising("ProvisionedThroughputExceededException"))
    with pytest.raises(TransientFault):
        windows.manifest("b1")
    monkeypatch.setattr(client, "get_item", raising("AccessDeniedException"))
    with pytest.raises(ClientError):
        windows.manifest("b1")


def test_alert_rows_compare_and_set(alerts):
    # GIVEN / WHEN / THEN
    assert alerts.get(17168, "u-01#drop") is None
    assert not alerts.put(ROW, 1)
    assert alerts.put(ROW, None)
    assert not alerts.put(ROW, None)
    assert alerts.put(replace(ROW, revision=2, state="sent"), 1)
    assert not alerts.put(replace(ROW, revision=2), 1)
    assert alerts.get(17168, "u-01#drop") == replace(ROW, revision=2, state="sent")


def test_alert_rows_by_window_and_state(alerts):
    # GIVEN
    rows = [
        replace(ROW, subject_kind="u-02#drop", state="sent"),
        replace(ROW, subject_kind="u-01#surge", state="held"),
        replace(ROW, window=17175, state="selected"),
        replace(ROW, window=17175, subject_kind="u-09#drop", state="folded"),
    ]
    # WHEN
    for row in rows:
        alerts.put(row, None)
    # THEN
    assert alerts.in_window(17168) == [rows[1], rows[0]]
    assert list(alerts.in_state(["selected", "held", "sending"])) == [rows[1], rows[2]]
    assert list(alerts.in_state(["sent"])) == [rows[0]]


def test_alert_rows_leave_the_index_and_expire(alerts, client):
    # GIVEN
    alerts.put(ROW, None)
    # WHEN
    alerts.put(replace(ROW, state="sent", revision=2), 1)
    # THEN
    (item,) = client.scan(TableName="alerts")["Items"]
    assert "pending" not in item
    assert int(item["expires"]["N"]) == ManualClock().now_ms() // 1000 + 86_400
