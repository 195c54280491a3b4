"""`swerve backtest`: what Swerve would have said of a history, without any stack."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from swerve.errors import SwerveError

from cli.options import WindowLength, checked_zone

if TYPE_CHECKING:
    from swerve.shard_walk import Shard

_SMALL_BYTES = 4_000_000


def backtest(
    events: Annotated[
        list[Path],
        typer.Argument(
            metavar="EVENTS...",
            exists=True,
            dir_okay=False,
            help="Files in the common schema: user_id,timestamp,behavior,item_id,category_id,value"
            "[,event_id]. CSV, JSON Lines or Parquet, plain or compressed.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    window: WindowLength = "7d",
    timezone: Annotated[
        str,
        typer.Option(
            callback=checked_zone,
            help="IANA time zone that windows are cut in, and of times that have none.",
        ),
    ] = "UTC",
    warmup: Annotated[int, typer.Option(min=0, help="Weeks before the first alarm.")] = 12,
    budget: Annotated[
        float, typer.Option(min=0.0, help="False alarms per 1,000 user-weeks, in all.")
    ] = 1.0,
    cooldown: Annotated[int, typer.Option(min=0, help="Weeks between alarms of a subject.")] = 8,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Write user ids as in the input, not pseudonyms.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that score.", show_default="one a core"),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Also write report.html with figures.")
    ] = False,
) -> None:
    """Say what Swerve would have told of a history, week by week, without any stack.

    It writes DIR/alerts.jsonl, an alert a line, and DIR/scores.csv.gz, all p-values.

    What is said of a window never depends on rows after it.

    [dim]Example:[/dim]  swerve backtest history.csv.gz --out results --budget 0.5
    """
    # No matrix is large enough for threads, which each process would start when numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # These take tenths of a second to load, which `--help` need not wait for.
    from swerve.adapters.local_events import read_canonical
    from swerve.adapters.processes import workers
    from swerve.backtest import backtest as run
    from swerve.domain.file import Refused
    from swerve.domain.window import WindowSpec

    if report and find_spec("matplotlib") is None:
        raise SwerveError("--report needs matplotlib: pip install --editable '.[training]'")
    started = time.perf_counter()
    spec = WindowSpec(cast("Literal[1, 7]", int(window[0])), timezone)
    # They start up while the files are read.
    with workers(_shard, jobs or _jobs_for(events)) as shards:
        try:
            read = read_canonical(events, timezone)
        except Refused as refused:
            raise SwerveError(f"{', '.join(map(str, events))}: {refused}") from refused
        told = run(
            read.events,
            spec,
            out,
            shards,
            read.names,
            users=read.users if reveal else None,
            warmup_weeks=warmup,
            budget_per_1000=budget,
            cooldown_weeks=cooldown,
        )
    took_s = time.perf_counter() - started
    rejected = sum(read.rejected.values())
    typer.echo(
        f"{told.events:,} events ({rejected:,} rows rejected, {read.duplicates:,} duplicates), "
        f"{told.windows} windows, {told.user_windows:,} user-windows, {told.alerts} alerts "
        f"in {took_s:.1f} s -> {out}"
    )
    if report:
        from training.run_report import write_run_report

        typer.echo(f"Report: {write_run_report(out, budget)}")


def _jobs_for(files: list[Path]) -> int:
    """As many as there are cores, if there is enough to do for the second to start up."""
    size = sum(file.stat().st_size for file in files)
    return 1 if size < _SMALL_BYTES else os.cpu_count() or 1


def _shard() -> Shard:
    """One worker's part of the work."""
    from swerve.adapters.detection import network
    from swerve.shard_walk import Shard

    return Shard(network())
