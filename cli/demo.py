"""The demo: a year of a real grocer's log through the real stack, and the alerts to read."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from swerve.errors import SwerveError

from cli import closes
from cli.journey import TIME_ZONE, WEEKS, products, split
from cli.look import SEVERITIES, Snapshot, alert_lines, chosen_alerts, tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from swerve.ledger import Ledger
    from swerve.ports import AlertRow

    from cli.stack import Stack

FOLDER = Path(".swerve/demo")
FAST_WEEKS, FAST_HOUSEHOLDS = 20, 500
FAST_MB, WHOLE_MB = 50, 150  # of disk; measured: 18 and 85 at most
# So short a log leaves little to alert on after the usual twelve weeks.
FAST_PARAMETERS = {"WarmupWeeks": "8"}
PARAMETERS = {
    "Window": "7d",
    "TimeZone": TIME_ZONE,
    "ShardCount": "4",
    # The files may come in any order: none is ever too late.
    "HorizonDays": "730",
    # A file is a whole week: no need to wait a day for stragglers after it.
    "LatenessSeconds": "0",
    # Close once, when all files are packed, and not again and again in between.
    "SettleSeconds": "4",
    # A few single mails and a digest, at one message a second.
    "DailyEmailBudget": "12",
    "EarlyNotices": "off",
}
_POLL_S = 0.5
_SAY_S = 5.0
_MOST_S = 900
_MOST_FAILED = 3
_MOST_STILL_S = 60
_MOST_TELL_S = 30
_MAILS = 3


@dataclass
class _Timings:
    """How long each stage took, in seconds."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        typer.secho(f"{name} ...", bold=True)
        yield
        self.stages[name] = time.monotonic() - begun

    def __str__(self) -> str:
        lines = [f"  {name:36} {seconds:6.1f} s" for name, seconds in self.stages.items()]
        return "\n".join([*lines, f"  {'all':36} {sum(self.stages.values()):6.1f} s"])


def play(*, fast: bool, keep: bool, port: int | None) -> None:
    """Run the demo; see `swerve demo --help`."""
    from cli import local

    # make and shells end a command by SIGTERM: leave by the same door as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    shutil.rmtree(FOLDER, ignore_errors=True)
    local.need_disk(FAST_MB if fast else WHOLE_MB)
    timings = _Timings()
    parameters = PARAMETERS | (FAST_PARAMETERS if fast else {})
    with timings.stage("Starting the stack on this computer"):
        if keep:
            stack = local.up(parameters, port)
        else:
            running = local.running(FOLDER, parameters, port)
            stack = running.__enter__()
    try:
        _show(stack, timings, fast=fast)
    finally:
        if not keep:
            running.__exit__(None, None, None)
    typer.echo(_next_commands(keep=keep, fast=fast))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show(stack: Stack, timings: _Timings, *, fast: bool) -> None:
    with timings.stage("Uploading one file a week"):
        rows = _upload(stack, fast=fast)
    with timings.stage("Packing, closing windows, scoring"):
        _follow(stack, rows)
    with timings.stage("Telling"):
        alerts = chosen_alerts(stack)
        _await_mails(stack, len(alerts))
    balanced = _print_ledger(stack, rows)
    typer.secho("\nAlerts by kind and severity", bold=True)
    typer.echo("\n".join(tally(alerts)))
    _print_mails(alerts)
    _print_page(stack, alerts)
    typer.secho("\nTimes", bold=True)
    typer.echo(str(timings))
    if not balanced:
        raise SwerveError("the ledger does not balance: please report this")


def _upload(stack: Stack, *, fast: bool) -> int:
    s3 = stack.client("s3")
    _put_products(stack)
    weeks, households = (FAST_WEEKS, FAST_HOUSEHOLDS) if fast else (WEEKS, None)
    rows = 0
    for week in split(FOLDER / "uploads", weeks, households):
        key = f"events/source=completejourney/{week.path.name}"
        s3.upload_file(str(week.path), stack.outputs["UploadsBucketName"], key)
        rows += week.rows
    typer.echo(f"  {weeks} files, {rows:,} purchases (CSV, JSON Lines, Parquet in turn)")
    return rows


def _put_products(stack: Stack) -> None:
    stack.data.put("lookups/products/1.parquet", products().read_bytes())


def _follow(stack: Stack, rows: int) -> None:
    """Watch until every row is in a closed window."""
    begun, said, told, nudged = time.monotonic(), "", 0.0, 0.0
    reached, moved = (0, 0), begun
    while (now_s := time.monotonic()) < begun + _MOST_S:
        now = Snapshot.of(stack)
        done = now.rows >= rows and not now.waiting
        is_closing = bool(closes.in_state(stack, "RUNNING"))
        if (now.rows, now.closed) != reached or is_closing:
            reached, moved = (now.rows, now.closed), now_s
        if (str(now) != said and now_s - told > _SAY_S) or done:
            said, told = str(now), now_s
            typer.echo(f"  {said}")
        elif now_s - told > _SAY_S:
            told = now_s
            doing = f"closing {now.waiting} windows" if now.rows >= rows else "packing"
            typer.echo(f"  ... {doing}, {now_s - begun:.0f} s so far")
        if done:
            return
        _give_up_where_closes_fail(stack)
        if now_s - moved > _MOST_STILL_S:
            raise SwerveError(
                f"nothing moved for {_MOST_STILL_S} s; the functions say why in"
                f" {FOLDER}/emulator.log"
            )
        rested = now_s - nudged > _SAY_S
        if now.rows >= rows and rested and not is_closing:
            closes.start(stack)
            nudged = now_s
        time.sleep(_POLL_S)
    raise SwerveError(f"not all windows were closed within {_MOST_S} s; the log is in {FOLDER}")


def _give_up_where_closes_fail(stack: Stack) -> None:
    failed = closes.in_state(stack, "FAILED")
    if len(failed) >= _MOST_FAILED:
        raise SwerveError(
            f"the close workflow failed {len(failed)} times: {closes.why(stack, failed[-1])}"
        )


def _await_mails(stack: Stack, alerts: int) -> None:
    """Wait for the first mails; the JSON of the alerts follows at one message a second."""
    deadline = time.monotonic() + _MOST_TELL_S
    while alerts and time.monotonic() < deadline and not any(stack.data.keys("outbox/email/")):
        time.sleep(_POLL_S)
    channels = Counter(key.split("/")[1] for key in stack.data.keys("outbox/"))
    typer.echo(
        f"  e-mails so far: {channels['email']}, JSON messages: {channels['events']};"
        " one a second, the rest in the next digest"
    )


def _print_ledger(stack: Stack, rows: int) -> bool:
    from swerve.ledger import ledger

    found: Ledger = ledger(stack.windows, stack.data, stack.settings.windows)
    rejected = sum(found.rejected.values())
    typer.secho("\nLedger", bold=True)
    typer.echo(
        f"  rows      {found.rows:>10,} = {found.packed:,} packed"
        f" + {found.duplicates_in_file:,} duplicates in a file + {rejected:,} rejected\n"
        f"  packed    {found.packed:>10,} = {found.unique:,} unique"
        f" + {found.duplicates_across:,} duplicates across files + {found.waiting:,} waiting"
    )
    balanced = found.balanced and found.rows == rows
    typer.echo("  it balances" if balanced else "  IT DOES NOT BALANCE")
    return balanced


def _print_mails(alerts: list[AlertRow]) -> None:
    from swerve.domain.email import alert_email

    # The same alert may serve twice where a short log has few of them.
    telling = list(islice(cycle(_most_telling(alerts)), _MAILS + 1))
    for number, row in enumerate(telling, start=1):
        language = "en" if number <= _MAILS else "zh-CN"
        payload: dict[str, Any] = json.loads(row.payload)
        mail = alert_email(payload, language, int(time.time() * 1000), subject_mode="utf8")
        typer.secho(f"\nE-mail {number} ({language})", bold=True)
        typer.echo(f"Subject: {mail.subject}\n\n{mail.body}")


def _most_telling(alerts: list[AlertRow]) -> list[AlertRow]:
    """Four alerts of as many kinds as there are: what still stands first, then the gravest."""
    by_kind: dict[str, list[AlertRow]] = {}
    for row in sorted(alerts, key=_urgency):
        by_kind.setdefault(row.subject_kind.rpartition("#")[2], []).append(row)
    rounds = zip_longest(*by_kind.values())
    return [row for kinds in rounds for row in kinds if row is not None][: _MAILS + 1]


def _urgency(row: AlertRow) -> tuple[bool, int, int]:
    return row.status == "resolved", SEVERITIES.index(row.severity), -row.window


def _print_page(stack: Stack, alerts: list[AlertRow]) -> None:
    from swerve.domain.identity import page_key
    from swerve.domain.page import alert_page

    now_ms = int(time.time() * 1000)
    (FOLDER / "pages").mkdir(parents=True, exist_ok=True)
    for row in alerts:
        page = alert_page(json.loads(row.payload), stack.settings.language, now_ms)
        (FOLDER / page_key(row.alert_id)).write_text(page, encoding="utf-8")
    (FOLDER / "alerts.txt").write_text("\n".join(alert_lines(alerts)) + "\n", encoding="utf-8")
    _save_outbox(stack)
    for row in _most_telling(alerts)[:1]:
        typer.echo(f"\nIts page: {(FOLDER / page_key(row.alert_id)).absolute()}")
    typer.echo(f"All alerts: {FOLDER}/alerts.txt   all messages: {FOLDER}/outbox/")


def _save_outbox(stack: Stack) -> None:
    for key in stack.data.keys("outbox/"):
        path = FOLDER / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stack.data.get(key) or b"")


def _next_commands(*, keep: bool, fast: bool) -> str:
    if keep:
        return (
            "\nThe stack is still running. Try:\n"
            "  swerve alerts --severity high      swerve inspect user u-...\n"
            "  swerve inspect window 2017-11-06   swerve down"
        )
    more = (
        "make demo           all 53 weeks" if fast else "make demo KEEP=1    to look around in it"
    )
    return (
        f"\nNothing is left running. Try:\n  {more}\n"
        "  swerve up           then: swerve upload your-events.csv; swerve watch\n"
        "  swerve backtest FILE     the same detection on a file, without the stack"
    )
