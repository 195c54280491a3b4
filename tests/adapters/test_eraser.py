from __future__ import annotations

from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from swerve.adapters.alerts import DynamoAlerts
from swerve.adapters.dynamodb import DynamoWindows
from swerve.adapters.eraser import AwsEraser
from swerve.domain.manifest import Erased
from swerve.errors import TransientFault
from swerve.ports import LAYOUT, AlertRow, PartialItem, UploadedObject
from swerve.settings import Settings

from tests.domain.manifests import manifest
from tests.fakes import ManualClock

SETTINGS = Settings(
    data_bucket="data", windows_table="windows", alerts_table="alerts", shard_count=4
)
EXPIRES_S = 2_000_000_000
WINDOW = 17168
PARTIAL = PartialItem(3, WINDOW, "b1", 0, b"mine and yours", 5)
MANIFEST = manifest(windows={WINDOW: 5, WINDOW + 7: 2}, shards=(3,))


class Cloud:
    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb", region_name="us-east-1")
        self.s3 = boto3.client("s3", region_name="us-east-1")
        names = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
        kinds = zip(("pk", "sk"), ("HASH", "RANGE"), strict=True)
        schema = [{"AttributeName": name, "KeyType": kind} for name, kind in kinds]
        for table in ("windows", "alerts"):
            self.dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=schema,
                AttributeDefinitions=names,
            )
        self.s3.create_bucket(Bucket="data")
        self.s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
        self.windows = DynamoWindows(self.dynamodb, "windows", SETTINGS.shard_count)
        self.eraser = AwsEraser(self.dynamodb, self.s3, SETTINGS)

    def store(self) -> None:
        self.windows.put_state(LAYOUT, SETTINGS.layout, None)
        self.windows.put_partials([PARTIAL], EXPIRES_S)
        self.windows.put_manifest(MANIFEST, EXPIRES_S, SETTINGS.layout)

    def items(self) -> list[dict]:
        found = self.dynamodb.scan(TableName="windows")["Items"]
        return [item for item in found if item["pk"]["S"] != "control"]

    def put(self, key: str, *bodies: bytes) -> None:
        for body in bodies:
            self.eraser.put(key, body, "text/plain")

    def versions(self) -> list[str]:
        listed = self.s3.list_object_versions(Bucket="data")
        return sorted(
            v["Key"] for kind in ("Versions", "DeleteMarkers") for v in listed.get(kind, ())
        )


@pytest.fixture
def cloud(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Cloud()


def test_a_partial_and_its_manifest_change_together(cloud):
    # GIVEN
    cloud.store()
    after = MANIFEST.erase(WINDOW, Erased(3, 2))
    # WHEN
    cloud.eraser.replace_partial(PARTIAL, b"yours", MANIFEST, after)
    # THEN
    assert list(cloud.windows.partials(3, 0, 36_500)) == [replace(PARTIAL, data=b"yours", events=2)]
    assert cloud.windows.manifest("b1") == after
    assert after.held == {WINDOW: 2, WINDOW + 7: 2}
    # what expires does so on the same day
    assert {item["expires"]["N"] for item in cloud.items()} == {str(EXPIRES_S)}
    # WHEN the rest goes too
    last = after.erase(WINDOW, Erased(2, 2))
    cloud.eraser.replace_partial(replace(PARTIAL, events=2), b"", after, last)
    # THEN
    assert list(cloud.windows.partials(3, 0, 36_500)) == []
    assert cloud.windows.manifest("b1").erased == {WINDOW: Erased(5, 4)}


def test_neither_changes_where_one_is_not_as_it_was_read(cloud):
    # GIVEN
    cloud.store()
    once, twice = (MANIFEST.erase(WINDOW, Erased(n, n)) for n in (1, 2))
    cloud.eraser.replace_partial(PARTIAL, b"less", MANIFEST, once)
    before = cloud.items()
    # WHEN the manifest is another one
    for stale in (MANIFEST, twice):
        with pytest.raises(TransientFault, match="run the same command again"):
            cloud.eraser.replace_partial(PARTIAL, b"", stale, twice)
    # or the partial has expired
    with pytest.raises(TransientFault, match="b1 was changed, split or expired"):
        cloud.eraser.replace_partial(replace(PARTIAL, segment=9), b"x", once, twice)
    # THEN
    assert cloud.items() == before


def test_nothing_changes_while_shards_are_split(cloud):
    # GIVEN
    cloud.store()
    before = cloud.items()
    cloud.windows.put_state(LAYOUT, SETTINGS.layout | {"to": 8}, SETTINGS.layout)
    # WHEN / THEN
    with pytest.raises(TransientFault, match="b1 was changed, split or expired"):
        cloud.eraser.replace_partial(PARTIAL, b"", MANIFEST, MANIFEST.erase(WINDOW, Erased(5, 5)))
    assert cloud.items() == before


def test_what_was_erased_stays_so_when_a_split_amends_the_manifest(cloud):
    # GIVEN a manifest that was read before
    cloud.store()
    after = MANIFEST.erase(WINDOW, Erased(3, 2))
    cloud.eraser.replace_partial(PARTIAL, b"yours", MANIFEST, after)
    # WHEN
    cloud.windows.amend_manifest(replace(MANIFEST, shards=(6, 7), segments=3))
    # THEN
    assert cloud.windows.manifest("b1") == replace(after, shards=(6, 7), segments=3)


def test_a_partial_of_a_former_count_is_deleted_alone(cloud):
    # GIVEN
    cloud.store()
    cloud.windows.under(8).put_partials([PARTIAL], EXPIRES_S)
    # WHEN
    cloud.eraser.remove_partial(PARTIAL, 8)
    # THEN
    assert list(cloud.windows.under(8).partials(3, 0, 36_500)) == []
    assert list(cloud.windows.partials(3, 0, 36_500)) == [PARTIAL]


def test_what_is_no_conflict_passes_as_it_is(cloud, monkeypatch):
    def denied(**_):
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems")

    monkeypatch.setattr(cloud.dynamodb, "transact_write_items", denied)
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.eraser.replace_partial(PARTIAL, b"", MANIFEST, MANIFEST)


def test_items_are_deleted_once_and_again(cloud):
    # GIVEN
    cloud.store()
    row = AlertRow(WINDOW, "u-01#drop", "A1", "sending", "open", "low", "{}", 1)
    alerts = DynamoAlerts(cloud.dynamodb, "alerts", 86_400, ManualClock())
    alerts.put(row, None)
    # WHEN
    for _ in range(2):
        cloud.eraser.remove_partial(PARTIAL, SETTINGS.shard_count)
        cloud.eraser.remove_alert(row)
    # THEN
    assert list(cloud.windows.partials(3, 0, 36_500)) == []
    assert alerts.get(WINDOW, "u-01#drop") is None


def test_old_versions_go_and_present_ones_stay(cloud):
    # GIVEN
    cloud.put("checkpoints/window=a/shard=0001.bin", b"1", b"2")
    cloud.put("checkpoints/window=a/shard=0002.bin", b"1", b"2")
    cloud.put("pages/a.html", b"1", b"2")
    cloud.put("pages/b.html", b"1")
    cloud.eraser.remove(["pages/a.html"])
    # WHEN
    cloud.eraser.remove_old_versions("pages/")
    cloud.eraser.remove_old_versions("checkpoints/", ["/shard=0001.bin", "/shard=0007.bin"])
    cloud.eraser.remove_old_versions("checkpoints/", [])
    # THEN
    assert cloud.versions() == [
        "checkpoints/window=a/shard=0001.bin",
        *["checkpoints/window=a/shard=0002.bin"] * 2,
        "pages/b.html",
    ]
    body = cloud.s3.get_object(Bucket="data", Key="checkpoints/window=a/shard=0001.bin")["Body"]
    assert body.read() == b"2"


def test_files_are_deleted_by_the_thousand(cloud):
    # GIVEN
    keys = [f"runs/r/{n:04d}" for n in range(1003)]
    for key in keys:
        cloud.put(key, b"")
    # WHEN
    cloud.eraser.remove(keys)
    cloud.eraser.remove([])
    cloud.eraser.remove_old_versions("runs/")
    # THEN
    assert cloud.versions() == []


def test_a_file_that_stays_is_told(cloud, monkeypatch):
    failed = {"Errors": [{"Key": "pages/a.html", "Code": "AccessDenied", "Message": "not yours"}]}
    monkeypatch.setattr(cloud.s3, "delete_objects", lambda **_: failed)
    with pytest.raises(TransientFault, match=r"pages/a.html was not deleted, not yours"):
        cloud.eraser.remove(["pages/a.html"])


def test_uploads_are_listed_by_version(cloud):
    # GIVEN
    from swerve.adapters.s3 import S3Uploads

    cloud.put("events/a.csv", b"12", b"345")
    # WHEN
    found = dict(S3Uploads(cloud.s3).stored("data"))
    # THEN
    assert sorted(found.values()) == [2, 3]
    assert all(uploaded.version for uploaded in found)
    assert {uploaded.key for uploaded in found} == {"events/a.csv"}
    assert isinstance(next(iter(found)), UploadedObject)
