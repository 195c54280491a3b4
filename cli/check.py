"""`swerve check FILE`: what ingest would say of a file, before any upload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from swerve.errors import SwerveError
from swerve.receipt import Status, bad_rows_text, lines_of

from cli.options import checked_zone

if TYPE_CHECKING:
    from swerve.check import Checked
    from swerve.domain.source import Source


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            exists=True,
            dir_okay=False,
            help="CSV, TSV, JSON Lines, JSON or Parquet; plain, gzip or zstd.",
        ),
    ],
    source: Annotated[
        str, typer.Option(help="Adapter to read by, as in events/source=NAME/.", metavar="NAME")
    ] = "",
    adapter: Annotated[
        Path | None,
        typer.Option(help="An adapter of your own (TOML).", exists=True, dir_okay=False),
    ] = None,
    lookup: Annotated[
        Path | None,
        typer.Option(help="The side file with item categories.", exists=True, dir_okay=False),
    ] = None,
    time_zone: Annotated[
        str, typer.Option(callback=checked_zone, help="IANA zone of times that have none.")
    ] = "UTC",
    json_: Annotated[bool, typer.Option("--json", help="Print receipts as JSON.")] = False,
) -> None:
    """Say how files would be read: rows taken, rows refused and why, and what to mend.

    [dim]Example:[/dim]  swerve check export.csv.gz --time-zone Asia/Shanghai
    """
    from swerve.adapters.clock import SystemClock
    from swerve.adapters.files import LocalFiles
    from swerve.check import CheckDeps
    from swerve.check import check as check_file
    from swerve.domain.window import is_zone
    from swerve.settings import Settings
    from swerve.sources import bundled_sources

    if not is_zone(time_zone):
        raise SwerveError(f"--time-zone {time_zone} is no IANA zone such as Asia/Shanghai")
    sources = [*bundled_sources(), *([_own(adapter)] if adapter else [])]
    settings = Settings(time_zone=time_zone, window="1d")
    deps = CheckDeps(settings, LocalFiles(), SystemClock(), sources)
    named = source or (sources[-1].name if adapter else "")
    useless = False
    for path in files:
        checked = check_file(path, deps, named, lookup)
        typer.echo(checked.receipt.to_json() if json_ else _told(checked))
        useless = useless or checked.receipt.status is Status.REFUSED or _nothing_taken(checked)
    if useless:
        raise typer.Exit(1)


def _nothing_taken(checked: Checked) -> bool:
    """A file of rows that are all refused is most often read by the wrong adapter."""
    receipt = checked.receipt
    return receipt.rows > 0 and not receipt.packed


def _own(path: Path) -> Source:
    from swerve.domain.source import parse_source

    try:
        return parse_source(path.read_text("utf-8"), path.name)
    except ValueError as wrong:
        raise SwerveError(str(wrong)) from wrong


def _told(checked: Checked) -> str:
    lines = lines_of(checked.receipt)
    if _nothing_taken(checked):
        lines.append("No row would be taken: is this the right adapter (--source, --adapter)?")
    if checked.bad_rows:
        lines.append("First bad rows (users and unreadable fields are masked):")
        lines += [f"  {line}" for line in bad_rows_text(checked.bad_rows).splitlines()]
    return "\n".join(lines)
