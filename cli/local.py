"""The local stack: the emulator's process, and the real template deployed into it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swerve.errors import SwerveError

from cli.package import as_json, for_enforced_iam, package, with_numeric_concurrency
from cli.stack import LOCAL_REGION, STATE, Stack, alive, healthy, outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "infra/template.yaml"
_START_S = 30
_DEPLOY_S = 120
_STOP_S = 5
_ARTIFACTS = "swerve-artifacts"
UP_MB = 50  # the emulator, its workers, and a file of some megabytes at a time

# What a laptop wants of the parameters: quick closes, and messages to read.
LOCAL_PARAMETERS = {"SettleSeconds": "1", "Outbox": "on", "MaxConcurrency": "2"}


class Emulator:
    """One emulator process on a loopback port.

    Parameters
    ----------
    folder : Path
        Where its log, home and temporary files go.
    port : int or None
        None for a free one.
    tied : bool
        Whether it ends with this process (demo, tests) or lives on (`swerve up`).
    enforce_iam : bool
        Whether calls are checked against the roles of the template.
    """

    def __init__(
        self, folder: Path, port: int | None = None, *, tied: bool = True, enforce_iam: bool = False
    ) -> None:
        self._port = _free_port() if port is None else _checked_port(port)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._home = Path(tempfile.mkdtemp(prefix="emulator-", dir=folder)).absolute()
        self.log = folder / "emulator.log"
        self.endpoint = f"http://127.0.0.1:{self._port}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("emulator.py"))]
                + (["--tied"] if tied else []),
                stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(self._port, self._home, enforce_iam=enforce_iam),
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._await_health()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the emulator and its workers, and remove their temporary files."""
        stop_group(self.pid)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def leave(self) -> None:
        """Let it live on: nobody waits for it here."""
        self._process.returncode = 0  # else Popen complains when it is forgotten

    @property
    def home(self) -> Path:
        """Folder of its temporary files."""
        return self._home

    def _await_health(self) -> None:
        deadline = time.monotonic() + _START_S
        while not healthy(self.endpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise SwerveError(
                    f"the emulator did not start on port {self._port}:"
                    f" {lines[-1] if lines else 'it said nothing'} (log: {self.log})"
                )
            time.sleep(0.05)


def deploy(
    endpoint: str, name: str, parameters: Mapping[str, str], *, enforce_iam: bool = False
) -> Stack:
    """Package and deploy infra/template.yaml through CloudFormation; return the running stack."""
    from botocore.exceptions import ClientError

    stack = Stack(name, LOCAL_REGION, endpoint, {})
    s3, formation = stack.client("s3"), stack.client("cloudformation")
    s3.create_bucket(Bucket=_ARTIFACTS)

    def put(key: str, body: bytes) -> str:
        s3.put_object(Bucket=_ARTIFACTS, Key=f"{name}/{key}", Body=body)
        return f"s3://{_ARTIFACTS}/{name}/{key}"

    chosen = {**LOCAL_PARAMETERS, **parameters}
    packed = package(TEMPLATE, put)
    _refuse_unknown(chosen, packed["Parameters"])
    template = with_numeric_concurrency(packed, chosen)
    put("template.json", as_json(for_enforced_iam(template) if enforce_iam else template))
    try:
        formation.create_stack(
            StackName=name,
            TemplateURL=f"{endpoint}/{_ARTIFACTS}/{name}/template.json",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in chosen.items()
            ],
        )
    except ClientError as refused:
        raise SwerveError(f"stack {name}: {refused.response['Error']['Message']}") from refused
    return Stack(name, LOCAL_REGION, endpoint, outputs_of(_deployed(formation, name)))


def _refuse_unknown(chosen: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
    """AWS refuses a parameter that the template does not have; the emulator takes it in silence."""
    for name in chosen:
        if name not in parameters:
            near = get_close_matches(name, parameters, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(parameters)}"
            raise SwerveError(f"infra/template.yaml has no parameter {name}: {hint}")


def _deployed(formation: Any, name: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + _DEPLOY_S
    while time.monotonic() < deadline:
        found: dict[str, Any] = formation.describe_stacks(StackName=name)["Stacks"][0]
        if found["StackStatus"] == "CREATE_COMPLETE":
            return found
        if not found["StackStatus"].endswith("IN_PROGRESS"):
            events = formation.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [
                f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', 'no reason given')}"
                for e in events
                if "FAILED" in e["ResourceStatus"]
            ]
            raise SwerveError(f"stack {name} was not created: {'; '.join(reasons)}")
        time.sleep(0.1)
    raise SwerveError(f"stack {name} was not created within {_DEPLOY_S} s")


@contextmanager
def running(
    folder: Path,
    parameters: Mapping[str, str],
    port: int | None = None,
    *,
    enforce_iam: bool = False,
) -> Iterator[Stack]:
    """Run a stack that ends with the block, and with this process."""
    emulator = Emulator(folder, port, enforce_iam=enforce_iam)
    try:
        yield deploy(emulator.endpoint, "swerve", parameters, enforce_iam=enforce_iam)
    finally:
        emulator.stop()


def need_disk(size_mb: int) -> None:
    """Refuse to start where the disk would fill up half-way: the functions could only fail."""
    free_mb = shutil.disk_usage(Path.cwd()).free // 1_000_000
    if free_mb < size_mb:
        raise SwerveError(
            f"the disk is full: {free_mb} MB are free for {Path.cwd()}, {size_mb} MB are needed"
        )


def up(parameters: Mapping[str, str], port: int | None = None) -> Stack:
    """Start a stack that lives on until `down`, and note it in `.swerve/` of this folder.

    Raises SwerveError where one runs already: its data would be gone.
    """
    if STATE.exists() and healthy(json.loads(STATE.read_text(encoding="utf-8"))["endpoint"]):
        raise SwerveError(
            "a local stack runs in this folder already: use it, or end it and its data"
            " with `swerve down`"
        )
    down()
    need_disk(UP_MB)
    emulator = Emulator(STATE.parent, port, tied=False)
    try:
        stack = deploy(emulator.endpoint, "swerve", parameters)
        note = {
            "name": stack.name,
            "endpoint": stack.endpoint,
            "pid": emulator.pid,
            "home": str(emulator.home),
            "outputs": stack.outputs,
        }
        STATE.write_text(json.dumps(note, indent=2), encoding="utf-8")
    except BaseException:
        emulator.stop()
        raise
    emulator.leave()
    return stack


def down() -> bool:
    """Stop the stack that `up` started in this folder; False where there is none."""
    if not STATE.exists():
        return False
    saved = json.loads(STATE.read_text(encoding="utf-8"))
    # The number of a process that ended may belong to another by now.
    running_still = healthy(saved["endpoint"])
    if running_still:
        stop_group(saved["pid"])
    shutil.rmtree(saved["home"], ignore_errors=True)
    STATE.unlink()
    return running_still


def stop_group(pid: int) -> None:
    """End a process group: ask, wait, then force."""
    for signal_number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.killpg(pid, signal_number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            _reap(pid)
            if not alive(pid):
                break
            time.sleep(0.05)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            raise SwerveError(
                f"port {port} is in use: name another, or none to get a free one"
            ) from fault
    return port


def _environment(port: int, home: Path, *, enforce_iam: bool) -> dict[str, str]:
    """Environment of the emulator and so of the functions: nothing of the user's own."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "TMPDIR": str(home),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        # Two workers and the emulator share the cores of a laptop.
        "OMP_NUM_THREADS": "1",
        # And its memory: a function that has nothing to do goes after a few seconds.
        "LAMBDA_WARM_TTL_SECONDS": "15",
    }
    return environment | ({"AUTH": "true"} if enforce_iam else {})
