"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from types import TracebackType


class Progress:
    """Counts the steps of one task."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.done = title, total, done
        self.bar: Bar | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self.bar = Bar(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self.task = self.bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, note: str = "") -> None:
        """One more step is done."""
        self.done += 1
        if self.bar:
            self.bar.update(self.task, completed=self.done, note=note)
        else:
            print(f"{self.title} {self.done}/{self.total} {note}", file=sys.stderr)  # noqa: T201
