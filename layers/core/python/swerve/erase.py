"""Erase: take away all that is kept of one customer, and nothing of anybody else.

What is packed with others is packed again without them, as if they had never been there; sums over
many stay as they are. Each step leaves a stack that every other part of Swerve can work with, and
what says where the rest lies is taken last: a crash anywhere is answered by erasing again.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from swerve import run as runs
from swerve.close import Checkpoint
from swerve.deployed import check_at_rest
from swerve.domain.candidate import Kind, Level
from swerve.domain.identity import alert_id, dedup_key, page_key
from swerve.domain.manifest import Erased
from swerve.domain.packing import users_in, without
from swerve.domain.pseudonym import shown
from swerve.domain.selection import Selection
from swerve.domain.window import EVERY_WINDOW
from swerve.dry_run import HandsTied
from swerve.errors import SwerveError
from swerve.ports import STATES
from swerve.receipt import Receipt, quarantine_key, receipt_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swerve.domain.event import Events
    from swerve.domain.manifest import Manifest
    from swerve.person import Person
    from swerve.ports import (
        Alerts,
        Clock,
        Data,
        Eraser,
        PartialItem,
        UploadedObject,
        Uploads,
        Windows,
    )
    from swerve.settings import Settings

# Short, as it is taken again on the way: who died while erasing does not keep the close waiting.
LEASE_S = 600
_RENEW_MS = 60_000
_NO_KEYS = np.empty(0, np.uint64)
# The bucket keeps versions for a week against slips; these folders may hold the customer.
_FOLDERS = ("runs/", "selection/", "pages/", "quarantine/", "outbox/")


class Place(StrEnum):
    """Where something of a customer can lie."""

    EVENTS = "events"
    CHECKPOINTS = "checkpoints"
    STANDINGS = "standings"
    ALERTS = "alerts"
    PAGES = "pages"
    QUARANTINE = "quarantine"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class EraseDeps:
    """What erasing needs of the outside.

    Attributes
    ----------
    waiting_uploads : callable
        Messages of the ingest queue, those in work included.
    """

    settings: Settings
    windows: Windows
    data: Data
    alerts: Alerts
    uploads: Uploads
    eraser: Eraser
    clock: Clock
    waiting_uploads: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Report:
    """What was taken away, or would be.

    Attributes
    ----------
    found : Counter of Place
        Events, checkpoints, cool-downs, rows, pages, lines and messages.
    partials, batches, told, run_files : int
        Partials and files that the events lie in; alerts that people or machines were told;
        working files of closes, which are removed whoever is in them.
    waiting_uploads, unfinished : int
        Uploads that are not read yet, and partials of such, which were left alone.
    uploads : tuple of UploadedObject
        Versions in the uploads bucket that still hold rows of the customer, or of one erased
        before.
    """

    found: Counter[Place]
    partials: int
    batches: int
    told: int
    run_files: int
    waiting_uploads: int
    unfinished: int
    uploads: tuple[UploadedObject, ...]

    @property
    def anything(self) -> bool:
        """Whether something of the customer was found."""
        return self.found.total() > 0


def survey(deps: EraseDeps, person: Person) -> Report:
    """Say what erasing would take away; nothing is changed."""
    return _Erasure(replace(deps, eraser=HandsTied()), person, lambda: None).run()


def erase(deps: EraseDeps, person: Person, owner: str) -> Report:
    """Take away all that is kept of a person.

    Parameters
    ----------
    owner : str
        Name of this attempt, unlike any other: it holds the lease of the close, so that none
        writes the person back.

    Raises
    ------
    SwerveError
        If a close, a split or another erasure is at work, or a split was interrupted.
    TransientFault
        If something changed under its hands; erasing again goes on from there.
    """
    lease = _Lease(deps, owner)
    lease.hold()
    try:
        return _Erasure(deps, person, lease.hold).run()
    finally:
        deps.windows.release_lease(runs.LEASE, owner)


class _Lease:
    """The lease of the close, taken again whenever a minute has passed."""

    def __init__(self, deps: EraseDeps, owner: str) -> None:
        self._deps, self._owner = deps, owner
        self._held_ms: int | None = None

    def hold(self) -> None:
        now_ms = self._deps.clock.now_ms()
        since_ms = 0 if self._held_ms is None else now_ms - self._held_ms
        if since_ms >= LEASE_S * 1000:  # what was read may be old: it must not be written back
            raise SwerveError(
                "erasing stood still for longer than it may keep others waiting, so a close or a"
                " split may have come between: run the same command again to go on"
            )
        if self._held_ms is not None and since_ms < _RENEW_MS:
            return
        until_ms = now_ms + LEASE_S * 1000
        if not self._deps.windows.acquire_lease(runs.LEASE, self._owner, now_ms, until_ms):
            raise SwerveError(
                "a close, a split or another erasure is at work, and would write back what is"
                " erased: try again in some minutes (after a close that failed, up to"
                f" {runs.LEASE_S // 60}; `swerve watch` shows it)"
            )
        self._held_ms = now_ms


@dataclass(frozen=True, slots=True)
class _Held:
    """A partial, its bytes without the person, and their events."""

    partial: PartialItem
    data: bytes
    events: Events

    @property
    def batch_id(self) -> str:
        return self.partial.batch_id


@dataclass(slots=True)
class _Erasure:
    deps: EraseDeps
    person: Person
    hold: Callable[[], None]
    found: Counter[Place] = field(default_factory=Counter)
    partials: int = 0
    batches: set[str] = field(default_factory=set)
    told: int = 0
    run_files: int = 0
    unfinished: int = 0
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def run(self) -> Report:
        """Erase place by place; events last, as they say under which names and where to look."""
        check_at_rest(self.deps.windows, self.deps.settings)
        self._working_files()
        self._messages()
        refused = self._quarantine()
        self._standings()
        self._alerts()
        self._pages()
        self._checkpoints()
        self._old_versions()
        self._events()
        self._left_by_splits()
        return Report(
            self.found,
            self.partials,
            len(self.batches),
            self.told,
            self.run_files,
            self.deps.waiting_uploads(),
            self.unfinished,
            tuple(self._uploads(refused)),
        )

    def _working_files(self) -> None:
        """Those of all runs: no close is at work, and the next one plans and writes its own."""
        keys = [k for k in self.deps.data.keys("runs/") if not k.startswith(runs.EARLY)]
        self.run_files = len(keys)
        self._remove(keys)

    def _messages(self) -> None:
        """Copies of messages that name the person, others beside them or not."""
        names = [shown(subject).encode() for subject in self.person.subjects]
        keys = [k for k, body in self._files("outbox/") if any(name in body for name in names)]
        self.found[Place.MESSAGES] = len(keys)
        self._remove(keys)

    def _quarantine(self) -> set[str]:
        """Rows that were refused; return the keys of their files."""
        refused = set()
        for key, body in self._files("quarantine/"):
            lines = gzip.decompress(body).splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["user"] not in self.person.subjects]
            if len(kept) == len(lines):
                continue
            refused.add(key)
            self.found[Place.QUARANTINE] += len(lines) - len(kept)
            self._put(key, gzip.compress(b"".join(kept), mtime=0), "application/gzip")
        return refused

    def _standings(self) -> None:
        """What the selection remembers: cool-downs and alerts whose end is watched for."""
        for key, body in self._files("selection/"):
            memory = Selection.from_json(body)
            others = memory.without(self.person.subjects)
            if gone := len(memory.standings) - len(others.standings):
                self.found[Place.STANDINGS] += gone
                self._put(key, others.to_json().encode(), "application/json")

    def _alerts(self) -> None:
        for row in list(self.deps.alerts.in_state(STATES)):
            if row.subject_kind.partition("#")[0] not in self.person.subjects:
                continue
            self.found[Place.ALERTS] += 1
            self.told += bool(row.told) or row.state in {"sending", "sent"}
            self.hold()
            self.deps.eraser.remove_alert(row)

    def _pages(self) -> None:
        """Pages by the ids that alerts of the person would have: their rows may be gone."""
        spec = self.deps.settings.windows
        possible = {
            page_key(alert_id(dedup_key(Level.USER, subject, kind, spec.label(w)), spec.end_ms(w)))
            for w in (control.window for control in self.deps.windows.control())
            for kind in Kind
            for subject in self.person.subjects
        }
        keys = [key for key in self.deps.data.keys("pages/") if key in possible]
        self.found[Place.PAGES] = len(keys)
        self._remove(keys)

    def _checkpoints(self) -> None:
        """Oldest first: the newest one knows all former names."""
        for key, body in self._files("checkpoints/", self._shard_files()):
            stored = Checkpoint.from_bytes(body)
            if self.person.among(stored.state.users):
                self.found[Place.CHECKPOINTS] += 1
                others = stored.without(self.person.users)
                self._put(key, others.to_bytes(), "application/octet-stream")

    def _old_versions(self) -> None:
        for prefix in _FOLDERS:
            self.hold()
            self.deps.eraser.remove_old_versions(prefix)
        self.hold()
        self.deps.eraser.remove_old_versions("checkpoints/", self._shard_files())

    def _events(self) -> None:
        self.manifests = {m.batch_id: m for m in self.deps.windows.manifests()}
        for shard in self.person.shards:
            every = self.deps.windows.partials(shard, *EVERY_WINDOW)
            for window, partials in groupby(every, key=lambda partial: partial.window):
                theirs = [
                    _Held(partial, *without(partial.data, self.person.users))
                    for partial in partials
                    if self.person.among(users_in(partial.data).users)
                    and self._is_readable(partial)
                ]
                self._window(window, theirs)

    def _is_readable(self, partial: PartialItem) -> bool:
        """Whether a partial has its manifest; one that will never have it goes as a whole."""
        batch_id = partial.batch_id
        if batch_id in self.manifests:
            return True
        # Asked in this order: where nothing is being read, who wrote the partial is done or dead.
        reading = self.deps.waiting_uploads()
        manifest = self.deps.windows.manifest(batch_id)
        if manifest is not None:
            self.manifests[batch_id] = manifest
        elif reading:
            self.unfinished += 1
        else:
            self._remove_partial(partial, self.deps.settings.shard_count)
        return manifest is not None

    def _left_by_splits(self) -> None:
        """Partials under a former count: a function slower than a split wrote them, for nobody."""
        now = self.deps.settings.shard_count
        for shard, count in self.person.lineages(now):
            if count == now:
                continue
            for partial in self.deps.windows.under(count).partials(shard, *EVERY_WINDOW):
                if self.person.among(users_in(partial.data).users):
                    self._remove_partial(partial, count)

    def _remove_partial(self, partial: PartialItem, shard_count: int) -> None:
        self.found[Place.EVENTS] += partial.events
        self.partials += 1
        self.hold()
        self.deps.eraser.remove_partial(partial, shard_count)

    def _window(self, window: int, theirs: list[_Held]) -> None:
        """The largest batch first: what repeats another batch's events is then known, always.

        Of an event in several batches the close counts the one in the smallest; a crash leaves the
        smaller ones as they were.
        """
        for at in reversed(range(len(theirs))):
            held = theirs[at]
            smaller = [s.events.key for s in theirs[:at] if s.batch_id != held.batch_id]
            repeats = np.isin(held.events.key, np.concatenate([_NO_KEYS, *smaller]))
            count = len(held.events)
            before = self.manifests[held.batch_id]
            after = before.erase(window, Erased(count, count - int(repeats.sum())))
            self.hold()
            self.deps.eraser.replace_partial(held.partial, held.data, before, after)
            self.manifests[held.batch_id] = after
            self.found[Place.EVENTS] += count
            self.partials += 1
            self.batches.add(held.batch_id)

    def _uploads(self, refused: set[str]) -> Iterator[UploadedObject]:
        """Uploads with rows of the person, by content: a file may have been uploaded twice."""
        batches = {m.batch_id: m for m in self.manifests.values() if m.erased}
        sizes = {manifest.size_bytes for manifest in batches.values()}
        for uploaded, size_bytes in self.deps.uploads.stored(self.deps.settings.uploads_bucket):
            if quarantine_key(uploaded) in refused:
                yield uploaded
            elif size_bytes in sizes:
                told = self.deps.data.get(receipt_key(uploaded))
                if told and Receipt.from_json(told).batch_id in batches:
                    yield uploaded

    def _shard_files(self) -> list[str]:
        """How keys of checkpoints end that the person may be in; old versions outlive a split."""
        lineages = self.person.lineages(self.deps.settings.shard_count)
        return [runs.shard_file(*at) for at in lineages]

    def _files(self, prefix: str, endings: Sequence[str] = ("",)) -> Iterator[tuple[str, bytes]]:
        """Files of the data bucket; one that expires just now needs no erasing."""
        for key in [k for k in self.deps.data.keys(prefix) if k.endswith(tuple(endings))]:
            body = self.deps.data.get(key)
            if body is not None:
                yield key, body

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        self.hold()
        self.deps.eraser.put(key, body, content_type)

    def _remove(self, keys: Sequence[str]) -> None:
        self.hold()
        self.deps.eraser.remove(keys)
