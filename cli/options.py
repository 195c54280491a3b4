"""Options that several commands share, and how their values are checked."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

Severity = Literal["critical", "high", "medium", "low"]
Level = Literal["user", "category", "product", "campaign", "platform"]
Kind = Literal["switch", "new_interest", "drift", "breadth_change", "surge", "drop", "churn_risk"]


def checked_zone(name: str) -> str:
    """Return the name of a time zone that exists."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as unknown:  # not found, no name at all, a folder
        raise typer.BadParameter(
            f"{name} is no IANA time zone such as UTC, Europe/Berlin or Asia/Shanghai"
        ) from unknown
    return name


WindowLength = Annotated[
    Literal["1d", "7d"],
    typer.Option("--window", help="Length of a window: 1d, or 7d from Monday to Sunday."),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=1, max=65_535, help="Loopback port of the emulator.", show_default="a free one"
    ),
]
StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        envvar="SWERVE_STACK_NAME",
        help="A stack deployed in your AWS account; without it, the local one of this folder.",
    ),
]
