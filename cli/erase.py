"""`swerve erase`: take one customer out of a stack, and say what only others can delete."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swerve.errors import SwerveError

from cli.options import StackName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from swerve.erase import EraseDeps, Report
    from swerve.person import Person

    from cli.stack import Stack

_PSEUDONYM = re.compile(r"u-[0-9a-f]{16}")
_WAITING = ("", "NotVisible", "Delayed")


def erase(
    customer: Annotated[
        str,
        typer.Argument(
            metavar="CUSTOMER_ID",
            help="The customer's id as the uploads carry it, or the whole pseudonym: u- and 16 hex"
            " digits (slower: all shards are looked through).",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be erased, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: StackName = None,
) -> None:
    """Erase all that is kept of one customer; it cannot be undone.

    Nothing of anybody else changes, and nobody is told. Stopped half-way, the same command goes on.

    What only you can delete is listed at the end: uploaded files, messages sent, backups.

    It needs the rights to read the stack's secret and to delete in its tables and data bucket.

    [dim]Example:[/dim]  swerve erase 4711 --dry-run --stack swerve
    """
    from swerve.erase import survey
    from swerve.person import Records, find

    from cli.stack import open_stack

    if not customer.strip():
        raise SwerveError("the id is empty: give the customer's id as the uploads carry it")
    opened = open_stack(stack)
    deps = _deps(opened)
    users, shards = _pseudonyms(opened, customer.strip())
    with _readable(opened):
        person = find(Records(deps.settings, deps.windows, deps.data), users, shards)
        plan = survey(deps, person)
    name = " ".join(person.subjects)
    if not plan.anything:
        raise SwerveError(_nobody(name, opened.name, plan.waiting_uploads))
    typer.echo("\n".join([f"Of {name} stack {opened.name} keeps", *_places(plan)]))
    if dry_run:
        typer.echo("\n".join(_left(opened, plan)))
        typer.echo("Nothing was changed: leave out --dry-run to erase.")
        return
    if not yes:
        typer.confirm("Erase all this? It cannot be undone.", abort=True)
    with _readable(opened):
        done = _go_through(deps, person)
    typer.echo("\n".join(["Erased", *_places(done), *_left(opened, done)]))
    typer.echo(
        "In 15 minutes run the same command again: a function that was at work just now may have"
        " written once more. It should find nothing."
    )


def _nobody(name: str, stack: str, waiting_uploads: int) -> str:
    if waiting_uploads:
        return (
            f"nothing is kept of this customer ({name}) in stack {stack} yet, but"
            f" {waiting_uploads:,} uploads wait or are being read: try again when they are"
        )
    return (
        f"nothing is kept of this customer ({name}) in stack {stack}: never uploaded, or erased"
        " before; write the id as the uploads carry it, or a pseudonym with all its 16 digits"
    )


def _go_through(deps: EraseDeps, person: Person) -> Report:
    import secrets

    from swerve.erase import erase as erase_all

    try:
        return erase_all(deps, person, f"erase-{secrets.token_hex(4)}")
    except KeyboardInterrupt as stopped:
        raise SwerveError(
            "stopped half-way: some of the customer is left, and the stack works on;"
            " run the same command again to go on"
        ) from stopped


@contextmanager
def _readable(stack: Stack) -> Iterator[None]:
    """Tell what is packed in another way from a fault of our own."""
    try:
        yield
    except ValueError as wrong:
        raise SwerveError(
            f"stack {stack.name} holds what this version cannot read ({wrong}):"
            " erase with the version that wrote it, or upgrade the stack (docs/operations.md)"
        ) from wrong


def _deps(stack: Stack) -> EraseDeps:
    from swerve.adapters import aws
    from swerve.adapters.clock import SystemClock
    from swerve.adapters.eraser import AwsEraser
    from swerve.erase import EraseDeps

    s3 = stack.client("s3")
    return EraseDeps(
        stack.settings,
        stack.windows,
        stack.data,
        stack.alerts,
        aws.uploads(stack.settings, s3),
        AwsEraser(stack.client("dynamodb"), s3, stack.settings),
        SystemClock(),
        lambda: _waiting_uploads(stack),
    )


def _pseudonyms(stack: Stack, customer: str) -> tuple[NDArray[np.uint64], Iterable[int]]:
    """Pseudonyms to begin with, and where to look: an id leads to few shards, a name to all."""
    import numpy as np
    from swerve.domain.shard import homes_of, shard_of

    from cli import keys

    count = stack.settings.shard_count
    if _PSEUDONYM.fullmatch(customer):
        return np.array([int(customer[2:], 16)], np.uint64), range(count)
    table = keys.keyring(stack).pseudonyms([customer])
    known = np.concatenate([table.users, table.previous[table.previous != 0]])
    return known, homes_of(int(shard_of(table.routing, count)[0]), count)


def _waiting_uploads(stack: Stack) -> int:
    names: list[Any] = [f"ApproximateNumberOfMessages{which}" for which in _WAITING]
    told = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs["IngestQueueUrl"], AttributeNames=names
    )["Attributes"]
    return sum(int(told[name]) for name in names)


def _places(report: Report) -> Iterator[str]:
    """What was found, by place."""
    from swerve.erase import Place

    n = report.found
    lines = {
        "events": f"{n[Place.EVENTS]:,} in {report.partials:,} partials, {report.batches:,} files",
        "memory": f"{n[Place.CHECKPOINTS]:,} checkpoints, {n[Place.STANDINGS]:,} cool-downs",
        "alerts": f"{n[Place.ALERTS]:,} rows ({report.told:,} were told), {n[Place.PAGES]:,} pages,"
        f" {n[Place.MESSAGES]:,} messages in the outbox",
        "quarantine": f"{n[Place.QUARANTINE]:,} refused rows",
        "run files": f"{report.run_files:,}, whoever is in them: closes are done with them",
    }
    for place, what in lines.items():
        yield f"  {place:11} {what}"


def _left(stack: Stack, report: Report) -> Iterator[str]:
    """What Swerve keeps on purpose, and what only the operator can delete."""
    yield "Kept, as nobody is in it: sums over all customers, counts of files, names of categories."
    yield "Left to you"
    if report.uploads:
        bucket = stack.outputs["UploadsBucketName"]
        yield f"  {len(report.uploads):,} uploads hold raw rows of erased customers. They expire"
        yield "  (UploadExpiryDays, and 7 days more); sooner, where all rows may go:"
        yield f"    aws s3api delete-object --bucket {bucket} --key KEY --version-id VERSION"
        for uploaded in report.uploads:
            yield f"    {uploaded.key}  {uploaded.version}"
    if report.waiting_uploads:
        left = f"; {report.unfinished:,} partials were left to them" if report.unfinished else ""
        yield f"  {report.waiting_uploads:,} uploads wait or are being read{left}:"
        yield "  erase again when they are."
    if report.told:
        yield f"  {report.told:,} alerts were told: delete the mails and texts, and what the"
        yield "  subscribers of the events topic keep."
    yield "  Backups of both tables reach back 35 days: after restoring one, erase again."
    yield "  Rows at the source: a new file with them is a new customer, known from nothing."
