from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
from typer.testing import CliRunner

from cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = {
    "up",
    "down",
    "demo",
    "upload",
    "watch",
    "alerts",
    "backtest",
    "check",
    "evaluate",
    "inspect",
    "receipt",
    "train",
    "redrive",
    "pseudonym",
    "empty-uploads",
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_help_lists_every_command() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    assert {name for name in COMMANDS if f" {name} " in said} == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS - {"inspect"}))
def test_every_command_has_help(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


@pytest.mark.parametrize("what", ["user", "shard", "window", "batch"])
def test_inspect_shows_four_things(what: str) -> None:
    assert CliRunner().invoke(app, ["inspect", what, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "command",
    [["watch", "--once"], ["alerts"], ["inspect", "window", "2026-11-23"], ["pseudonym", "4711"]],
)
def test_without_a_stack_a_command_says_how_to_start_one(command: list[str]) -> None:
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "swerve up" in done.stderr


def test_down_without_a_stack_is_no_fault() -> None:
    done = CliRunner().invoke(app, ["down"])
    assert (done.exit_code, done.output) == (0, "No local stack was running in this folder.\n")


def test_a_parameter_without_a_value_is_refused() -> None:
    done = CliRunner().invoke(app, ["up", "--set", "WarmupWeeks"])
    assert done.exit_code == 1
    assert "NAME=VALUE" in done.stderr


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device", "week-01.csv"),
        duckdb.IOException('Could not write "week-06.csv": No space left on device'),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_full_disk_gives_one_line(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    def full(**_: object) -> None:
        raise fault

    monkeypatch.setattr("cli.demo.play", full)
    # WHEN
    done = CliRunner().invoke(app, ["demo"])
    # THEN
    assert done.exit_code == 1
    assert done.stderr == f"swerve: the disk is full: free about 1 GB for {tmp_path}\n"


def test_help_needs_none_of_the_heavy_packages() -> None:
    heavy = {"boto3", "numpy", "duckdb", "onnxruntime", "samtranslator", "pandas"}
    program = "import sys, cli.main; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())
