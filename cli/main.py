"""The `swerve` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from swerve.errors import SwerveError

from cli.backtest import backtest
from cli.check import check
from cli.erase import erase
from cli.faults import OneClearLine
from cli.options import Kind, Level, Port, Severity, StackName, WindowLength, checked_zone
from cli.reshard import reshard
from cli.training import evaluate, export, train, tune

LOCAL = "Try it here"
FILES = "Files"
LOOK = "Look"
OFFLINE = "Offline"
OPERATE = "Operate"

app = typer.Typer(
    cls=OneClearLine,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Swerve tells people, early and rarely wrongly, whose interest has suddenly changed.\n\n"
        "[bold]Start here:[/bold]  swerve demo   |   "
        "swerve up; swerve upload events.csv; swerve watch; swerve down\n\n"
        "Users are shown by pseudonym (u-1a2b3c4d...): "
        "[italic]swerve pseudonym ID[/italic] finds the one of a customer."
    ),
)


@app.command(rich_help_panel=LOCAL)
def up(
    window: WindowLength = "1d",
    time_zone: Annotated[
        str,
        typer.Option(callback=checked_zone, help="IANA time zone in which days and weeks are cut."),
    ] = "UTC",
    language: Annotated[
        Literal["en", "zh-CN"], typer.Option(help="Language of mails, text messages and pages.")
    ] = "en",
    horizon_days: Annotated[
        int,
        typer.Option(
            min=7, max=3650, help="Days behind the newest data within which late events count."
        ),
    ] = 35,
    port: Port = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another parameter of infra/template.yaml, repeatable.",
        ),
    ] = None,
) -> None:
    """Start the whole stack on this computer and keep it running.

    It needs neither Docker nor an AWS account, and listens on 127.0.0.1 only.

    [dim]Example:[/dim]  swerve up --window 7d --time-zone Europe/Berlin --set WarmupWeeks=8
    """
    from cli import local

    chosen = {
        "Window": window,
        "TimeZone": time_zone,
        "Language": language,
        "HorizonDays": str(horizon_days),
    }
    stack = local.up(chosen | _assignments(setting or []), port)
    typer.echo(
        f"Swerve runs at {stack.endpoint}\n"
        f"  uploads   s3://{stack.outputs['UploadsBucketName']}/events/\n"
        f"  data      s3://{stack.outputs['DataBucketName']}/\n"
        "Next: swerve upload FILE... | swerve watch | swerve alerts | swerve down"
    )


def _assignments(texts: list[str]) -> dict[str, str]:
    parts = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, parts, strict=True):
        if not (name and equals):
            raise SwerveError(f"--set {text}: write NAME=VALUE, for example WarmupWeeks=8")
    return {name: value for name, _, value in parts}


@app.command(rich_help_panel=LOCAL)
def down() -> None:
    """Stop the local stack of this folder; its data is gone.

    [dim]Example:[/dim]  swerve down
    """
    from cli import local

    typer.echo("Stopped." if local.down() else "No local stack was running in this folder.")


@app.command(rich_help_panel=LOCAL)
def demo(
    fast: Annotated[
        bool, typer.Option("--fast", help="20 weeks of 500 households: well under a minute.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running, to look around in it.")
    ] = False,
    port: Port = None,
) -> None:
    """Send a year of a real grocer's log through the real stack and read the alerts.

    1,469,307 purchases of 2,469 households in 53 weekly files of three formats.

    It takes half a minute, 1 GB of memory, and 150 MB of disk below .swerve/demo.

    [dim]Example:[/dim]  swerve demo --fast --keep
    """
    from cli.demo import play

    play(fast=fast, keep=keep, port=port)


@app.command(rich_help_panel=FILES)
def upload(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="FILE...",
            help="CSV, TSV, JSON Lines, JSON or Parquet; plain, gzip or zstd.",
        ),
    ],
    source: Annotated[
        str, typer.Option(help="Name of the pipeline; one that is an adapter's name chooses it.")
    ] = "shop",
    stack: StackName = None,
) -> None:
    """Put files into the uploads bucket, as a pipeline would.

    [dim]Example:[/dim]  swerve upload week-*.csv.gz --source segment
    """
    from cli.stack import open_stack

    opened = open_stack(stack)
    s3, bucket = opened.client("s3"), opened.outputs["UploadsBucketName"]
    for file in files:
        key = f"events/source={source}/{file.name}"
        s3.upload_file(str(file), bucket, key)
        typer.echo(f"{file} -> s3://{bucket}/{key}")
    typer.echo(f"Next: swerve receipt {key} | swerve watch")


@app.command(rich_help_panel=FILES)
def receipt(
    key: Annotated[str, typer.Argument(help="The uploaded key, from events/ on.")],
    stack: StackName = None,
) -> None:
    """Say what became of an uploaded file: rows taken, rows refused and why.

    [dim]Example:[/dim]  swerve receipt events/source=shop/monday.csv
    """
    from swerve.receipt import lines_of

    from cli.receipt import newest_receipt
    from cli.stack import open_stack

    typer.echo("\n".join(lines_of(newest_receipt(open_stack(stack).data, key))))


@app.command(rich_help_panel=LOOK)
def watch(
    once: Annotated[bool, typer.Option("--once", help="Look once and stop.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 2.0,
    stack: StackName = None,
) -> None:
    """Follow files, windows and alerts as they come; Ctrl-C stops watching.

    [dim]Example:[/dim]  swerve watch --every 10 --stack swerve
    """
    from cli.look import follow
    from cli.stack import open_stack

    opened = open_stack(stack)
    for line in follow(opened, every_s=0 if once else every):
        typer.echo(line)


@app.command(rich_help_panel=LOOK)
def alerts(
    window: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only those of the window of this day: 2026-11-25."),
    ] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only those of this urgency.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only those of this kind of change.")] = None,
    level: Annotated[Level | None, typer.Option(help="Only those of such subjects.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One interest-alert/1.0 object a line.")
    ] = False,
    stack: StackName = None,
) -> None:
    """List the alerts, oldest window first.

    Of the states, `selected` waits for the digest or its turn, and `sent` was mailed. In brackets:
    `updated` by late data, `ended` when it no longer stood out: of a silence, that the user is back
    or has been away for so long that it is no news any more.

    [dim]Example:[/dim]  swerve alerts --severity high --json | jq .subject.id
    """
    from cli.look import alert_lines, chosen_alerts
    from cli.stack import open_stack

    opened = open_stack(stack)
    rows = chosen_alerts(opened, window, severity, kind, level)
    for line in [row.payload for row in rows] if as_json else alert_lines(rows):
        typer.echo(line)
    if not rows:
        typer.echo(
            "No such alert. A user is judged after"
            f" {opened.settings.warmup_weeks} weeks of history, once a window is closed"
            " (swerve watch).",
            err=True,
        )


inspect = typer.Typer(
    no_args_is_help=True,
    help=(
        "Show what is kept of one user, shard, window or batch, in plain text.\n\n"
        "[dim]Example:[/dim]  swerve inspect user u-1a2b3c4d5e6f7081"
    ),
)
app.add_typer(inspect, name="inspect", rich_help_panel=LOOK)


@inspect.command("user")
def inspect_user(
    subject: Annotated[str, typer.Argument(metavar="PSEUDONYM", help="u- and 16 hex digits.")],
    stack: StackName = None,
) -> None:
    """Activity by window, the detector's state, and alerts of one user.

    [dim]Example:[/dim]  swerve inspect user $(swerve pseudonym 4711)
    """
    _inspect("user", subject, stack)


@inspect.command("shard")
def inspect_shard(
    number: Annotated[int, typer.Argument(help="From 0 to ShardCount - 1.", min=0)],
    stack: StackName = None,
) -> None:
    """Users, events and bytes of one shard, window by window.

    [dim]Example:[/dim]  swerve inspect shard 0
    """
    _inspect("shard", number, stack)


@inspect.command("window")
def inspect_window(
    label: Annotated[str, typer.Argument(metavar="DATE", help="Any day in it: 2026-11-25.")],
    stack: StackName = None,
) -> None:
    """Batches, state and alerts of one window.

    [dim]Example:[/dim]  swerve inspect window 2026-11-25
    """
    _inspect("window", label, stack)


@inspect.command("batch")
def inspect_batch(
    batch: Annotated[
        str, typer.Argument(metavar="ID", help="Start of a batch id, or the uploaded key.")
    ],
    stack: StackName = None,
) -> None:
    """Counts, windows and rejected rows of one uploaded file.

    [dim]Example:[/dim]  swerve inspect batch events/source=shop/monday.csv
    """
    _inspect("batch", batch, stack)


def _inspect(what: str, which: str | int, stack: str | None) -> None:
    from cli import look, look_user
    from cli.stack import open_stack

    for line in getattr(look_user if what == "user" else look, what)(open_stack(stack), which):
        typer.echo(line)


@app.command(rich_help_panel=OPERATE)
def redrive(
    queue: Annotated[
        str, typer.Argument(help="ingest, score, notify, or all.", metavar="QUEUE")
    ] = "all",
    stack: StackName = None,
) -> None:
    """Send the messages of the dead-letter queues through again, once their cause is mended.

    [dim]Example:[/dim]  swerve redrive ingest --stack swerve
    """
    from cli.redrive import QUEUES, redrive_queue
    from cli.stack import open_stack

    if queue != "all" and queue not in QUEUES:
        raise SwerveError(f"there is no queue {queue}: name one of {', '.join(QUEUES)}, or all")
    opened = open_stack(stack)
    for name in QUEUES if queue == "all" else (queue,):
        typer.echo(f"{name:7} {redrive_queue(opened, name)}")


@app.command(rich_help_panel=OPERATE)
def pseudonym(
    user_id: Annotated[str, typer.Argument(help="The customer's id as the uploads carry it.")],
    stack: StackName = None,
) -> None:
    """Say under which pseudonym a customer is kept.

    It needs the right to read the stack's secret: give it to few people.

    [dim]Example:[/dim]  swerve pseudonym 4711 --stack swerve
    """
    from swerve.domain.pseudonym import subject_of

    from cli import keys
    from cli.stack import open_stack

    users = keys.keyring(open_stack(stack)).pseudonyms([user_id])
    typer.echo(subject_of(int(users.users[0])))


@app.command(rich_help_panel=OPERATE)
def rotate_key(
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the key before, a horizon after the rotation.")
    ] = False,
    stack: StackName = None,
) -> None:
    """Give all customers new pseudonyms; their history and cool-downs go with them.

    [dim]Example:[/dim]  swerve rotate-key --stack swerve
    """
    from cli import keys
    from cli.stack import open_stack

    typer.echo((keys.forget if forget else keys.rotate)(open_stack(stack)))


@app.command(rich_help_panel=OPERATE)
def empty_uploads(
    stack: Annotated[str, typer.Option("--stack", metavar="NAME", help="The deployed stack.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all uploaded files and their versions, so that the stack can be deleted.

    [dim]Example:[/dim]  swerve empty-uploads --stack swerve && sam delete --stack-name swerve
    """
    from cli.stack import open_stack

    opened = open_stack(stack)
    bucket = opened.outputs["UploadsBucketName"]
    if not yes:
        typer.confirm(f"Delete everything in s3://{bucket}?", abort=True)
    opened.session.resource("s3").Bucket(bucket).object_versions.delete()


app.command(rich_help_panel=FILES)(check)
app.command(rich_help_panel=OPERATE)(erase)
app.command(rich_help_panel=OPERATE)(reshard)
app.command(rich_help_panel=OFFLINE)(backtest)
for offline in (train, tune, export, evaluate):
    app.command(rich_help_panel=OFFLINE)(offline)


if __name__ == "__main__":
    app()
