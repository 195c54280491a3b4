"""Who a customer is inside: all pseudonyms they ever had, and the shards that know them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swerve import run as runs
from swerve.close import Checkpoint
from swerve.domain.merge import Renames
from swerve.domain.packing import users_in
from swerve.domain.pseudonym import subject_of
from swerve.domain.shard import lineage_of
from swerve.domain.window import EVERY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from swerve.ports import Data, Windows
    from swerve.settings import Settings


@dataclass(frozen=True, slots=True)
class Person:
    """One customer.

    Attributes
    ----------
    users : uint64[n]
        Pseudonyms, ascending.
    shards : tuple of int
        Where their events or state lie.
    """

    users: NDArray[np.uint64]
    shards: tuple[int, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """The pseudonyms as data names them."""
        return tuple(subject_of(user) for user in self.users.tolist())

    def lineages(self, shard_count: int) -> list[tuple[int, int]]:
        """Their shards and those that they were split from, each with the count of its time."""
        return sorted({at for shard in self.shards for at in lineage_of(shard, shard_count)})

    def among(self, users: NDArray[np.uint64]) -> bool:
        """Whether they are one of these."""
        return bool(np.isin(self.users, users).any())


@dataclass(frozen=True, slots=True)
class Records:
    """What says who is who."""

    settings: Settings
    windows: Windows
    data: Data


def find(records: Records, users: NDArray[np.uint64], shards: Iterable[int]) -> Person:
    """Look for a customer in some shards, and follow each pseudonym to those before and after it.

    Parameters
    ----------
    users : uint64[n]
        Pseudonyms that are known beforehand.
    shards : iterable of int
        Those that may remember an id, else all.
    """
    looked = {shard: _look(records, shard) for shard in shards}
    names, before = users, 0
    while names.size > before:  # what one shard knows may lead on in another
        before = names.size
        names = np.unique(np.concatenate([names, *(r.names_of(names) for r, _ in looked.values())]))
    person = Person(names, ())
    where = tuple(shard for shard, (_, known) in looked.items() if person.among(known))
    return replace(person, shards=where)


def _look(records: Records, shard: int) -> tuple[Renames, NDArray[np.uint64]]:
    """Say who was renamed in a shard, and who is known in it or in those it was split from."""
    windows, tables = records.windows, []
    for number, count in lineage_of(shard, records.settings.shard_count):
        stored = windows.under(count).partials(number, *EVERY_WINDOW)
        tables += [users_in(partial.data) for partial in stored]
    renames, known = Renames.of(tables), [table.users for table in tables]
    newest = _newest_checkpoint(records, shard)
    if newest is not None:
        renames = newest.renames.then(renames)
        known.append(newest.state.users)
    return renames, np.unique(np.concatenate([np.empty(0, np.uint64), *known]))


def _newest_checkpoint(records: Records, shard: int) -> Checkpoint | None:
    done = records.windows.state(runs.PROGRESS)
    if done is None:
        return None
    settings = records.settings
    key = runs.shard_key(settings.windows, int(done["through"]), shard, settings.shard_count)
    stored = records.data.get(key)
    return None if stored is None else Checkpoint.from_bytes(stored)
