from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from cli.main import app

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
    "reshard",
    "rotate-key",
    "pseudonym",
    "empty-uploads",
    "erase",
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
    [
        ["watch", "--once"],
        ["alerts"],
        ["inspect", "window", "2026-11-23"],
        ["pseudonym", "4711"],
        ["erase", "4711"],
    ],
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


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["upload", "missing.csv"], "'missing.csv' does not exist"),
        (["check", "missing.csv"], "'missing.csv' does not exist"),
        (["up", "--window", "2d"], "'2d' is not one of '1d', '7d'"),
        (["up", "--language", "fr"], "'fr' is not one of 'en', 'zh-CN'"),
        (["up", "--time-zone", "Mars/Olympus"], "Mars/Olympus is no IANA time zone"),
        (["up", "--horizon-days", "-3"], "greater than or equal to 7"),
        (["up", "--port", "99999"], "less than or equal to 65535"),
        (["alerts", "--severity", "grave"], "'grave' is not one of 'critical'"),
        (["alerts", "--kind", "swerve"], "'swerve' is not one of 'switch'"),
        (["inspect", "shard", "x"], "valid integer"),
        (["backtest", "here.csv"], "Missing option '--out'"),
        (["backtest", "here.csv", "--out", "o", "--window", "3d"], "'3d' is not one of"),
        (["backtest", "here.csv", "--out", "o", "--timezone", ""], "is no IANA time zone"),
        (["check", "here.csv", "--time-zone", "/etc"], "/etc is no IANA time zone"),
        (["tune", "--trials", "0"], "greater than or equal to 1"),
        (["train", "--config", "missing.toml"], "'missing.toml' does not exist"),
        (["evaluate", "--split", "nope"], "'nope' is not one of"),
    ],
    ids=" ".join,
)
def test_a_wrong_use_gives_one_line_and_code_2(command: list[str], reason: str) -> None:
    # GIVEN
    Path("here.csv").write_text("user_id,timestamp,behavior\n", encoding="utf-8")
    # WHEN
    done = CliRunner().invoke(app, command)
    # THEN
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert "--help`" in done.stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["backtest", "bad.csv", "--out", "o"], "bad.csv: No adapter fits. Fields found: a, b."),
        (["backtest", "empty.csv", "--out", "o"], "empty.csv: There is no row"),
        (["backtest", "good.csv", "--out", "good.csv"], "good.csv: File exists"),
        (["check", "good.csv", "--adapter", "bad.csv"], "bad.csv is not TOML"),
        (["redrive", "nowhere"], "name one of ingest, score, notify"),
        (["evaluate", "--recipe", "nope"], "name some of canonical"),
    ],
    ids=" ".join,
)
def test_a_fault_gives_one_line_and_code_1(command: list[str], reason: str) -> None:
    # GIVEN
    Path("bad.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    Path("empty.csv").touch()
    row = "1,2026-01-01T00:00:00Z,view,a,b,1"
    head = "user_id,timestamp,behavior,item_id,category_id,value"
    Path("good.csv").write_text(f"{head}\n{row}\n", encoding="utf-8")
    # WHEN
    done = CliRunner().invoke(app, command)
    # THEN
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_a_fault_nobody_knows_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.demo.play", broken)
    # WHEN / THEN
    assert isinstance(CliRunner().invoke(app, ["demo"]).exception, ZeroDivisionError)


def test_what_aws_says_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN
    from botocore.exceptions import ClientError

    def denied(_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "Query")

    monkeypatch.setattr("cli.stack.open_stack", denied)
    # WHEN
    done = CliRunner().invoke(app, ["alerts"])
    # THEN
    assert done.exit_code == 1
    assert done.stderr.startswith("swerve: AWS said: ")
    assert done.stderr.count("\n") == 1


def test_every_command_shows_an_example() -> None:
    missing = [
        name
        for name in sorted(COMMANDS | {"tune", "export"})
        if "Example:" not in CliRunner().invoke(app, [name, "--help"]).output
    ]
    assert not missing


def test_help_needs_none_of_the_heavy_packages() -> None:
    heavy = {"boto3", "numpy", "duckdb", "onnxruntime", "samtranslator", "pandas"}
    program = "import sys, cli.main; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())
