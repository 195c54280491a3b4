"""Runs the local AWS emulator so that it cannot outlive whoever started it.

Started as a script. With `--tied`, standard input is a pipe whose other end the parent holds:
when the parent dies, however it dies, the pipe closes and this whole process group ends. Without,
it ends when its home is removed (`make clean`): nobody could find it any more to stop it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

_LOOK_S = 1


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def _end_with_home() -> None:
    while Path.home().is_dir():
        time.sleep(_LOOK_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    end = _end_with_parent if "--tied" in sys.argv else _end_with_home
    threading.Thread(target=end, daemon=True).start()
    sys.argv = ["ministack"]
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
