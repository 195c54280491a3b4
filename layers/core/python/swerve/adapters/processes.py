"""Workers: objects that live in this process or in one of their own, and are asked the same way."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from swerve.ports import Worker


class Here:
    """A worker in this process."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._worker = make()

    def ask(self, what: str, *arguments: Any) -> None:
        """Call a method."""
        self._answer = getattr(self._worker, what)(*arguments)

    def answer(self) -> Any:
        """Return what the last call returned."""
        return self._answer


class Apart:
    """A worker in a process of its own, which ends with this one."""

    def __init__(self, make: Callable[[], object]) -> None:
        # A fresh interpreter: a fork would take over locks of threads that it does not have.
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, there), daemon=True)
        # Ctrl-C is for this process: the other ends when its pipe closes.
        answered = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, answered)
        there.close()

    def ask(self, what: str, *arguments: Any) -> None:
        """Begin a call of a method; ask the others before waiting for the answer."""
        self._here.send((what, arguments))

    def answer(self) -> Any:
        """Wait for what the last call returned, or raise what it raised."""
        try:
            value, fault = self._here.recv()
        except EOFError as ended:
            raise RuntimeError("a process of this command ended: out of memory?") from ended
        if fault is not None:
            raise fault
        return value

    def stop(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()


@contextmanager
def workers(make: Callable[[], object], count: int) -> Iterator[list[Worker]]:
    """Start `count` workers: one is in this process, more are in processes of their own.

    Parameters
    ----------
    make : callable
        Makes the object in its process; where there are several, it must pickle.
    """
    if count == 1:
        yield [Here(make)]
        return
    started: list[Apart] = []
    try:
        for _ in range(count):
            started.append(Apart(make))  # noqa: PERF401 - those before a failed one must end
        yield list(started)
    finally:
        for worker in started:
            worker.stop()


def _serve(make: Callable[[], object], there: Connection) -> None:
    """Answer until the other side closes or dies: then nobody is left to be told of a fault."""
    worker = make()
    with suppress(EOFError, OSError):
        while True:
            what, arguments = there.recv()
            there.send(_called(worker, what, arguments))


def _called(worker: object, what: str, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return getattr(worker, what)(*arguments), None
    except Exception as fault:
        return None, fault
