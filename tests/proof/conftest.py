"""A year of a real grocer's log through the real stack: what it left behind, to be compared."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from swerve.ledger import Ledger, ledger

from cli.demo import PARAMETERS
from cli.journey import WeekFile, products, split
from cli.local import running
from cli.look import Snapshot
from tests.flow.conftest import log_lines, objects, receipts, table_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.stack import Stack

# A household's own number is short and would be found by chance: these names would not.
NAME = "format('household-{:06d}-xyz', household_id)"
NAMED = rb"household-\d{6}-xyz"
REFUSED = (
    "household_id,store_id,basket_id,product_id,sales_value,transaction_timestamp\n"
    "household-000001-xyz,367,1,1095275,0.5,yesterday by household-000001-xyz\n"
    "household-000002-xyz,367,,,,\n"
    "household-000003-xyz\n"
)
SECRET = '{"current": "the same key in all stacks of the proof"}'
_PATIENCE_S = 1800


@dataclass
class Left:
    """Everything that a stack holds after some uploads."""

    ledger: Ledger
    windows: dict[tuple[str, str], Any]
    alerts: dict[tuple[str, str], Any]
    data: dict[str, bytes]
    written: list[bytes] = field(default_factory=list)

    def alert_rows(self) -> dict[tuple[str, str], dict[str, str]]:
        """The alerts table without what says only when and how a row was sent."""
        said = ("alert_id", "status", "severity", "payload")
        return {key: {name: row[name]["S"] for name in said} for key, row in self.alerts.items()}

    def partials(self) -> dict[tuple[str, str], bytes]:
        """The packed events of every batch, shard and window."""
        return {k: item["data"]["B"] for k, item in self.windows.items() if "data" in item}

    def under(self, *prefixes: str) -> dict[str, bytes]:
        """Objects of the data bucket by prefix."""
        return {key: body for key, body in self.data.items() if key.startswith(prefixes)}

    @classmethod
    def of(cls, stack: Stack) -> Left:
        """Dump the tables and the data bucket."""
        return cls(
            ledger(stack.windows, stack.data, stack.settings.windows),
            table_contents(stack, "WindowsTableName"),
            table_contents(stack, "AlertsTableName"),
            objects(stack, "DataBucketName"),
        )


@dataclass
class Year:
    """A stack that got the year, and then the same files again under other names."""

    once: Left
    again: Left
    uploads: dict[str, bytes]
    log: str
    took_s: float
    most_mb: float


@pytest.fixture(scope="session")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> list[WeekFile]:
    """The 53 files, with household names that can be searched for."""
    return list(split(tmp_path_factory.mktemp("weeks"), household_id=NAME))


@pytest.fixture(scope="session")
def year(weeks: list[WeekFile], tmp_path_factory: pytest.TempPathFactory) -> Year:
    """In order; then all again; then a file with nothing but refused rows."""
    folder = tmp_path_factory.mktemp("year")
    with started(folder) as stack, peak_memory_mb() as peak:
        begun = time.monotonic()
        upload(stack, weeks)
        took_s = time.monotonic() - begun
        most_mb = peak()
        await_until(lambda: all_mailed(stack))
        once = Left.of(stack)
        again(stack, weeks)
        twice = Left.of(stack)
        put(stack, "refused.csv", REFUSED.encode())
        await_until(lambda: bool(receipts(stack, "events/source=completejourney/refused.csv")))
        twice.written = list(everything(stack))
        uploads = objects(stack, "UploadsBucketName")
        log = (folder / "emulator.log").read_text(errors="replace")
    return Year(once, twice, uploads, log, took_s, most_mb)


@pytest.fixture(scope="session")
def shuffled(weeks: list[WeekFile], tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The same files in another order, in another stack with the same key."""
    order = weeks.copy()
    random.Random(2).shuffle(order)  # noqa: S311 - a test's dice
    with started(tmp_path_factory.mktemp("shuffled")) as stack:
        upload(stack, order)
        return Left.of(stack)


@pytest.fixture(scope="session")
def halves(weeks: list[WeekFile], tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The odd weeks, closed and told; then the even ones, late by up to a year."""
    with started(tmp_path_factory.mktemp("halves")) as stack:
        upload(stack, weeks[0::2])
        upload(stack, weeks[1::2], sum(week.rows for week in weeks))
        return Left.of(stack)


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    """A stack as in the demo, with a key that the others have too."""
    with running(folder, PARAMETERS | {"QuietHours": ""}) as stack:
        stack.client("secretsmanager").put_secret_value(
            SecretId=stack.outputs["PseudonymSecretArn"], SecretString=SECRET
        )
        stack.data.put("lookups/products/1.parquet", products().read_bytes())
        yield stack


def upload(stack: Stack, files: list[WeekFile], rows: int | None = None) -> None:
    """Upload and wait until every row is in a closed window."""
    for week in files:
        put(stack, week.path.name, week.path.read_bytes())
    rows = sum(week.rows for week in files) if rows is None else rows
    await_until(lambda: Snapshot.of(stack).rows == rows)
    close(stack)


def again(stack: Stack, files: list[WeekFile]) -> None:
    """Upload the same contents under other names, and close once more."""
    keys = [put(stack, f"again-{week.path.name}", week.path.read_bytes()) for week in files]
    await_until(lambda: all(receipts(stack, key) for key in keys))
    close(stack)


def put(stack: Stack, name: str, body: bytes) -> str:
    """Put one object as the demo does; its key."""
    key = f"events/source=completejourney/{name}"
    stack.client("s3").put_object(Bucket=stack.outputs["UploadsBucketName"], Key=key, Body=body)
    return key


def close(stack: Stack) -> None:
    """Start the close as the schedule does, until nothing waits for one."""
    workflows, arn = stack.client("stepfunctions"), stack.outputs["CloseWorkflowArn"]

    def is_done() -> bool:
        if workflows.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]:
            return False
        if not Snapshot.of(stack).waiting:
            return True
        workflows.start_execution(stateMachineArn=arn, input='{"scheduled": true}')
        return False

    workflows.start_execution(stateMachineArn=arn, input='{"scheduled": true}')
    await_until(is_done)


def all_mailed(stack: Stack) -> bool:
    """Whether each alert was in a mail, or never will be."""
    waiting = stack.alerts.in_state(("selected", "held", "sending"))
    return all("email" in row.told.split() for row in waiting)


def await_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {_PATIENCE_S} s"
        time.sleep(0.5)


def everything(stack: Stack) -> Iterator[bytes]:
    """All that Swerve wrote anywhere: tables, objects with their metadata, logs, queues, runs."""
    for table in ("WindowsTableName", "AlertsTableName"):
        for item in table_contents(stack, table).values():
            yield repr(item).encode()
            yield from (value["B"] for value in item.values() if "B" in value)
    s3, bucket = stack.client("s3"), stack.outputs["DataBucketName"]
    for key, body in objects(stack, "DataBucketName").items():
        yield key.encode()
        yield repr(s3.head_object(Bucket=bucket, Key=key)).encode()
        yield body
    yield "\n".join(log_lines(stack)).encode()
    for name, url in stack.outputs.items():
        if name.endswith(("QueueUrl", "LettersUrl")):
            messages = stack.client("sqs").receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
            )
            yield repr(messages).encode()
    workflows, arn = stack.client("stepfunctions"), stack.outputs["CloseWorkflowArn"]
    for execution in workflows.list_executions(stateMachineArn=arn)["executions"]:
        history = workflows.get_execution_history(executionArn=execution["executionArn"])
        yield repr(history["events"]).encode()


@contextmanager
def peak_memory_mb() -> Iterator[Callable[[], float]]:
    """Resident memory of the stack's processes together, the most seen since the start."""
    most, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, sum(map(_proportional_mb, _descendants(os.getpid()))))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: most
    finally:
        done.set()
        thread.join()


def _descendants(root: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found, fresh = set(), {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def _proportional_mb(pid: int) -> float:
    """A page that several processes share counts once in all."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
