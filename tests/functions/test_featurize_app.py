"""The featurize function's handler: which messages are taken, answered, or left to the queue."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.ingesting import FIXTURES, deps_of, new_world

if TYPE_CHECKING:
    from types import ModuleType

    from tests.fakes import World

APP = Path(__file__).parents[2] / "functions/featurize/app.py"
CONTEXT = SimpleNamespace(
    function_name="featurize",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:featurize",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 200_000,
)
BODY = (FIXTURES / "sources/canonical.csv").read_bytes()


@pytest.fixture
def world() -> World:
    return new_world()


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    spec = importlib.util.spec_from_file_location("featurize_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "build", lambda: deps_of(world))
    return module


def message(name: str, body: Any, receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": name,
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
    }


def notice(key: str, version: str = "v1") -> dict[str, Any]:
    s3 = {"bucket": {"name": "uploads"}, "object": {"key": key, "versionId": version}}
    return {"Records": [{"s3": s3}]}


def failed(app: ModuleType, *messages: dict[str, Any]) -> list[str]:
    answer = app.handler({"Records": list(messages)}, CONTEXT)
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


def test_keys_arrive_encoded(app: ModuleType, world: World) -> None:
    # GIVEN a key with what S3 encodes: a space, an equals sign, a plus, Chinese
    key = "events/dt=2026-11-24/p 1+二.csv"
    world.uploads.add(key, BODY, world.clock.ms)
    # WHEN its notification comes
    encoded = "events/dt%3D2026-11-24/p+1%2B%E4%BA%8C.csv"
    # THEN it is taken
    assert failed(app, message("1", notice(encoded))) == []
    assert [manifest.key for manifest in world.windows.batches.values()] == [key]


def test_one_bad_message_does_not_hold_up_the_others(app: ModuleType, world: World) -> None:
    world.uploads.add("events/a.csv", BODY, world.clock.ms)
    messages = [
        message("bad", "not json"),
        message("odd", {"x": 1}),
        message("good", notice("events/a.csv")),
    ]
    assert failed(app, *messages) == ["bad", "odd"]
    assert len(world.windows.batches) == 1


@pytest.mark.parametrize(
    ("key", "body"),
    [("events/_SUCCESS", b"x"), ("events/.hidden", b"x"), ("events/a/", b"x"), ("events/b", b"")],
)
def test_what_is_no_data_is_acknowledged(
    app: ModuleType, world: World, key: str, body: bytes
) -> None:
    world.uploads.add(key, body, world.clock.ms)
    assert failed(app, message("1", notice(key))) == []
    assert not world.data.files


def test_the_test_event_is_acknowledged(app: ModuleType) -> None:
    assert failed(app, message("1", {"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []


def test_permanent_faults_are_answered_and_transient_ones_are_retried(
    app: ModuleType, world: World
) -> None:
    # GIVEN a file that can never be read, one that is gone, and a throttled table
    world.uploads.add("events/rubbish", b"\0" * 1000, world.clock.ms)
    assert failed(app, message("1", notice("events/rubbish")), message("2", notice("gone"))) == []
    assert "receipts/events/rubbish/v1.json" in world.data.files
    world.uploads.add("events/a.csv", BODY, world.clock.ms)
    world.faults.throttle = 1.0
    assert failed(app, message("3", notice("events/a.csv"))) == ["3"]


def test_a_second_timeout_ends_as_a_receipt(
    app: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file for which time never suffices
    world.uploads.add("events/a.csv", BODY, world.clock.ms)
    monkeypatch.setattr(CONTEXT, "get_remaining_time_in_millis", lambda: 1000)
    # THEN it is tried twice, and then answered for good
    assert failed(app, message("1", notice("events/a.csv"), receives=1)) == ["1"]
    assert failed(app, message("1", notice("events/a.csv"), receives=2)) == []
    assert json.loads(world.data.files["receipts/events/a.csv/v1.json"])["reason"] == "too_slow"
