"""In-memory ports with fault injection.

All fakes of one `World` share one `Faults`, so that "the k-th call" counts over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from swerve.errors import UploadGone
from swerve.ports import (
    LAYOUT,
    AlertRow,
    ObjectHead,
    PartialItem,
    UploadedObject,
    WindowControl,
)

from tests.fake_eraser import FakeEraser
from tests.faults import Faults, guarded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from swerve.domain.manifest import Manifest


@dataclass
class ManualClock:
    """Time that only a test moves."""

    ms: int = 1_767_225_600_000  # 2026-01-01

    def now_ms(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


@dataclass
class FakeUploads:
    faults: Faults = field(default_factory=Faults)
    objects: dict[UploadedObject, tuple[bytes, ObjectHead]] = field(default_factory=dict)

    def add(
        self,
        key: str,
        body: bytes,
        uploaded_ms: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> UploadedObject:
        """Upload a new version of a key."""
        versions = sum(known.key == key for known in self.objects)
        uploaded = UploadedObject("uploads", key, f"v{versions + 1}")
        head = ObjectHead(len(body), uploaded_ms, dict(metadata or {}))
        self.objects[uploaded] = (bytes(body), head)
        return uploaded

    @guarded
    def head(self, uploaded: UploadedObject) -> ObjectHead:
        return self._found(uploaded)[1]

    @guarded
    def download(self, uploaded: UploadedObject, path: Path) -> None:
        path.write_bytes(self._found(uploaded)[0])

    @guarded
    def stored(self, bucket: str) -> Iterator[tuple[UploadedObject, int]]:
        assert bucket == "uploads"
        return iter([(found, head.size_bytes) for found, (_, head) in self.objects.items()])

    def _found(self, uploaded: UploadedObject) -> tuple[bytes, ObjectHead]:
        if uploaded not in self.objects:
            raise UploadGone(f"{uploaded.key} version {uploaded.version} was deleted")
        return self.objects[uploaded]


@dataclass
class FakeData:
    """Keeps versions, as the bucket does."""

    faults: Faults = field(default_factory=Faults)
    files: dict[str, bytes] = field(default_factory=dict)
    old: list[tuple[str, bytes]] = field(default_factory=list)

    @guarded
    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        assert content_type
        if key in self.files:
            self.old.append((key, self.files[key]))
        self.files[key] = bytes(body)

    @guarded
    def get(self, key: str) -> bytes | None:
        return self.files.get(key)

    @guarded
    def remove(self, key: str) -> None:
        if key in self.files:
            self.old.append((key, self.files.pop(key)))

    @guarded
    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.files if key.startswith(prefix)))


@dataclass
class FakeWindows:
    faults: Faults = field(default_factory=Faults)
    stored: dict[tuple[int, int, str, int], PartialItem] = field(default_factory=dict)
    batches: dict[str, Manifest] = field(default_factory=dict)
    counters: dict[int, WindowControl] = field(default_factory=dict)
    sources: dict[str, tuple[int, int]] = field(default_factory=dict)
    states: dict[str, dict[str, str | int]] = field(default_factory=dict)
    leases: dict[str, tuple[str, int]] = field(default_factory=dict)
    vocabulary: dict[int, str] = field(default_factory=dict)
    expiries: dict[str, int] = field(default_factory=dict)
    shard_count: int = 2
    layouts: dict[int, dict[tuple[int, int, str, int], PartialItem]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layouts.setdefault(self.shard_count, self.stored)

    def under(self, shard_count: int) -> FakeWindows:
        stored = self.layouts.setdefault(shard_count, {})
        return replace(self, stored=stored, shard_count=shard_count)

    @guarded
    def items(self, shard: int) -> Iterator[tuple[PartialItem, int]]:
        return iter(
            [
                (self.stored[key], self.expiries[key[2]])
                for key in sorted(self.stored)
                if key[0] == shard
            ]
        )

    def put_items(self, partials: Iterable[tuple[PartialItem, int]]) -> None:
        for partial, expires_s in partials:
            self._put_partial(partial, expires_s)

    def remove_shard(self, shard: int) -> None:
        for key in [key for key in sorted(self.stored) if key[0] == shard]:
            self._remove_partial(key)

    @guarded
    def _remove_partial(self, key: tuple[int, int, str, int]) -> None:
        self.stored.pop(key, None)

    @guarded
    def amend_manifest(self, manifest: Manifest) -> None:
        known = self.batches.get(manifest.batch_id)
        if known is not None:  # what was erased has an attribute of its own
            self.batches[manifest.batch_id] = replace(manifest, erased=known.erased)

    def put_partials(self, partials: Iterable[PartialItem], expires_s: int) -> None:
        for partial in partials:
            self._put_partial(partial, expires_s)

    @guarded
    def _put_partial(self, partial: PartialItem, expires_s: int) -> None:
        assert len(partial.data) <= 350_000
        assert expires_s > 0
        assert self.expiries.setdefault(partial.batch_id, expires_s) == expires_s
        key = (partial.shard, partial.window, partial.batch_id, partial.segment)
        self.stored[key] = replace(partial, data=bytes(partial.data))

    @guarded
    def partials(self, shard: int, first: int, last: int) -> Iterator[PartialItem]:
        return iter(
            [
                self.stored[key]
                for key in sorted(self.stored)
                if key[0] == shard and first <= key[1] <= last
            ]
        )

    @guarded
    def put_manifest(
        self, manifest: Manifest, expires_s: int, layout: Mapping[str, str | int]
    ) -> bool:
        assert expires_s > 0
        if manifest.batch_id in self.batches or self.states.get(LAYOUT) != layout:
            return False
        self.batches[manifest.batch_id] = replace(
            manifest, rejected=dict(manifest.rejected), windows=dict(manifest.windows)
        )
        return True

    @guarded
    def manifest(self, batch_id: str) -> Manifest | None:
        return self.batches.get(batch_id)

    @guarded
    def manifests(self) -> Iterator[Manifest]:
        return iter([self.batches[batch_id] for batch_id in sorted(self.batches)])

    def raise_dirty(self, windows: Iterable[int]) -> None:
        for window in windows:
            self._raise_dirty(window)

    @guarded
    def _raise_dirty(self, window: int) -> None:
        now = self.counters.get(window, WindowControl(window, 0, 0))
        self.counters[window] = replace(now, dirty=now.dirty + 1)

    @guarded
    def control(self) -> tuple[WindowControl, ...]:
        return tuple(self.counters[window] for window in sorted(self.counters))

    def set_closed(self, seen: Mapping[int, int]) -> None:
        for window, counter in sorted(seen.items()):
            self._set_closed(window, counter)

    @guarded
    def _set_closed(self, window: int, counter: int) -> None:
        now = self.counters.get(window, WindowControl(window, 0, 0))
        self.counters[window] = replace(now, closed=max(now.closed, counter))

    @guarded
    def put_watermark(self, source: str, watermark_ms: int, seen_ms: int) -> None:
        known = self.sources.get(source, (watermark_ms, seen_ms))
        self.sources[source] = (max(known[0], watermark_ms), max(known[1], seen_ms))

    @guarded
    def watermarks(self) -> Mapping[str, tuple[int, int]]:
        return dict(sorted(self.sources.items()))

    @guarded
    def state(self, name: str) -> Mapping[str, str | int] | None:
        known = self.states.get(name)
        return None if known is None else dict(known)

    @guarded
    def put_state(
        self, name: str, value: Mapping[str, str | int], expected: Mapping[str, str | int] | None
    ) -> bool:
        known = self.states.get(name)
        if known != (None if expected is None else dict(expected)):
            return False
        self.states[name] = dict(value)
        return True

    @guarded
    def acquire_lease(self, name: str, owner: str, now_ms: int, until_ms: int) -> bool:
        holder, expiry = self.leases.get(name, (owner, 0))
        if holder != owner and expiry > now_ms:
            return False
        self.leases[name] = (owner, until_ms)
        return True

    @guarded
    def release_lease(self, name: str, owner: str) -> None:
        if self.leases.get(name, ("", 0))[0] == owner:
            del self.leases[name]

    @guarded
    def put_names(self, names: Mapping[int, str]) -> None:
        self.vocabulary.update(names)

    @guarded
    def names(self, keys: Iterable[int]) -> Mapping[int, str]:
        return {key: self.vocabulary[key] for key in keys if key in self.vocabulary}


@dataclass
class FakeAlerts:
    faults: Faults = field(default_factory=Faults)
    rows: dict[tuple[int, str], AlertRow] = field(default_factory=dict)

    @guarded
    def put(self, row: AlertRow, expected_revision: int | None) -> bool:
        known = self.rows.get((row.window, row.subject_kind))
        if (None if known is None else known.revision) != expected_revision:
            return False
        self.rows[row.window, row.subject_kind] = row
        return True

    @guarded
    def get(self, window: int, subject_kind: str) -> AlertRow | None:
        return self.rows.get((window, subject_kind))

    @guarded
    def in_window(self, window: int) -> Sequence[AlertRow]:
        return [self.rows[key] for key in sorted(self.rows) if key[0] == window]

    @guarded
    def in_state(self, states: Iterable[str]) -> Iterator[AlertRow]:
        wanted = frozenset(states)
        return iter([self.rows[key] for key in sorted(self.rows) if self.rows[key].state in wanted])


@dataclass
class FakeQueue:
    faults: Faults = field(default_factory=Faults)
    bodies: list[str] = field(default_factory=list)

    @guarded
    def send(self, bodies: Sequence[str]) -> None:
        self.bodies.extend(bodies)

    def drain(self) -> list[str]:
        """Take all messages."""
        taken, self.bodies = self.bodies, []
        return taken


@dataclass(frozen=True)
class Published:
    message: str
    subject: str | None
    attributes: Mapping[str, object]


@dataclass
class FakeTopic:
    faults: Faults = field(default_factory=Faults)
    published: list[Published] = field(default_factory=list)

    @guarded
    def publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        self.published.append(Published(message, subject, dict(attributes)))
        return f"message-{len(self.published)}"


@dataclass
class FakeCloseStarter:
    faults: Faults = field(default_factory=Faults)
    started: dict[str, dict[str, object]] = field(default_factory=dict)

    @guarded
    def start(self, name: str, payload: Mapping[str, object]) -> None:
        self.started.setdefault(name, dict(payload))


class FakeNetwork:
    """A recurrent step without training: the state decays towards the inputs' mean."""

    hidden = 4

    def step(self, inputs: object, state: object) -> tuple[object, object]:
        rows = np.asarray(inputs, np.float32)
        mean = rows.mean(axis=1, keepdims=True, dtype=np.float32)
        after = (np.float32(0.5) * np.asarray(state, np.float32) + mean).astype(np.float32)
        return rows.copy(), after


class World:
    """One whole outside: every port, one `Faults`, one clock."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.clock = ManualClock()
        self.uploads = FakeUploads(self.faults)
        self.data = FakeData(self.faults)
        self.windows = FakeWindows(self.faults)
        self.alerts = FakeAlerts(self.faults)
        self.eraser = FakeEraser(self)
        self.score_queue = FakeQueue(self.faults)
        self.notify_queue = FakeQueue(self.faults)
        self.email = FakeTopic(self.faults)
        self.sms = FakeTopic(self.faults)
        self.events = FakeTopic(self.faults)
        self.workflow = FakeCloseStarter(self.faults)

    def break_with(
        self, crash_at: int | None = None, throttle: float = 0.0, seed: int = 0, retries: int = 0
    ) -> None:
        """Start injecting faults; the call count starts anew."""
        self.faults.__init__(crash_at, throttle, seed, retries)  # type: ignore[misc] - same object, shared
