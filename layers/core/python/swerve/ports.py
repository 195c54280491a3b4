"""What the use-cases need from the outside; `swerve.adapters` answers on AWS, tests with fakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from swerve.domain.file import FileToRead, Shape
    from swerve.domain.kept import Kept
    from swerve.domain.manifest import Manifest
    from swerve.domain.network import Network
    from swerve.domain.rows import Pieces


LAYOUT = "shards"  # name of the control item that says how stored data is laid out


@dataclass(frozen=True, slots=True)
class UploadedObject:
    """One version of one uploaded object, key already URL-decoded."""

    bucket: str
    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What S3 knows of an object without reading it."""

    size_bytes: int
    uploaded_ms: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartialItem:
    """One stored segment of one batch's events for one (shard, window)."""

    shard: int
    window: int
    batch_id: str
    segment: int
    data: bytes
    events: int


@dataclass(frozen=True, slots=True)
class WindowControl:
    """Work state of one window: it needs a close while dirty > closed."""

    window: int
    dirty: int
    closed: int


class Uploads(Protocol):
    """The bucket that pipelines drop files into; read only."""

    def head(self, uploaded: UploadedObject) -> ObjectHead:
        """Raise `UploadGone` when the version no longer exists."""
        ...

    def download(self, uploaded: UploadedObject, path: Path) -> None:
        """Copy the object's bytes to a local file."""
        ...

    def stored(self, bucket: str) -> Iterator[tuple[UploadedObject, int]]:
        """All versions that still exist, with their size in bytes."""
        ...


class Data(Protocol):
    """The bucket for receipts, checkpoints, pages and every other file that Swerve writes."""

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return the bytes, or None where there is no such key."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys under a prefix, in order."""
        ...


class Windows(Protocol):
    """The windows table: partials, manifests, control, vocabulary."""

    def put_partials(self, partials: Iterable[PartialItem], expires_s: int) -> None:
        """Write at deterministic keys: writing again changes nothing."""
        ...

    def under(self, shard_count: int) -> Windows:
        """Return the same table as laid out by another count: its partials are others."""
        ...

    def partials(self, shard: int, first: int, last: int) -> Iterator[PartialItem]:
        """Partials of a shard with first <= window <= last, ordered (window, batch, segment)."""
        ...

    def put_manifest(
        self, manifest: Manifest, expires_s: int, layout: Mapping[str, str | int]
    ) -> bool:
        """Write once, while `LAYOUT` is this; False where the batch had one, or it is another."""
        ...

    def manifest(self, batch_id: str) -> Manifest | None:
        """Read consistently."""
        ...

    def manifests(self) -> Iterator[Manifest]:
        """All live manifests, ordered by batch id."""
        ...

    def raise_dirty(self, windows: Iterable[int]) -> None:
        """Add 1 to `dirty` of each window."""
        ...

    def control(self) -> tuple[WindowControl, ...]:
        """All windows ever touched and not expired, in order; read consistently."""
        ...

    def set_closed(self, seen: Mapping[int, int]) -> None:
        """Set `closed` of each window to the counter seen, never backwards."""
        ...

    def put_watermark(self, source: str, watermark_ms: int, seen_ms: int) -> None:
        """Move a source's watermark forward (never back) and note when it was last active."""
        ...

    def watermarks(self) -> Mapping[str, tuple[int, int]]:
        """Source -> (watermark_ms, seen_ms)."""
        ...

    def state(self, name: str) -> Mapping[str, str | int] | None:
        """A named control item: `shards`, `models`, `publish#email` ..."""
        ...

    def put_state(
        self, name: str, value: Mapping[str, str | int], expected: Mapping[str, str | int] | None
    ) -> bool:
        """Compare and set; `expected` None means there must be none. False when it differs."""
        ...

    def acquire_lease(self, name: str, owner: str, now_ms: int, until_ms: int) -> bool:
        """Take a lease that is free, expired, or already this owner's."""
        ...

    def release_lease(self, name: str, owner: str) -> None:
        """Give it back; harmless where it is no longer this owner's."""
        ...

    def put_names(self, names: Mapping[int, str]) -> None:
        """Add to the vocabulary (key -> name); idempotent."""
        ...

    def names(self, keys: Iterable[int]) -> Mapping[int, str]:
        """Known names of keys."""
        ...


class StoredShards(Windows, Protocol):
    """The windows table for who moves users from shard to shard."""

    def under(self, shard_count: int) -> StoredShards:
        """Return the same table as laid out by another count: its partials are others."""
        ...

    def items(self, shard: int) -> Iterator[tuple[PartialItem, int]]:
        """All partials of a shard, ordered (window, batch, segment), and when each expires."""
        ...

    def put_items(self, partials: Iterable[tuple[PartialItem, int]]) -> None:
        """As `put_partials`, each with its own expiry."""
        ...

    def remove_shard(self, shard: int) -> None:
        """Delete all partials of a shard."""
        ...

    def amend_manifest(self, manifest: Manifest) -> None:
        """Write another text of a manifest that there is; its expiry stays."""
        ...


class StoredData(Data, Protocol):
    """The data bucket for who also deletes."""

    def remove(self, key: str) -> None:
        """Delete; harmless where there is no such key."""
        ...


class Deployment(Protocol):
    """The parameters of the stack."""

    def set_shard_count(self, shard_count: int) -> None:
        """Give all functions the new count, and return when they have it."""
        ...


STATES = ("selected", "folded", "held", "sending", "sent")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One row of the alerts table, the outbox.

    `state` is one of `STATES`; `status` is open | updated | resolved | withdrawn. `payload` is the
    interest-alert JSON. `revision` goes up by one with every put.
    `told` names the channels that have the present text ("email sms events"), so that each is
    told once. `lease_ms`: until when a `sending` row belongs to the function that sends it.
    """

    window: int
    subject_kind: str
    alert_id: str
    state: str
    status: str
    severity: str
    payload: str
    revision: int = 0
    lease_ms: int = 0
    told: str = ""


class Alerts(Protocol):
    """The alerts table."""

    def put(self, row: AlertRow, expected_revision: int | None) -> bool:
        """Compare and set on `revision` (None: must be new). False when it differs."""
        ...

    def get(self, window: int, subject_kind: str) -> AlertRow | None:
        """Read consistently."""
        ...

    def in_window(self, window: int) -> Sequence[AlertRow]:
        """All rows of a window, ordered."""
        ...

    def in_state(self, states: Iterable[str]) -> Iterator[AlertRow]:
        """Rows in these states, over all windows."""
        ...


class Eraser(Protocol):
    """Takes away what is stored of a person; else only a split deletes, what it has copied."""

    def replace_partial(
        self, partial: PartialItem, data: bytes, before: Manifest, after: Manifest
    ) -> None:
        """Give a partial other bytes (none: delete it) and note it in its manifest: both or none.

        Raise `TransientFault` where the partial is gone, the manifest is not `before` any more, or
        shards are being split.
        """
        ...

    def remove_partial(self, partial: PartialItem, shard_count: int) -> None:
        """Delete a partial that exists for nobody, of one of so many shards."""
        ...

    def remove_alert(self, row: AlertRow) -> None:
        """Delete a row of the alerts table, whatever its state."""
        ...

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Overwrite a file of the data bucket."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Delete files of the data bucket."""
        ...

    def remove_old_versions(self, prefix: str, endings: Sequence[str] = ("",)) -> None:
        """Delete what a versioned bucket keeps of files that were overwritten or deleted.

        Only of those whose keys end in one of the endings.
        """
        ...


class Models(Protocol):
    """The networks, by generation: the deployed one, and what windows were closed with before."""

    @property
    def lost(self) -> bool:
        """Whether one was asked for, or deployed, that is not to be had."""
        ...

    def keep(self) -> None:
        """Have the deployed one also when another is deployed."""
        ...

    def network(self, generation: str) -> Network | None:
        """Return it; None, with a warning, where it is not to be had."""
        ...


class Queue(Protocol):
    """A queue that this function may write to."""

    def send(self, bodies: Sequence[str]) -> None:
        """Send all, or raise."""
        ...


class Topic(Protocol):
    """An SNS topic."""

    def publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        """Publish one message; return its id."""
        ...


class CloseStarter(Protocol):
    """Starts the close workflow."""

    def start(self, name: str, payload: Mapping[str, object]) -> None:
        """Start once; a name already used counts as started."""
        ...


class Clock(Protocol):
    """The time of day; injected."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...


class RowStore(Protocol):
    """Rows of one file between reading and packing."""

    def add(self, kept: Kept, routing: NDArray[np.uint32]) -> None:
        """Take rows, and the routing hash of the user of each."""
        ...

    def groups(self, shard_count: int) -> Iterator[Iterator[Kept]]:
        """Yield groups of users in chunks, in an order that depends on the rows alone."""
        ...


class Files(Protocol):
    """Reads files on local disk."""

    def sniff(self, path: Path, limit_bytes: int) -> Shape:
        """Tell format and fields; raise `Refused`."""
        ...

    def open(
        self, file: FileToRead, folder: Path, lookup: tuple[Path, Shape] | None
    ) -> AbstractContextManager[Pieces]:
        """Open for reading."""
        ...

    def store(self, folder: Path) -> RowStore:
        """Make room for rows between reading and packing."""
        ...


class Worker(Protocol):
    """An object in this process or another, whose methods are called by name.

    Ask all workers, then wait for the answers: those in other processes work at the same time.
    """

    def ask(self, what: str, *arguments: Any) -> None:
        """Begin a call of a method."""
        ...

    def answer(self) -> Any:
        """Return what the last call returned, or raise what it raised."""
        ...
