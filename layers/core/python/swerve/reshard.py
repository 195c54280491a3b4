"""Reshard: every stored shard is split by its next routing bits into two, four or more.

First uploads and closes are made to stand still, by a control item that they ask. Then all is
written anew beside the old, under keys that name the count of shards; the functions get the new
count; the control item changes, and with it, at once, what exists; at last the old is deleted. A
crash anywhere is answered by running again: the item says how far it came, and whatever is done
twice writes the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from swerve import run as runs
from swerve.close import Checkpoint
from swerve.deployed import is_split
from swerve.domain.packing import events_in, unpack
from swerve.domain.pseudonym import UserTable
from swerve.domain.shard import children_of, shard_of
from swerve.domain.splitting import Homes, split_partial
from swerve.errors import SwerveError
from swerve.ports import LAYOUT, PartialItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from swerve.domain.manifest import Manifest
    from swerve.ports import Clock, Deployment, Queue, StoredData, StoredShards
    from swerve.settings import Settings

    Layout = Mapping[str, str | int]

MOST_SHARDS = 1024  # as ShardCount: a file of a long history makes an item a window and shard
LEASE_S = 900  # renewed before every write: far longer than it takes to read one shard


@dataclass(frozen=True, slots=True)
class ReshardDeps:
    """What reshard needs of the outside."""

    settings: Settings
    windows: StoredShards
    data: StoredData
    scores: Queue
    deployment: Deployment
    clock: Clock


@dataclass(frozen=True, slots=True)
class Size:
    """What one shard holds in the windows table."""

    users: int
    items: int
    data_bytes: int
    events: int

    @classmethod
    def of(cls, users: int, partials: Iterable[PartialItem]) -> Size:
        """Add up."""
        stored = [partial.data for partial in partials]
        return cls(users, len(stored), sum(map(len, stored)), sum(map(events_in, stored)))


@dataclass(frozen=True, slots=True)
class Portion:
    """One shard as it is, and those that follow it."""

    shard: int
    held: Size
    after: Mapping[int, Size]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be split into how many, and how far that has come.

    Attributes
    ----------
    found : mapping or None
        The control item; None where nothing was ever stored.
    """

    before: int
    after: int
    found: Layout | None
    layout: Layout

    @property
    def is_begun(self) -> bool:
        """Whether an earlier call was interrupted."""
        return is_split(self.layout)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was moved by this call.

    Attributes
    ----------
    events, promised : int
        Packed events that were found, and those that should be there by the manifests.
    unplaced : int
        Users of whom no event is kept: they are remembered in the first shard that follows.
    """

    events: int = 0
    promised: int = 0
    unplaced: int = 0


def task(deps: ReshardDeps, to: int | None = None) -> Task | None:
    """Say what is to be done: what was begun, else to double, or to reach `to`; None if nothing.

    Raises
    ------
    SwerveError
        If that cannot be.
    """
    found = deps.windows.state(LAYOUT)
    layout = found or deps.settings.layout
    stored = int(layout["shards"])
    before, after = int(layout.get("from", stored)), int(layout.get("to", stored))
    begun = before != after
    if begun and to not in {None, after}:
        raise SwerveError(
            f"a split from {before} into {after} shards was begun and comes first: run"
            f" `swerve reshard` without --to, then again with --to {to}"
        )
    if not begun:
        after = 2 * stored if to is None else to
        _check(stored, after)
        if after == stored:
            return None
    return Task(before, after, found, layout)


def _check(stored: int, after: int) -> None:
    if after > MOST_SHARDS:
        raise SwerveError(
            f"{after} shards are too many: a close takes {MOST_SHARDS} at most, and there are"
            f" {stored}; give some of the sources a stack of their own"
        )
    if after < 1 or after & (after - 1):
        raise SwerveError(
            f"--to {after} is no power of two: a shard is split by bits, so there can be"
            f" {', '.join(str(stored << n) for n in range(1, 4) if stored << n <= MOST_SHARDS)}"
        )
    if after < stored:
        raise SwerveError(
            f"--to {after} is less than the {stored} shards that there are: shards are split,"
            " never joined; upload the history into a second stack that has fewer"
        )


def survey(deps: ReshardDeps, asked: Task) -> Iterator[Portion]:
    """Say what every shard holds and what would follow; nothing is written."""
    batches = {manifest.batch_id: manifest for manifest in deps.windows.manifests()}
    for shard in range(asked.before):
        yield _read(deps, asked, shard, batches).portion


def reshard(deps: ReshardDeps, asked: Task, owner: str, told: Callable[[Portion], None]) -> Outcome:
    """Split all that is stored.

    Parameters
    ----------
    asked : Task
        As `task` gives it.
    owner : str
        A name of this call alone; holds the lease of the close.
    told : callable
        Called with every shard once its successors are written.

    Raises
    ------
    SwerveError
        If a close, an erasure or another call is at it.
    """
    with _lease(deps, owner):
        return _Reshard(deps, asked, owner, told).run()


@contextmanager
def _lease(deps: ReshardDeps, owner: str) -> Iterator[None]:
    if not _renewed(deps, owner):
        raise SwerveError(
            "the shards are in use: a close is running, a `swerve erase`, or another `swerve"
            f" reshard`; run again when it is done (one that died holds them for {LEASE_S // 60}"
            f" minutes at most, a close for {runs.LEASE_S // 60})"
        )
    try:
        yield
    finally:
        deps.windows.release_lease(runs.LEASE, owner)


def _renewed(deps: ReshardDeps, owner: str) -> bool:
    now_ms = deps.clock.now_ms()
    return deps.windows.acquire_lease(runs.LEASE, owner, now_ms, now_ms + LEASE_S * 1000)


@dataclass(frozen=True, slots=True)
class _Content:
    """One stored shard: its users, and its partials as they will be."""

    users: UserTable
    partials: list[tuple[PartialItem, int]]
    portion: Portion


def _read(deps: ReshardDeps, asked: Task, shard: int, batches: Mapping[str, Manifest]) -> _Content:
    """Read a shard whole: what is written must come from a time when nobody deleted it."""
    tables: list[UserTable] = []
    held: list[PartialItem] = []
    split: list[tuple[PartialItem, int]] = []
    stored = deps.windows.under(asked.before).items(shard)
    for (window, batch_id), group in groupby(stored, lambda at: (at[0].window, at[0].batch_id)):
        if batch_id not in batches or window not in batches[batch_id].windows:
            continue  # without a manifest it does not exist, and expires
        segments = list(group)
        held += [partial for partial, _ in segments]
        tables += [unpack(partial.data)[1] for partial, _ in segments]
        expires_s = segments[0][1]
        for child, packed in split_partial((p.data for p, _ in segments), asked.after).items():
            split += [
                (PartialItem(child, window, batch_id, number, data, events_in(data)), expires_s)
                for number, data in enumerate(packed)
            ]
    users = UserTable.union(tables)
    home = shard_of(users.routing, asked.after)
    after = {
        child: Size.of(
            int(np.count_nonzero(home == child)), (p for p, _ in split if p.shard == child)
        )
        for child in children_of(shard, asked.before, asked.after)
    }
    return _Content(users, split, Portion(shard, Size.of(len(users), held), after))


class _Reshard:
    def __init__(
        self, deps: ReshardDeps, asked: Task, owner: str, told: Callable[[Portion], None]
    ) -> None:
        self._deps, self._asked, self._owner, self._told = deps, asked, owner, told
        self._found = asked.found

    def run(self) -> Outcome:
        before, after = self._asked.before, self._asked.after
        outcome = Outcome()
        if "from" not in self._asked.layout:
            self._note({"shards": before, "to": after})
            outcome = self._copy()
            self._deps.deployment.set_shard_count(after)
            self._note({"shards": after, "from": before})
        self._remove_old()
        # Messages on their way name shards of before: so all are looked at once.
        self._deps.scores.send([json.dumps({"shard": shard}) for shard in range(after)])
        self._note({"shards": after})
        return outcome

    def _note(self, progress: Layout) -> None:
        """Move the control item on, if it is as this call left it."""
        self._hold()
        item = {name: self._asked.layout[name] for name in ("window", "time_zone")} | {**progress}
        if not self._deps.windows.put_state(LAYOUT, item, self._found):
            raise _lost()
        self._found = item

    def _hold(self) -> None:
        """Stop where another call took over: it may have deleted what was to be read next."""
        if not _renewed(self._deps, self._owner) or self._deps.windows.state(LAYOUT) != self._found:
            raise _lost()

    def _copy(self) -> Outcome:
        """Write partials and checkpoints for the new count, and bring manifests in line."""
        windows = self._deps.windows
        # There will be no more: a manifest is put only under the layout that its batch found.
        batches = {manifest.batch_id: manifest for manifest in windows.manifests()}
        segments: Counter[str] = Counter()
        homes: dict[str, set[int]] = {batch_id: set() for batch_id in batches}
        events = unplaced = 0
        for shard in range(self._asked.before):
            content = _read(self._deps, self._asked, shard, batches)
            self._hold()
            windows.under(self._asked.after).put_items(content.partials)
            unplaced += self._copy_checkpoints(shard, content.users)
            for partial, _ in content.partials:
                segments[partial.batch_id] += 1
                homes[partial.batch_id].add(partial.shard)
            events += content.portion.held.events
            self._told(content.portion)
        self._hold()
        for batch_id, manifest in batches.items():
            amended = replace(
                manifest, shards=tuple(sorted(homes[batch_id])), segments=segments[batch_id]
            )
            if amended != manifest:
                windows.amend_manifest(amended)
        promised = sum(sum(manifest.held.values()) for manifest in batches.values())
        return Outcome(events, promised, unplaced)

    def _copy_checkpoints(self, shard: int, users: UserTable) -> int:
        """Split what is remembered after each window; how many users had no place at the last."""
        deps, asked, spec = self._deps, self._asked, self._deps.settings.windows
        children = children_of(shard, asked.before, asked.after)
        done = deps.windows.state(runs.PROGRESS)
        unplaced = 0
        for window in range(int(done["from"]), int(done["through"]) + 1, spec.days) if done else ():
            stored = deps.data.get(runs.shard_key(spec, window, shard, asked.before))
            if stored is None:
                continue  # a lifecycle rule removed it: a close that needs it says so
            whole = Checkpoint.from_bytes(stored)
            homes = Homes.of(users, whole.renames, children[0], asked.after)
            unplaced = int(np.count_nonzero(~homes.known(whole.state.users)))
            self._hold()
            for child in children:
                # The running calibration estimates the shop: of a part it would only be noisier.
                part = Checkpoint(
                    homes.state(whole.state, child),
                    homes.renames(whole.renames, child),
                    whole.running,
                )
                key = runs.shard_key(spec, window, child, asked.after)
                deps.data.put(key, part.to_bytes())
        return unplaced

    def _remove_old(self) -> None:
        """Delete what exists for nobody any more."""
        deps, before = self._deps, self._asked.before
        self._hold()
        for shard in range(before):
            deps.windows.under(before).remove_shard(shard)
        for key in list(deps.data.keys("checkpoints/")):
            if key.endswith(runs.shard_ending(before)):
                deps.data.remove(key)


def _lost() -> SwerveError:
    return SwerveError(
        "another `swerve reshard` took over, which it can where one is silent for"
        f" {LEASE_S // 60} minutes: let it finish, or run again to finish its work"
    )
