"""What a user is told of a fault: one clear line instead of a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import typer
from swerve.errors import SwerveError
from typer.core import TyperGroup

FAULT, WRONG_USE = 1, 2


class OneClearLine(TyperGroup):
    """Tells a known fault in one line: what is wrong, and the way out."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and end by code 1 for a fault, 2 for a wrong use."""
        try:
            return super().invoke(ctx)
        except Exception as fault:
            if (wrong := _wrong_use(fault)) is not None:
                _fail(wrong, WRONG_USE)
            if (told := _told(fault)) is not None:
                _fail(told, FAULT)
            raise


def _wrong_use(fault: Exception) -> str | None:
    """Fault of the command line itself, which the library would draw a box around."""
    if getattr(fault, "exit_code", None) != WRONG_USE or not hasattr(fault, "format_message"):
        return None
    if type(fault).__name__ == "NoArgsIsHelpError":
        return None  # a group without a command shows its help
    said = fault.format_message().replace("Value error, ", "").rstrip(".")
    context = getattr(fault, "ctx", None)
    return said if context is None else f"{said}; see `{context.command_path} --help`"


def _told(fault: Exception) -> str | None:
    if isinstance(fault, SwerveError):
        return str(fault)
    # Libraries wrap it in faults of their own.
    if os.strerror(errno.ENOSPC) in str(fault):
        return f"the disk is full: free about 1 GB for {Path.cwd()}"
    if isinstance(fault, OSError) and fault.filename is not None:
        return f"{fault.filename}: {fault.strerror}"
    if type(fault).__module__.startswith("botocore."):  # not imported where it is not needed
        return f"AWS said: {fault}"
    return None


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(f"swerve: {message}", fg="red", err=True)
    raise typer.Exit(code)
