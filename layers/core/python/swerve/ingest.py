"""Ingest: one uploaded file becomes partials, a manifest and a receipt.

Order is what makes it exact: partials at keys that depend on the content alone, then the manifest
that makes them exist, then the dirty counters, watermark, score messages and close, and the
receipt last. A crash anywhere is completed by the redelivery; nothing is written twice over.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swerve.batch import Batch, Origin, Task
from swerve.conventions import side_file, sources
from swerve.deployed import check_deployed
from swerve.domain.file import Refused
from swerve.domain.recognise import recognise
from swerve.domain.watermark import Progress
from swerve.domain.window import DAY_MS
from swerve.errors import TransientFault, UploadGone
from swerve.receipt import (
    Receipt,
    Status,
    bad_rows_text,
    iso,
    of_manifest,
    quarantine_key,
    receipt_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swerve.domain.manifest import Manifest
    from swerve.domain.pseudonym import Keyring
    from swerve.ports import (
        Clock,
        CloseStarter,
        Data,
        Files,
        ObjectHead,
        Queue,
        UploadedObject,
        Uploads,
        Windows,
    )
    from swerve.settings import Settings

MARGIN_S = 20.0  # enough to write what was read, and to answer
_MOST_TIMEOUTS = 2
_SOURCE = re.compile(r"(?:^|/)source=([^/]+)/")
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class IngestDeps:
    """What ingest needs of the outside."""

    settings: Settings
    keyring: Keyring
    uploads: Uploads
    data: Data
    windows: Windows
    scores: Queue
    closes: CloseStarter
    clock: Clock
    files: Files


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message reached us.

    Attributes
    ----------
    attempt : int
        How often it was received, from 1.
    seconds_left : callable
        Until the function is stopped.
    """

    attempt: int = 1
    seconds_left: Callable[[], float] = lambda: float("inf")


def is_ignored(key: str, size_bytes: int) -> bool:
    """Whether an object is no data: markers, temporary and hidden files, folders, nothing.

    Examples
    --------
    >>> is_ignored("events/_SUCCESS", 0), is_ignored("events/day.csv", 10)
    (True, False)
    """
    hidden = any(part.startswith((".", "_")) for part in key.split("/"))
    return hidden or key.endswith("/") or size_bytes == 0


def ingest(uploaded: UploadedObject, deps: IngestDeps, delivery: Delivery | None = None) -> Receipt:
    """Take one uploaded object.

    Raises
    ------
    TransientFault
        Where a retry may help. Every other outcome is a receipt.
    """
    began_ms = deps.clock.now_ms()
    with tempfile.TemporaryDirectory(prefix="swerve-", ignore_cleanup_errors=True) as folder:
        work = _Ingest(uploaded, deps, delivery or Delivery(), Path(folder), began_ms)
        try:
            receipt = work.run()
        except Refused as refused:
            receipt = _refusal(uploaded, refused, deps.clock.now_ms())
            deps.data.put(receipt_key(uploaded), receipt.to_json().encode(), "application/json")
        except UploadGone as gone:
            receipt = Receipt(
                Status.IGNORED, uploaded.key, uploaded.version, reason="gone", detail=str(gone)
            )
    return receipt


def _refusal(uploaded: UploadedObject, refused: Refused, now_ms: int) -> Receipt:
    return Receipt(
        Status.REFUSED,
        uploaded.key,
        uploaded.version,
        answered=iso(now_ms),
        reason=refused.reason,
        detail=refused.detail,
        advice=refused.advice,
    )


class _Ingest:
    def __init__(
        self,
        uploaded: UploadedObject,
        deps: IngestDeps,
        delivery: Delivery,
        folder: Path,
        began_ms: int,
    ) -> None:
        self._uploaded, self._deps = uploaded, deps
        self._delivery, self._folder = delivery, folder
        self._began_ms = began_ms
        self._settings = deps.settings

    def run(self) -> Receipt:
        deps, uploaded = self._deps, self._uploaded
        layout = check_deployed(deps.windows, self._settings)
        head = deps.uploads.head(uploaded)
        if is_ignored(uploaded.key, head.size_bytes):
            return Receipt(Status.IGNORED, uploaded.key, uploaded.version, reason="no_data")
        limit_bytes = self._settings.max_object_mb * 1_000_000
        if head.size_bytes > limit_bytes:
            raise Refused(
                "too_large",
                f"The object has {head.size_bytes // 1_000_000:,} MB;"
                f" {self._settings.max_object_mb:,} are taken.",
                "Split it, or raise MaxObjectMB.",
            )
        path = self._folder / "upload"
        deps.uploads.download(uploaded, path)
        named = _named(uploaded, head)
        shape = deps.files.sniff(path, limit_bytes)
        recognised = recognise(shape, sources(deps.data, named), named)
        side = side_file(recognised.source.lookup, deps.data, deps.files, self._folder)
        version = side.version if side else ""
        batch_id = _batch_id(path, recognised.source.digest, version)
        manifest = deps.windows.manifest(batch_id)
        if manifest is not None:
            return self._known(manifest)
        task = Task(
            path,
            self._folder,
            shape,
            recognised,
            (side.path, side.shape) if side else None,
            self._earliest_ms(),
            # By the upload's time, not the clock: a retry must judge every row alike.
            head.uploaded_ms + DAY_MS,
            self._stop_in_time,
        )
        batch = Batch(task, self._settings, deps.keyring, deps.files)
        with _Attempts(deps.windows, batch_id, self._delivery):
            batch.read()
            if recognised.source.lookup and side is None:
                batch.flags["lookup_missing"] = 1
            return self._store(batch, batch_id, named, head, layout)

    def _earliest_ms(self) -> int:
        """Start of the oldest window within the horizon: whole windows are refused, or none.

        So a retry that finds a later watermark leaves no half-written window behind.
        """
        settings = self._settings
        progress = Progress.of(
            self._deps.windows.watermarks(), self._began_ms, settings.source_idle_s
        )
        if progress is None:
            return 0
        horizon = np.array([progress.horizon_ms(settings.horizon_days)], np.int64)
        return settings.windows.start_ms(int(settings.windows.window_of(horizon)[0]))

    def _stop_in_time(self) -> None:
        if self._delivery.seconds_left() > MARGIN_S:
            return
        if self._delivery.attempt < _MOST_TIMEOUTS:
            raise TransientFault(f"{self._uploaded.key}: time ran out; it is tried once more")
        raise Refused(
            "too_slow",
            "The file could not be read within the function's timeout, twice.",
            "Split it into smaller files.",
        )

    def _store(
        self,
        batch: Batch,
        batch_id: str,
        source: str,
        head: ObjectHead,
        layout: Mapping[str, str | int],
    ) -> Receipt:
        deps, uploaded = self._deps, self._uploaded
        expires_s = head.uploaded_ms // 1000 + self._settings.retention_days * 86_400
        deps.windows.put_partials(batch.partials(batch_id), expires_s)
        manifest = batch.manifest(
            Origin(
                batch_id,
                uploaded.key,
                uploaded.version,
                source,
                head.size_bytes,
                head.uploaded_ms,
            )
        )
        deps.windows.put_names(batch.names())
        quarantine = self._quarantine(batch)
        while not deps.windows.put_manifest(manifest, expires_s, layout):
            known = deps.windows.manifest(batch_id)
            if known is not None:
                return self._known(known)
            # Shards were split meanwhile: these partials are of no use, a redelivery writes others.
            layout = check_deployed(deps.windows, self._settings)
        return self._finish(manifest, quarantine)

    def _quarantine(self, batch: Batch) -> str:
        samples = batch.rejected.samples
        rows = [row for reason in sorted(samples) for row in samples[reason]]
        if not rows:
            return ""
        key = quarantine_key(self._uploaded)
        body = gzip.compress(bad_rows_text(rows).encode(), mtime=0)
        self._deps.data.put(key, body, "application/gzip")
        return key

    def _known(self, manifest: Manifest) -> Receipt:
        """Answer for content that was read before, and finish what a crash left undone."""
        deps, uploaded = self._deps, self._uploaded
        first = replace(uploaded, key=manifest.key, version=manifest.version)
        told = deps.data.get(receipt_key(first))
        receipt = Receipt.from_json(told) if told else self._finish(manifest, "")
        if first == uploaded:
            return receipt
        receipt = replace(
            receipt,
            status=Status.DUPLICATE,
            key=uploaded.key,
            version=uploaded.version,
            same_as=manifest.key,
            answered=iso(deps.clock.now_ms()),
        )
        deps.data.put(receipt_key(uploaded), receipt.to_json().encode(), "application/json")
        return receipt

    def _finish(self, manifest: Manifest, quarantine: str) -> Receipt:
        """Everything after the manifest; harmless when done again."""
        deps, settings = self._deps, self._settings
        deps.windows.raise_dirty(sorted(manifest.windows))
        if manifest.packed:
            seen_ms = deps.clock.now_ms()
            deps.windows.put_watermark(manifest.source, manifest.watermark_ms, seen_ms)
            if settings.early == "on":
                deps.scores.send([json.dumps({"shard": shard}) for shard in manifest.shards])
            self._start_close()
        labels = [settings.windows.label(window) for window in sorted(manifest.windows)]
        receipt = of_manifest(manifest, labels, self._began_ms, deps.clock.now_ms(), quarantine)
        first = replace(self._uploaded, key=manifest.key, version=manifest.version)
        deps.data.put(receipt_key(first), receipt.to_json().encode(), "application/json")
        return receipt

    def _start_close(self) -> None:
        """Start the workflow where a changed window is complete.

        At most once in a settling time, by the name: the execution that was started in it waits so
        long that it plans after it, and sees this batch.
        """
        deps, settings = self._deps, self._settings
        sources = deps.windows.watermarks()
        now_ms = deps.clock.now_ms()  # after all that the execution is to see
        progress = Progress.of(sources, now_ms, settings.source_idle_s)
        if progress is None:
            return
        complete = progress.newest_complete(
            settings.windows, now_ms, settings.lateness_s, settings.settle_s
        )
        if any(c.dirty > c.closed and c.window <= complete for c in deps.windows.control()):
            settle_ms = max(settings.settle_s, 1) * 1000
            deps.closes.start(f"settling-{now_ms // settle_ms}-of-{settle_ms}-ms", {"waits": 0})


class _Attempts:
    """Notes redelivered batches, so that one that kills the process is given up in the end.

    A first delivery notes nothing: it costs no write.
    """

    def __init__(self, windows: Windows, batch_id: str, delivery: Delivery) -> None:
        self._windows, self._name = windows, f"ingest#{batch_id}"
        self._redelivered = delivery.attempt > 1

    def __enter__(self) -> None:
        if not self._redelivered:
            return
        known = self._windows.state(self._name)
        if known and known["begun"]:
            raise Refused(
                "killed",
                "Reading the file ended the function twice, by time or memory.",
                "Split it into smaller files.",
            )
        self._windows.put_state(self._name, {"begun": 1}, known)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._redelivered and (kind is None or issubclass(kind, Exception)):
            self._windows.put_state(self._name, {"begun": 0}, {"begun": 1})


def _named(uploaded: UploadedObject, head: ObjectHead) -> str:
    """What the uploader calls the source: by the key, or by the object's metadata."""
    found = _SOURCE.search(uploaded.key)
    return found[1] if found else head.metadata.get("adapter", "")


def _batch_id(path: Path, adapter_digest: str, lookup_version: str) -> str:
    digest = blake2b(digest_size=16, person=b"swerve-batch")
    with path.open("rb") as file:
        while chunk := file.read(_COPY_BYTES):
            digest.update(chunk)
    digest.update(f"|{adapter_digest}|{lookup_version}".encode())
    return digest.hexdigest()
