from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from swerve.erase import erase
from swerve.errors import SwerveError
from swerve.person import Records, find
from typer.testing import CliRunner

from cli import reshard
from cli import stack as stacks
from cli.main import app
from tests.closing import SETTINGS, Closer, history, upload, weeks_of
from tests.erasing import erase_deps
from tests.resharding import deps_of

if TYPE_CHECKING:
    from pathlib import Path

    from swerve.reshard import ReshardDeps

PARAMETERS = {"ShardCount": "2", "Window": "7d", "AlertEmail": "a@shop.example"}


@dataclass
class FakeFormation:
    """One stack whose updates take two looks, and may fail."""

    parameters: dict[str, str] = field(default_factory=lambda: dict(PARAMETERS))
    refuses: str = ""
    rolls_back: str = ""
    updates: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        assert StackName == "swerve"
        self.under_way = max(self.under_way - 1, 0)
        status = "UPDATE_IN_PROGRESS" if self.under_way else "UPDATE_COMPLETE"
        told = {"StackStatusReason": self.rolls_back} if self.rolls_back else {}
        parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()]
        outputs = [{"OutputKey": "Shards", "OutputValue": self.parameters["ShardCount"]}]
        described = {"StackStatus": status, "Parameters": parameters, "Outputs": outputs}
        return {"Stacks": [described | told]}

    def update_stack(self, **request: Any) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Message": self.refuses}}, "UpdateStack")
        self.updates.append(request)
        self.under_way = max(self.under_way, 3)
        for given in request["Parameters"]:
            if "ParameterValue" in given and not self.rolls_back:
                self.parameters[given["ParameterKey"]] = given["ParameterValue"]


@dataclass
class FakeStack:
    formation: FakeFormation = field(default_factory=FakeFormation)
    name: str = "swerve"
    endpoint: str | None = None

    def client(self, service: str) -> FakeFormation:
        assert service == "cloudformation"
        return self.formation


def deployment_of(stack: FakeStack) -> reshard.StackDeployment:
    return reshard.StackDeployment(stack, sleep=lambda _: None)  # type: ignore[arg-type]


def test_one_parameter_changes_and_all_others_stay() -> None:
    # GIVEN
    stack = FakeStack()
    # WHEN twice
    deployment_of(stack).set_shard_count(4)
    deployment_of(stack).set_shard_count(4)
    # THEN
    assert stack.formation.parameters == PARAMETERS | {"ShardCount": "4"}
    assert stack.formation.under_way == 0
    (update,) = stack.formation.updates
    assert update["UsePreviousTemplate"]
    assert {p["ParameterKey"] for p in update["Parameters"]} == PARAMETERS.keys()


@pytest.mark.parametrize("fault", ["refuses", "rolls_back"])
def test_a_stack_that_cannot_be_updated_says_how_to_go_on(fault: str) -> None:
    # GIVEN
    stack = FakeStack(FakeFormation(**{fault: "you may not"}))
    # WHEN / THEN
    with pytest.raises(SwerveError, match=r"you may not.*--parameter-overrides ShardCount=4"):
        deployment_of(stack).set_shard_count(4)


def test_an_update_that_never_ends_is_given_up() -> None:
    # GIVEN
    stack = FakeStack(FakeFormation(under_way=1_000_000))
    # WHEN / THEN
    with pytest.raises(SwerveError, match="UPDATE_IN_PROGRESS"):
        deployment_of(stack).set_shard_count(4)


def test_later_commands_know_the_local_stack_by_its_new_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN the note of `swerve up`
    monkeypatch.chdir(tmp_path)
    stacks.STATE.parent.mkdir()
    note = {"endpoint": "http://127.0.0.1:1", "pid": 7, "outputs": {"Shards": "2"}}
    stacks.STATE.write_text(json.dumps(note))
    # WHEN
    deployment_of(FakeStack(endpoint="http://127.0.0.1:1")).set_shard_count(4)
    # THEN
    assert json.loads(stacks.STATE.read_text()) == note | {"outputs": {"Shards": "4"}}
    # AND one of another address is left alone
    deployment_of(FakeStack(endpoint="http://127.0.0.1:2")).set_shard_count(8)
    assert json.loads(stacks.STATE.read_text())["outputs"] == {"Shards": "4"}


@dataclass
class StoredStack:
    """A stack that is all data."""

    closer: Closer = field(default_factory=Closer)
    name: str = "swerve"
    endpoint: str | None = None

    def __post_init__(self) -> None:
        for week in weeks_of(history())[:2]:
            upload(self.closer.world, week)
        self.settings, self.data = SETTINGS, self.closer.world.data

    @property
    def windows(self) -> Any:
        return self.closer.world.windows


@pytest.fixture
def stack() -> StoredStack:
    return StoredStack()


@pytest.fixture
def deps(stack: StoredStack, monkeypatch: pytest.MonkeyPatch) -> ReshardDeps:
    made = deps_of(stack.closer.world)
    monkeypatch.setattr(stacks, "open_stack", lambda _: stack)
    monkeypatch.setattr(reshard, "deps_of", lambda _: made)
    return made


def said(*arguments: str) -> str:
    return str(CliRunner().invoke(app, ["reshard", *arguments]).output)


def test_a_dry_run_tells_and_a_run_does(deps: ReshardDeps) -> None:
    # GIVEN
    stored = dict(deps.windows.under(2).stored)  # type: ignore[attr-defined]
    # WHEN
    told = said("--dry-run")
    # THEN
    assert "Nothing was changed. The largest: 4 users before" in told
    assert deps.windows.under(2).stored == stored  # type: ignore[attr-defined]
    # AND
    done = said()
    assert "2 shards are 4 now" in done
    assert "-> 3" in done
    assert "ShardCount=4 there too" in done
    assert f"{len(weeks_of(history())[0]) + len(weeks_of(history())[1])} packed = 0 unique" in done
    assert "to be closed + 0 erased" in done
    assert "There are 4 shards already" in said("--to", "4")


def test_wrong_uses_are_answered(deps: ReshardDeps) -> None:
    assert "swerve: --to 1 is less than the 2 shards" in said("--to", "1")
    assert "swerve: --to 3 is no power of two" in said("--to", "3")
    deps.windows.acquire_lease("close", "execution", deps.clock.now_ms(), 2**62)
    assert "swerve: the shards are in use: a close is running" in said()


def test_what_was_erased_is_said_and_not_missed(stack: StoredStack, deps: ReshardDeps) -> None:
    # GIVEN
    users, world = history().user, stack.closer.world
    where = Records(SETTINGS, deps.windows, deps.data)
    erase(erase_deps(world), find(where, users[:1], range(2)), "erasing")
    gone = sum(int((week.user == users[0]).sum()) for week in weeks_of(history())[:2])
    # WHEN
    done = said()
    # THEN
    assert f"+ {gone:,} erased" in done
    assert "the others expired" not in done


def test_what_was_lost_is_said(deps: ReshardDeps) -> None:
    # GIVEN
    stored = deps.windows.under(2).stored  # type: ignore[attr-defined]
    stored.pop(next(iter(stored)))
    # WHEN / THEN
    assert "the others expired" in said()
