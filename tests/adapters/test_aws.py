from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from swerve.adapters import aws
from swerve.errors import TransientFault, UploadGone
from swerve.ports import UploadedObject
from swerve.settings import Settings


@pytest.fixture
def cloud(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.client.cache_clear()
    with mock_aws():
        yield lambda service: boto3.client(service, region_name="us-east-1")
    aws.client.cache_clear()


def test_uploads_are_read_by_version(cloud, tmp_path):
    # GIVEN
    s3 = cloud("s3")
    s3.create_bucket(Bucket="uploads")
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    put = {"Bucket": "uploads", "Key": "events/a b.csv"}
    first = s3.put_object(**put, Body=b"one", Metadata={"source": "web"})["VersionId"]
    second = s3.put_object(**put, Body=b"three")["VersionId"]
    uploads = aws.uploads(Settings())
    # WHEN
    old = UploadedObject("uploads", "events/a b.csv", first)
    uploads.download(old, tmp_path / "old")
    uploads.download(UploadedObject("uploads", "events/a b.csv"), tmp_path / "new")
    # THEN
    assert (tmp_path / "old").read_bytes() == b"one"
    assert (tmp_path / "new").read_bytes() == b"three"
    head = uploads.head(old)
    assert (head.size_bytes, dict(head.metadata)) == (3, {"source": "web"})
    assert head.uploaded_ms > 1_700_000_000_000
    s3.delete_object(**put, VersionId=second)
    for gone in (
        UploadedObject("uploads", "events/a b.csv", second),
        UploadedObject("uploads", "x"),
    ):
        with pytest.raises(UploadGone):
            uploads.head(gone)
        with pytest.raises(UploadGone):
            uploads.download(gone, tmp_path / "gone")


def test_data_files(cloud):
    # GIVEN
    cloud("s3").create_bucket(Bucket="data")
    data = aws.data(Settings(data_bucket="data"))
    # WHEN
    for n in (2, 10, 1):
        data.put(f"runs/r/{n:02d}", bytes([n]), "application/zip")
    data.put("runs/r/01", b"\xff")
    # THEN
    assert data.get("runs/r/01") == b"\xff"
    assert data.get("runs/r/03") is None
    assert list(data.keys("runs/r/")) == ["runs/r/01", "runs/r/02", "runs/r/10"]
    for _ in range(2):
        data.remove("runs/r/02")
    assert list(data.keys("runs/r/")) == ["runs/r/01", "runs/r/10"]
    with pytest.raises(ClientError):  # a bucket that is not there is no missing file
        aws.data(Settings(data_bucket="nowhere")).get("a")


def test_queues_send_in_batches(cloud):
    # GIVEN
    sqs = cloud("sqs")
    url = sqs.create_queue(QueueName="score")["QueueUrl"]
    queue = aws.score_queue(Settings(score_queue_url=url))
    bodies = [json.dumps({"shard": n}) for n in range(23)] + ["x" * 200_000, "y" * 200_000]
    # WHEN
    queue.send(bodies)
    queue.send([])
    # THEN
    received: list[str] = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        received += [message["Body"] for message in found]
    assert sorted(received) == sorted(bodies)


def test_a_message_that_fails_alone_is_transient(cloud, monkeypatch):
    # GIVEN
    client = cloud("sqs")
    monkeypatch.setattr(
        client,
        "send_message_batch",
        lambda **_: {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]},
    )
    # WHEN / THEN
    with pytest.raises(TransientFault, match="1 of 1"):
        aws.notify_queue(Settings(notify_queue_url="q"), client).send(["a"])


def test_a_close_is_started_once(cloud):
    # GIVEN
    states = cloud("stepfunctions")
    role = "arn:aws:iam::123456789012:role/r"
    arn = states.create_state_machine(
        name="close",
        definition='{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}',
        roleArn=role,
    )["stateMachineArn"]
    starter = aws.workflow(Settings(close_workflow_arn=arn))
    # WHEN
    starter.start("2017-01-02-0", {"reason": "watermark"})
    starter.start("2017-01-02-0", {"reason": "watermark", "again": True})
    # THEN
    assert len(states.list_executions(stateMachineArn=arn)["executions"]) == 1
    with pytest.raises(ClientError):
        aws.workflow(Settings(close_workflow_arn=arn + "x")).start("a", {})


def test_the_secret_is_read(cloud):
    # GIVEN
    cloud("secretsmanager").create_secret(Name="keys", SecretString='{"current": "k"}')
    # WHEN / THEN
    assert aws.secret(Settings(secret_id="keys")) == '{"current": "k"}'


def test_a_lost_connection_is_transient(cloud, monkeypatch):
    # GIVEN
    client = cloud("s3")

    def broken(**_):
        raise EndpointConnectionError(endpoint_url="https://s3")

    monkeypatch.setattr(client, "put_object", broken)
    # WHEN / THEN
    with pytest.raises(TransientFault):
        aws.data(Settings(data_bucket="data"), client).put("a", b"")


def test_clients_are_made_when_first_needed(cloud):
    # GIVEN / WHEN
    aws.data(Settings(data_bucket="data"))
    aws.data(Settings(data_bucket="data"))
    # THEN
    assert aws.client.cache_info().currsize == 1
