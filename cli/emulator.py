"""Runs the local AWS emulator so that it cannot outlive whoever started it.

Started as a script. With `--tied`, standard input is a pipe whose other end the parent holds:
when the parent dies, however it dies, the pipe closes and this whole process group ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if "--tied" in sys.argv:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = ["ministack"]
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
