"""Check: what ingest would say of a file, before it is uploaded."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from swerve.batch import Batch, Origin, Task
from swerve.domain.file import Refused
from swerve.domain.pseudonym import Keyring
from swerve.domain.recognise import recognise
from swerve.domain.window import DAY_MS
from swerve.receipt import Receipt, Status, of_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.domain.rows import BadRow
    from swerve.domain.source import Source
    from swerve.ports import Clock, Files
    from swerve.settings import Settings

# Pseudonyms of a check are thrown away.
_KEYRING = Keyring.parse('{"current": "checked here, kept nowhere"}')
_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """A receipt, and the first bad rows of each reason."""

    receipt: Receipt
    bad_rows: tuple[BadRow, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckDeps:
    """What check needs of the outside."""

    settings: Settings
    files: Files
    clock: Clock
    sources: Sequence[Source]


def check(path: Path, deps: CheckDeps, named: str = "", lookup: Path | None = None) -> Checked:
    """Read a file as ingest would; nothing is stored.

    Parameters
    ----------
    path : Path
    named : str
        The adapter, as in `events/source=<named>/`; empty: by the file's fields.
    lookup : Path, optional
        The side file that the adapter joins.
    """
    now_ms = deps.clock.now_ms()
    size_bytes = path.stat().st_size
    limit_bytes = deps.settings.max_object_mb * 1_000_000
    if size_bytes == 0:
        return Checked(Receipt(Status.IGNORED, path.name, "", reason="no_data"))
    with tempfile.TemporaryDirectory(prefix="swerve-") as folder:
        try:
            shape = deps.files.sniff(path, limit_bytes)
            task = Task(
                path,
                Path(folder),
                shape,
                recognise(shape, deps.sources, named),
                (lookup, deps.files.sniff(lookup, limit_bytes)) if lookup else None,
                earliest_ms=0,
                latest_ms=now_ms + DAY_MS,
                checkpoint=lambda: None,
            )
            batch = Batch(task, deps.settings, _KEYRING, deps.files)
            batch.read()
            if task.recognised.source.lookup and lookup is None:
                batch.flags["lookup_missing"] = 1
            for _ in batch.partials("0" * 32):
                pass
        except Refused as refused:
            return Checked(
                Receipt(
                    Status.REFUSED,
                    path.name,
                    "",
                    size_bytes=size_bytes,
                    reason=refused.reason,
                    detail=refused.detail,
                    advice=refused.advice,
                )
            )
    manifest = batch.manifest(Origin("", path.name, "", named, size_bytes, now_ms))
    labels = [deps.settings.windows.label(window) for window in sorted(batch.windows)]
    shown = [row for rows in batch.rejected.samples.values() for row in islice(rows, _SHOWN_ROWS)]
    return Checked(of_manifest(manifest, labels, now_ms, deps.clock.now_ms()), tuple(shown))
