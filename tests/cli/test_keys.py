from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from swerve.domain.pseudonym import Keyring
from swerve.errors import SwerveError

from cli import keys

FIRST = json.dumps({"current": "a-secret-of-some-length"})


@dataclass
class FakeStack:
    """A stack that is all secret."""

    text: str = FIRST
    outputs: dict[str, str] = field(default_factory=lambda: {"PseudonymSecretArn": "arn"})
    settings: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(horizon_days=35))

    def client(self, _: str) -> FakeStack:
        return self

    def get_secret_value(self, **_: str) -> dict[str, str]:
        return {"SecretString": self.text}

    def put_secret_value(self, SecretId: str, SecretString: str) -> None:
        assert SecretId == "arn"
        self.text = SecretString


def test_a_rotation_changes_pseudonyms_and_keeps_shards() -> None:
    # GIVEN
    stack = FakeStack()
    # WHEN
    said = keys.rotate(stack)
    # THEN
    before, after = (Keyring.parse(t).pseudonyms(["4711"]) for t in (FIRST, stack.text))
    assert after.users[0] != before.users[0]
    assert after.previous[0] == before.users[0]
    assert after.routing[0] == before.routing[0]
    assert "In 35 days" in said


def test_a_second_rotation_waits_until_the_first_key_is_forgotten() -> None:
    # GIVEN
    stack = FakeStack()
    keys.rotate(stack)
    # WHEN / THEN
    with pytest.raises(SwerveError, match="--forget"):
        keys.rotate(stack)
    assert keys.forget(stack) == "The previous key is gone."
    assert keys.forget(stack) == "There is no previous key to forget."
    keys.rotate(stack)
    routing = {Keyring.parse(text).routing for text in (FIRST, stack.text)}
    assert len(routing) == 1
