"""The emulator's process: nothing of it outlives whoever started it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from swerve.errors import SwerveError

from cli import local
from cli.local import Emulator
from cli.stack import Stack, alive, healthy

pytestmark = pytest.mark.flow
PATIENCE_S = 10


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def start_and_wait(folder: Path) -> subprocess.Popen[str]:
    program = (
        "import sys, time; from pathlib import Path; from cli.local import Emulator;"
        "print(Emulator(Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )


def test_the_emulator_dies_with_its_parent_however_that_dies(tmp_path: Path) -> None:
    # GIVEN
    with start_and_wait(tmp_path) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        # WHEN
        parent.send_signal(signal.SIGKILL)
    # THEN
    assert gone(pid)


def test_a_proxy_of_the_environment_is_not_asked_for_this_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN: a company's proxy, which knows nothing of our loopback address
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # WHEN
    emulator = Emulator(tmp_path)
    stack = Stack("swerve", "us-east-1", emulator.endpoint, {})
    # THEN
    try:
        assert stack.client("s3").list_buckets()["Buckets"] == []
    finally:
        emulator.stop()


def test_stopping_removes_process_and_files(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path)
    assert healthy(emulator.endpoint)
    emulator.stop()
    assert gone(emulator.pid)
    assert [path.name for path in tmp_path.iterdir()] == ["emulator.log"]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SwerveError, match=f"port {port} is in use"):
            Emulator(tmp_path, port)


def test_functions_see_nothing_of_the_users_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    emulator = Emulator(tmp_path)
    # WHEN
    environment = Path(f"/proc/{emulator.pid}/environ")
    said = environment.read_text() if environment.exists() else ""
    emulator.stop()
    # THEN
    assert "AWS_" not in said


def test_up_leaves_a_stack_that_down_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN
    monkeypatch.chdir(tmp_path)
    stack = local.up({"Window": "7d"})
    state = json.loads(Path(".swerve/stack.json").read_text())
    try:
        # THEN
        assert stack.settings.window == "7d"
        assert os.getpgid(state["pid"]) == state["pid"]
    finally:
        # WHEN
        assert local.down()
    # THEN
    assert gone(state["pid"])
    assert not local.down()


def test_a_second_up_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    monkeypatch.chdir(tmp_path)
    first = local.up({})
    try:
        # WHEN / THEN
        with pytest.raises(SwerveError, match="runs in this folder already"):
            local.up({})
        assert healthy(first.endpoint)
    finally:
        local.down()


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ({"Windw": "7d"}, "did you mean Window?"),
        ({"ShardCount": "3"}, "'ShardCount' value '3' is not in AllowedValues"),
    ],
)
def test_a_wrong_parameter_is_refused_and_leaves_nothing_running(
    parameter: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    monkeypatch.chdir(tmp_path)
    # WHEN
    with pytest.raises(SwerveError, match=re.escape(reason)):
        local.up(parameter)
    # THEN
    assert not list(tmp_path.glob(".swerve/emulator-*"))


def test_the_emulator_ends_when_its_folder_is_removed(tmp_path: Path) -> None:
    # GIVEN one that lives on
    emulator = Emulator(tmp_path / "state", tied=False)
    emulator.leave()
    # WHEN make clean
    shutil.rmtree(tmp_path / "state")
    # THEN
    deadline = time.monotonic() + PATIENCE_S
    while (ended := os.waitpid(emulator.pid, os.WNOHANG)[0]) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended == emulator.pid


def test_nothing_starts_where_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local.shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    # WHEN / THEN
    with pytest.raises(SwerveError, match="the disk is full: 3 MB are free"):
        local.up({})
    assert not list(tmp_path.iterdir())
