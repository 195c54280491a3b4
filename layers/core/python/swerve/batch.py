"""One file from its bytes to partials: what `ingest` stores and `check` only counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.arrange import People, Visits, arranged
from swerve.domain.dedup import deduplicate, over_cap
from swerve.domain.file import FileToRead, Refused
from swerve.domain.kept import Kept
from swerve.domain.manifest import DedupRule, Manifest, RowReason
from swerve.domain.normalise import Normaliser
from swerve.domain.packing import events_in, pack
from swerve.domain.rows import Rejected
from swerve.domain.window import DAY_MS
from swerve.ports import PartialItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from swerve.domain.event import Events
    from swerve.domain.file import Shape
    from swerve.domain.pseudonym import Keyring
    from swerve.domain.ranks import Ranks
    from swerve.domain.recognise import Recognised
    from swerve.ports import Files
    from swerve.settings import Settings

_MINUTE_MS = 60_000
_WATERMARK_QUANTILE = 0.999  # one row from the future must not move the watermark
_RUBBISH_ROWS = 1_000_000
_MOST_TEXTS = 6_000_000  # over the whole file
_MOST_ROWS = 3_000_000  # of one group: more are of few users, and thinned to the rate cap


@dataclass(frozen=True, slots=True)
class Task:
    """A file that was recognised, and the rules for its rows.

    Attributes
    ----------
    lookup : (Path, Shape), optional
        Side file with categories.
    earliest_ms, latest_ms : int
        Rows before are behind the horizon, rows after are in the future.
    checkpoint : callable
        Called between pieces; may raise to stop the work.
    """

    path: Path
    folder: Path
    shape: Shape
    recognised: Recognised
    lookup: tuple[Path, Shape] | None
    earliest_ms: int
    latest_ms: int
    checkpoint: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a batch comes from, for its manifest."""

    batch_id: str
    key: str
    version: str
    source: str
    size_bytes: int
    uploaded_ms: int


class Batch:
    """The rows of one file.

    `read` first, then take the `partials`; the counts are complete when all are taken:
    rows == packed + duplicates + rejected.total.
    """

    def __init__(self, task: Task, settings: Settings, keyring: Keyring, files: Files) -> None:
        self._task, self._settings = task, settings
        self._keyring, self._files = keyring, files
        self._source = task.recognised.source
        self._normaliser = Normaliser(
            self._source, keyring, settings.time_zone, task.earliest_ms, task.latest_ms
        )
        self._store = files.store(task.folder)
        self._minutes: Counter[int] = Counter()
        self.rejected = Rejected()
        self._read = 0  # rows that became events
        self._unread = 0  # rows refused while reading
        self._texts = 0  # different ones
        self.packed = 0
        self.duplicates = 0
        self.segments = 0
        self.first_ms = 0
        self.last_ms = 0
        self.windows: Counter[int] = Counter()
        self.shards: set[int] = set()
        self.flags: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """All order lines and unreadable records of the file."""
        return self._read + self._unread

    @property
    def dedup(self) -> DedupRule:
        """The rule that was applied: without any event id, `id` is `ordinal`."""
        if self._source.dedup is DedupRule.ID and self._normaliser.without_id >= self._read > 0:
            return DedupRule.ORDINAL
        return self._source.dedup

    @property
    def watermark_ms(self) -> int:
        """The 99.9th percentile of the event times, in whole minutes; 0 without events."""
        place = math.floor(_WATERMARK_QUANTILE * (self._minutes.total() - 1))
        for minute in sorted(self._minutes):
            place -= self._minutes[minute]
            if place < 0:
                return minute * _MINUTE_MS
        return 0

    def names(self) -> dict[int, str]:
        """Names for the vocabulary."""
        return self._normaliser.names()

    def manifest(self, origin: Origin) -> Manifest:
        """Add up; all partials must have been taken."""
        manifest = Manifest(
            batch_id=origin.batch_id,
            key=origin.key,
            version=origin.version,
            source=origin.source or self._source.name,
            adapter=self._source.name,
            dedup=self.dedup,
            key_id=self._keyring.key_id,
            rows=self.rows,
            packed=self.packed,
            duplicates=self.duplicates,
            rejected={str(reason): n for reason, n in sorted(self.rejected.counts.items())},
            windows=dict(sorted(self.windows.items())),
            shards=tuple(sorted(self.shards)),
            segments=self.segments,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            watermark_ms=min(self.watermark_ms, origin.uploaded_ms),
            size_bytes=origin.size_bytes,
            uploaded_ms=origin.uploaded_ms,
            flags=dict(self.flags),
        )
        told = manifest.packed + manifest.duplicates + sum(manifest.rejected.values())
        if manifest.rows != told:
            raise AssertionError(f"{origin.key}: {manifest.rows} rows came in, {told} are told of")
        return manifest

    def read(self) -> None:
        """Read all rows; raise `Refused` where the file as a whole cannot be."""
        task, recognised = self._task, self._task.recognised
        zone = recognised.source.time_zone or self._settings.time_zone
        file = FileToRead(
            task.path,
            task.shape,
            recognised.source,
            recognised.columns,
            recognised.header,
            salt=self._keyring.event_salt,
            zoned=zone != "UTC",
            limit_bytes=self._settings.max_object_mb * 1_000_000,
        )
        with self._files.open(file, task.folder, task.lookup) as opened:
            for parsed in opened.pieces():
                kept, rejected = self._normaliser.normalise(parsed)
                self.rejected.merge(rejected)
                self._note_times(kept.time_ms)
                self._read += len(kept)
                self._unread += rejected.total
                self._store.add(kept, self._normaliser.routing(kept))
                self._refuse_rubbish()
                self._refuse_crowd(sum(map(len, parsed.texts.values())))
                task.checkpoint()
        if self._normaliser.without_id and self.dedup is DedupRule.ID:
            self.flags["rows_without_id"] = self._normaliser.without_id

    def _refuse_rubbish(self) -> None:
        if self._unread > _RUBBISH_ROWS and self._unread > 20 * self._read:
            counts = ", ".join(f"{n:,} {reason}" for reason, n in self.rejected.counts.items())
            raise Refused(
                "mostly_bad",
                f"Nearly all of the first {self.rows:,} rows are bad: {counts}.",
                "Run swerve check on a part of the file, and mend the export.",
            )

    def _refuse_crowd(self, new_texts: int) -> None:
        """Names are held until the file ends: about 110 bytes each (measured)."""
        self._texts += new_texts
        if self._texts > _MOST_TEXTS:
            raise Refused(
                "too_many_names",
                f"The file names more than {_MOST_TEXTS:,} different users, items and categories.",
                "Split it into smaller files; if each row has an item of its own, map another"
                " field to item.",
            )

    def partials(self, batch_id: str) -> Iterator[PartialItem]:
        """Yield the segments of every (shard, window), the same ones for the same rows."""
        settings = self._settings
        people, ranks = self._normaliser.people(settings.shard_count), self._normaliser.ranks()
        oldest_ms = self.watermark_ms - self._reach_ms()
        segments: Counter[tuple[int, int]] = Counter()
        for chunks in self._store.groups(settings.shard_count):
            events, visits = self._cleaned(chunks, people, ranks, oldest_ms)
            self._task.checkpoint()
            for shard, window, rows in visits.parts():
                part = events.take(rows)
                for data in pack(part, people.of_shard(shard), ranks.keys):
                    number = segments[shard, window]
                    segments[shard, window] += 1
                    yield PartialItem(shard, window, batch_id, number, data, events_in(data))
                self.packed += len(part)
                self.windows[window] += len(part)
                self.shards.add(shard)
                self._widen(part.time_ms)
        self.segments = segments.total()

    def _reach_ms(self) -> int:
        """How far rows of one file may lie apart: one bad year must not open old windows."""
        days = max(self._settings.horizon_days, self._settings.retention_days)
        return days * DAY_MS

    def _note_times(self, time_ms: NDArray[np.int64]) -> None:
        minutes, counts = np.unique(time_ms // _MINUTE_MS, return_counts=True)
        self._minutes.update(dict(zip(minutes.tolist(), counts.tolist(), strict=True)))

    def _widen(self, time_ms: NDArray[np.int64]) -> None:
        first, last = int(time_ms.min()), int(time_ms.max())
        self.first_ms = min(self.first_ms or first, first)
        self.last_ms = max(self.last_ms, last)

    def _cleaned(
        self, chunks: Iterable[Kept], people: People, ranks: Ranks, oldest_ms: int
    ) -> tuple[Events, Visits]:
        """Events of some users in the order of packing, with ranks for names, and their visits."""
        kept, visits = arranged(self._bounded(chunks, people), people, self._settings.windows)
        events = self._normaliser.events(kept, ranks)
        own = deduplicate(
            events,
            kept.by_content,
            ordinal=self._source.dedup is not DedupRule.CONTENT,
            spelled=ranks.spelled,
        )
        self.duplicates += len(own) - int(own.sum())
        late = own & (events.time_ms < oldest_ms)
        self.rejected.count(RowReason.BEHIND_HORIZON, int(late.sum()))
        own &= ~late
        if not own.all():
            events, visits = events.take(own), visits.take(own)
        beyond = over_cap(events.key, visits.of_row, self._settings.rate_cap)
        if beyond is not None:
            self._over_cap(int(beyond.sum()), np.unique(events.user[beyond]).size)
            events, visits = events.take(~beyond), visits.take(~beyond)
        return events, visits

    def _bounded(self, chunks: Iterable[Kept], people: People) -> Kept:
        """All rows, thinned on the way where they are too many for memory."""
        held: list[Kept] = []
        rows = 0
        for chunk in chunks:
            held.append(chunk)
            rows += len(chunk)
            if rows > _MOST_ROWS:
                held = [self._thinned(Kept.concatenate(held), people)]
                rows = len(held[0])
        if rows > _MOST_ROWS:
            raise Refused(
                "too_concentrated",
                f"More than {_MOST_ROWS:,} rows belong to very few users.",
                "Split the file by time.",
            )
        return Kept.concatenate(held)

    def _thinned(self, kept: Kept, people: People) -> Kept:
        """Drop what cannot be among the events kept in the end.

        What stays of several parts is the same as what stays of the whole: of each user and
        window the smallest keys up to the cap, with all that are equal in content.
        """
        rows, visits = arranged(kept, people, self._settings.windows)
        visit = visits.of_row
        same = (rows.key[1:] == rows.key[:-1]) & (rows.time_ms[1:] == rows.time_ms[:-1])
        same &= (visit[1:] == visit[:-1]) & ~rows.by_content[1:]
        first = np.append(True, ~same)
        once = rows.take(first)
        self.duplicates += len(kept) - len(once)
        beyond = over_cap(once.key, visit[first], self._settings.rate_cap)
        if beyond is None:
            return once
        self._over_cap(int(beyond.sum()), 0)
        return once.take(~beyond)

    def _over_cap(self, rows: int, users: int) -> None:
        self.rejected.count(RowReason.OVER_RATE_CAP, rows)
        self.flags["users_over_rate_cap"] += users
