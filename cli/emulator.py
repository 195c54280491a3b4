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
from typing import Any

from ministack.services import stepfunctions

_LOOK_S = 1


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def _end_with_home() -> None:
    while Path.home().is_dir():
        time.sleep(_LOOK_S)
    os.killpg(0, signal.SIGKILL)


_run_distributed_map = stepfunctions._run_distributed_map


def _run_distributed_map_of_expressions(
    state: dict[str, Any],
    raw_input: Any,
    effective: Any,
    iterator: dict[str, Any],
    execution: dict[str, Any],
    context: dict[str, Any],
) -> tuple[Any, Any]:
    """As the emulator does, which takes the expressions in a Distributed Map for plain texts."""

    def evaluated(value: Any, **item: Any) -> Any:
        inside = context | ({"Map": {"Item": item}} if item else {})
        return stepfunctions._apply_jsonata_template(value, raw_input, inside)

    items = stepfunctions._read_map_items(evaluated(state["ItemReader"]), effective, context)
    selected = [
        evaluated(state["ItemSelector"], Index=number, Value=item)
        for number, item in enumerate(items)
    ]
    plain = {k: v for k, v in state.items() if k not in {"ItemReader", "ItemSelector", "Output"}}
    plain["MaxConcurrency"] = evaluated(state["MaxConcurrency"])
    _, follow = _run_distributed_map(plain, raw_input, selected, iterator, execution, context)
    return evaluated(state["Output"]), follow


if __name__ == "__main__":
    stepfunctions._run_distributed_map = _run_distributed_map_of_expressions
    end = _end_with_parent if "--tied" in sys.argv else _end_with_home
    threading.Thread(target=end, daemon=True).start()
    sys.argv = ["ministack"]
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
