"""Who a customer is inside: all pseudonyms they ever had, and the shards that know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve import run as runs
from swerve.close import Checkpoint
from swerve.domain.merge import Renames
from swerve.domain.packing import users_in
from swerve.domain.pseudonym import subject_of
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
        One where it is known from the id, else all.
    """
    names, where = [users], []
    for shard in shards:
        tables = [users_in(p.data) for p in records.windows.partials(shard, *EVERY_WINDOW)]
        renames, known = Renames.of(tables), [table.users for table in tables]
        newest = _newest_checkpoint(records, shard)
        if newest is not None:
            renames = newest.renames.then(renames)
            known.append(newest.state.users)
        here = Person(renames.names_of(users), (shard,))
        if any(map(here.among, known)):
            names.append(here.users)
            where.append(shard)
    return Person(np.unique(np.concatenate(names)), tuple(where))


def _newest_checkpoint(records: Records, shard: int) -> Checkpoint | None:
    done = records.windows.state(runs.PROGRESS)
    if done is None:
        return None
    key = runs.shard_key(records.settings.windows, int(done["through"]), shard)
    stored = records.data.get(key)
    return None if stored is None else Checkpoint.from_bytes(stored)
