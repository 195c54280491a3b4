"""`swerve reshard`: more shards for a stack that has grown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from swerve.errors import SwerveError

from cli.options import StackName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swerve.ledger import Ledger
    from swerve.reshard import Outcome, Portion, ReshardDeps, Size, Task

    from cli.stack import Stack

_PARAMETER = "ShardCount"
_PATIENCE_S = 1800
_LOOK_S = 1.0


def reshard(
    to: Annotated[
        int | None,
        typer.Option(help="So many shards, a power of two.", show_default="twice as many"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what each shard holds, and would hold.")
    ] = False,
    stack: StackName = None,
) -> None:
    """Split every shard in two, when one holds more than 8,000 users.

    Uploads wait in their queue meanwhile. Interrupted, it is finished by calling it again.

    [dim]Example:[/dim]  swerve reshard --dry-run && swerve reshard
    """
    from swerve.reshard import survey, task

    from cli.stack import open_stack

    opened = open_stack(stack)
    deps = deps_of(opened)
    asked = task(deps, to)
    if asked is None:
        typer.echo(f"There are {to} shards already: nothing is to be done.")
        return
    if asked.is_begun:
        typer.echo(f"A split from {asked.before} into {asked.after} shards was interrupted.")
    if dry_run:
        told = _Told()
        for portion in survey(deps, asked):
            told(portion)
        typer.echo(f"Nothing was changed. {told.largest}")
        return
    split(opened, deps, asked)


def split(stack: Stack, deps: ReshardDeps, asked: Task) -> None:
    """Do it, and say what became of every shard and every row."""
    from swerve.ledger import ledger
    from swerve.reshard import reshard as split_stored

    told, began = _Told(), time.monotonic()
    outcome = split_stored(deps, asked, f"reshard-{uuid4().hex[:12]}", told)
    typer.echo(
        f"{asked.before} shards are {asked.after} now, after {time.monotonic() - began:.0f} s."
        f" {told.largest}"
    )
    for line in _remarks(outcome, asked, local=stack.endpoint is not None):
        typer.echo(line)
    balance = ledger(stack.windows, stack.data, stack.settings.windows)
    typer.echo(_balance(balance))
    if not balance.balanced:
        raise SwerveError("the ledger does not balance: please report this")


def _remarks(outcome: Outcome, asked: Task, *, local: bool) -> Iterator[str]:
    if outcome.events != outcome.promised:
        yield (
            f"Of {outcome.promised:,} events that should be there, {outcome.events:,} are kept:"
            " the others expired, or a close will say which batch to upload again."
        )
    if outcome.unplaced:
        yield (
            f"Of {outcome.unplaced:,} users no event is kept, so where they belong is not known:"
            " one who comes back may count as new."
        )
    if not local:
        yield (
            f"{_PARAMETER} of the stack is {asked.after}. Where samconfig.toml or a pipeline names"
            f" it, write {_PARAMETER}={asked.after} there too."
        )


def _balance(found: Ledger) -> str:
    return (
        f"Ledger: {found.rows:,} rows = {found.packed:,} packed"
        f" + {found.duplicates_in_file:,} repeated in a file"
        f" + {sum(found.rejected.values()):,} rejected;"
        f" {found.packed:,} packed = {found.unique:,} unique"
        f" + {found.duplicates_across:,} repeated across files + {found.waiting:,} to be closed"
        f" + {found.erased:,} erased"
    )


@dataclass
class _Told:
    """Prints every shard as it comes, and remembers the largest."""

    shards: int = 0
    before: int = 0
    after: int = 0

    def __call__(self, portion: Portion) -> None:
        if not self.shards:
            typer.echo(f"{'shard':>12}  {'users':>9}  {'items':>9}  {'MB':>9}")
        self.shards += 1
        typer.echo(_row(str(portion.shard), portion.held))
        for shard, size in portion.after.items():
            typer.echo(_row(f"-> {shard}", size))
            self.after = max(self.after, size.users)
        self.before = max(self.before, portion.held.users)

    @property
    def largest(self) -> str:
        return f"The largest: {self.before:,} users before, {self.after:,} after (aim at 4,000)."


def _row(name: str, size: Size) -> str:
    return f"{name:>12}  {size.users:9,}  {size.items:9,}  {size.data_bytes / 1e6:9.2f}"


def deps_of(stack: Stack) -> ReshardDeps:
    """The ports of a stack."""
    from swerve.adapters import aws
    from swerve.adapters.clock import SystemClock
    from swerve.reshard import ReshardDeps

    of = stack.settings
    return ReshardDeps(
        of,
        aws.windows(of, stack.client("dynamodb")),
        aws.data(of, stack.client("s3")),
        aws.score_queue(of, stack.client("sqs")),
        StackDeployment(stack),
        SystemClock(),
    )


@dataclass(frozen=True, slots=True)
class StackDeployment:
    """The parameters of a CloudFormation stack, local or deployed.

    The stack is updated, not its functions one by one: so no later deployment undoes it unseen.
    """

    stack: Stack
    sleep: Callable[[float], None] = time.sleep

    def set_shard_count(self, shard_count: int) -> None:
        """Give all functions the new count, and return when they have it."""
        from botocore.exceptions import ClientError

        from cli.stack import note_outputs

        wanted = str(shard_count)
        known = _parameters(self._described())
        if known[_PARAMETER] != wanted:
            others = known.keys() - {_PARAMETER}
            try:
                self.stack.client("cloudformation").update_stack(
                    StackName=self.stack.name,
                    UsePreviousTemplate=True,
                    Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
                    Parameters=[
                        {"ParameterKey": _PARAMETER, "ParameterValue": wanted},
                        *({"ParameterKey": k, "UsePreviousValue": True} for k in sorted(others)),
                    ],
                )
            except ClientError as refused:
                raise self._not_set(wanted, refused.response["Error"]["Message"]) from refused
        described = self._settled()
        status = described["StackStatus"]
        if status.endswith("IN_PROGRESS") or _parameters(described)[_PARAMETER] != wanted:
            raise self._not_set(wanted, described.get("StackStatusReason", status))
        note_outputs(self.stack, described)

    def _settled(self) -> dict[str, Any]:
        """Describe the stack once no update is under way, or patience ends."""
        for _ in range(int(_PATIENCE_S / _LOOK_S)):
            if not self._described()["StackStatus"].endswith("IN_PROGRESS"):
                break
            self.sleep(_LOOK_S)
        return self._described()

    def _described(self) -> dict[str, Any]:
        formation = self.stack.client("cloudformation")
        found: dict[str, Any] = formation.describe_stacks(StackName=self.stack.name)["Stacks"][0]
        return found

    def _not_set(self, wanted: str, why: str) -> SwerveError:
        return SwerveError(
            f"stack {self.stack.name}: {_PARAMETER} could not be set to {wanted}: {why}; uploads"
            " wait until it is. Mend that, or run `sam deploy --parameter-overrides"
            f" {_PARAMETER}={wanted}`; then run `swerve reshard` again, which finishes the work"
        )


def _parameters(described: dict[str, Any]) -> dict[str, str]:
    return {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}
