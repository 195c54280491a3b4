from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from swerve.domain.pseudonym import subject_of
from typer.testing import CliRunner

import cli.erase
from cli.main import app
from tests.erasing import IDS, SETTINGS, WHO, erase_deps, kept, traces, user_of
from tests.ingesting import SECRET

if TYPE_CHECKING:
    from tests.fakes import World

USER = user_of(WHO)


@dataclass
class FakeStack:
    """What erasing needs of a stack."""

    world: World = field(default_factory=kept)
    name: str = "shop"
    settings: Any = SETTINGS
    waiting: int = 0
    outputs: dict[str, str] = field(
        default_factory=lambda: {
            "PseudonymSecretArn": "arn",
            "UploadsBucketName": "uploads",
            "IngestQueueUrl": "url",
        }
    )

    def client(self, _: str) -> FakeStack:
        return self

    def get_secret_value(self, **_: str) -> dict[str, str]:
        return {"SecretString": SECRET}

    def get_queue_attributes(self, **asked: Any) -> dict[str, dict[str, str]]:
        assert asked["QueueUrl"] == "url"
        return {"Attributes": {name: str(self.waiting) for name in asked["AttributeNames"]}}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    fake = FakeStack()
    monkeypatch.setattr("cli.stack.open_stack", lambda _: fake)
    monkeypatch.setattr(
        "cli.erase._deps",
        lambda stack: erase_deps(stack.world, cli.erase._waiting_uploads(stack)),
    )
    return fake


def erase(*arguments: str, answer: str = "") -> Any:
    return CliRunner().invoke(app, ["erase", *arguments], input=answer)


def test_it_says_what_it_will_do_asks_and_reports(stack: FakeStack) -> None:
    # WHEN
    done = erase(WHO, answer="y\n")
    # THEN
    assert done.exit_code == 0, done.output
    before, after = done.output.split("Erase all this? It cannot be undone. [y/N]: y\nErased\n")
    assert before.startswith(f"Of {subject_of(USER)} stack shop keeps\n  events      ")
    assert before.partition("\n")[2] in after
    assert "2 uploads hold raw rows" in after
    assert "events/0.csv  v1" in after
    assert "1 alerts were told" in after
    assert "In 15 minutes" in after
    assert WHO not in done.output
    assert list(traces(stack.world, USER)) == []


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_happens(stack: FakeStack, answer: str) -> None:
    # WHEN
    done = erase(WHO, answer=answer)
    # THEN
    assert done.exit_code == 1
    assert stack.world.windows.stored == kept().windows.stored
    assert stack.world.data.files == kept().data.files


def test_a_dry_run_asks_nothing_and_changes_nothing(stack: FakeStack) -> None:
    # GIVEN
    stack.waiting = 1
    # WHEN
    done = erase(WHO, "--dry-run")
    # THEN
    assert done.exit_code == 0
    assert "Nothing was changed" in done.output
    assert "3 uploads wait or are being read" in done.output
    assert stack.world.data.files == kept().data.files


def test_a_pseudonym_will_do(stack: FakeStack) -> None:
    assert erase(subject_of(USER), "--yes").exit_code == 0
    assert list(traces(stack.world, USER)) == []


def test_a_second_time_there_is_nothing_and_it_says_so(stack: FakeStack) -> None:
    # GIVEN
    assert erase(f" {WHO} ", "--yes").exit_code == 0
    # WHEN
    done = erase(WHO, "--yes")
    # THEN
    assert done.exit_code == 1
    assert done.stderr == (
        f"swerve: nothing is kept of this customer ({subject_of(USER)}) in stack shop: never"
        " uploaded, or erased before; write the id as the uploads carry it, or a pseudonym with all"
        " its 16 digits\n"
    )


@pytest.mark.parametrize(
    ("customer", "said"),
    [
        ("nobody", "nothing is kept of this customer (u-"),
        ("u-15ed9aa4", "nothing is kept of this customer (u-"),
        (" ", "the id is empty: give the customer's id"),
    ],
)
def test_who_is_not_known_is_answered_in_one_line(
    stack: FakeStack, customer: str, said: str
) -> None:
    done = erase(customer, "--yes")
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert stack.world.windows.stored == kept().windows.stored


def test_who_may_still_come_is_not_said_to_be_unknown(stack: FakeStack) -> None:
    stack.waiting = 1
    done = erase("nobody", "--yes")
    assert done.exit_code == 1
    assert "yet, but 3 uploads wait or are being read: try again when they are" in done.stderr


def test_stopped_half_way_it_says_how_to_go_on(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack.world.eraser, "put", stop)
    # WHEN
    done = erase(WHO, "--yes")
    # THEN
    assert done.exit_code == 1
    assert "run the same command again to go on" in done.stderr
    monkeypatch.undo()
    assert stack.world.windows.leases == {}


def test_what_another_version_wrote_is_named(stack: FakeStack) -> None:
    # GIVEN
    stored = stack.world.windows.stored
    for key, item in stored.items():
        stored[key] = replace(item, data=item.data[:3] + b"\x01" + item.data[4:])
    # WHEN
    done = erase(WHO, "--yes")
    # THEN
    assert done.exit_code == 1
    assert "partial of another version" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_ids_of_others_are_not_needed(stack: FakeStack) -> None:
    for user_id in IDS:
        assert erase(user_id, "--yes").exit_code == 0
    assert stack.world.windows.stored == {}
    assert json.loads(stack.world.data.files["selection/window=2017-04-03.json"])["standings"] == []
