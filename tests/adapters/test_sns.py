"""Topics: what SNS accepts, what it would silently drop, and the outbox that shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns import sns_backends
from swerve.adapters import aws
from swerve.adapters.outbox import OutboxTopic
from swerve.adapters.sns import SnsTopic, encoded
from swerve.settings import Settings

from tests.fakes import FakeData, FakeTopic, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.fixture
def arn() -> str:
    return str(boto3.client("sns").create_topic(Name="alerts")["TopicArn"])


def published(arn: str) -> list[Any]:
    topic = sns_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].topics[arn]
    return list(topic.sent_notifications)


def test_publishes_text_subject_and_typed_attributes(arn: str) -> None:
    topic = SnsTopic(boto3.client("sns"), arn)
    message_id = topic.publish("body", "Subject", {"severity": "high", "use_case": ["a", "b"]})
    ((sent_id, message, subject, attributes, _),) = published(arn)
    assert (sent_id, message, subject) == (message_id, "body", "Subject")
    assert attributes["severity"]["Value"] == "high"
    assert attributes["use_case"] == {"Type": "String.Array", "Value": '["a", "b"]'}


def test_subscribers_get_what_their_filter_asks_for(arn: str) -> None:
    # GIVEN the supply chain's queue, that wants its own alerts of high severity
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName="supply")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    policy = {"use_case": ["supply_chain"], "severity": ["high", "critical"]}
    sns.subscribe(
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=queue_arn["Attributes"]["QueueArn"],
        Attributes={"FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"},
    )
    # WHEN
    topic = SnsTopic(sns, arn)
    topic.publish("stock", None, {"use_case": ["campaign", "supply_chain"], "severity": "high"})
    topic.publish("calm", None, {"use_case": ["supply_chain"], "severity": "low"})
    topic.publish("mail", None, {"use_case": ["campaign"], "severity": "high"})
    # THEN
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in got] == ["stock"]


def test_too_many_attributes_are_refused_before_sns_drops_them() -> None:
    with pytest.raises(ValueError, match="11 attributes"):
        encoded({f"a{n}": "x" for n in range(11)})


class Choosy:
    """An SNS that takes ASCII subjects only."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    def publish(self, **request: Any) -> dict[str, str]:
        self.subjects.append(request["Subject"])
        if not request["Subject"].isascii():
            raise ClientError({"Error": {"Code": "InvalidParameter"}}, "Publish")
        return {"MessageId": "1"}


def test_a_refused_subject_is_sent_once_more_in_ascii() -> None:
    sns = Choosy()
    assert SnsTopic(sns, "arn").publish("body", "Café → 81%", {}) == "1"
    assert sns.subjects == ["Café → 81%", "Cafe -> 81%"]


def test_other_refusals_are_not_hidden(arn: str) -> None:
    topic = SnsTopic(boto3.client("sns"), arn + "-gone")
    with pytest.raises(ClientError, match="NotFound"):
        topic.publish("body", None, {})


@pytest.mark.parametrize(
    ("channel", "subject", "shown", "ending"),
    [
        ("email", "Hello", "Subject: Hello\n\nbody", ".txt"),
        ("sms", None, "body", ".txt"),
        ("events", None, "body", ".json"),
    ],
)
def test_the_outbox_shows_what_a_subscriber_gets(
    channel: str, subject: str | None, shown: str, ending: str
) -> None:
    data, topic = FakeData(), FakeTopic()
    outbox = OutboxTopic(data, channel, ManualClock(), topic)
    assert outbox.publish("body", subject, {"a": "b"}) == "message-1"
    ((key, body),) = data.files.items()
    assert key.startswith(f"outbox/{channel}/20260101T000000.000000-")
    assert key.endswith(ending)
    assert body.decode() == shown
    assert topic.published[0].attributes == {"a": "b"}


def test_topics_of_the_settings() -> None:
    settings = Settings(email_topic_arn="arn:e", events_topic_arn="arn:v", data_bucket="b")
    assert set(aws.topics(settings, boto3.client("sns"))) == {"email", "events"}
    shown = Settings(email_topic_arn="arn:e", outbox="on", data_bucket="b")
    assert isinstance(aws.topics(shown, boto3.client("sns"))["email"], OutboxTopic)
