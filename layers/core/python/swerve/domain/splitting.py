"""What one shard holds, given to the shards that follow it when there are more of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain import binary
from swerve.domain.event import Events
from swerve.domain.merge import Renames
from swerve.domain.packing import pack, unpack
from swerve.domain.pseudonym import UserTable
from swerve.domain.shard import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from swerve.domain.profile import ShardState


def split_partial(segments: Iterable[bytes], after: int) -> dict[int, list[bytes]]:
    """Pack the events of one (shard, window) of one batch anew, by shard of `after`.

    The bytes are those that ingest would have packed for so many shards, unless the file was so
    large that ingest packed the users of a shard group by group.
    """
    parts = [unpack(data) for data in segments]
    events = Events.concatenate([events for events, _ in parts])
    users = UserTable.union(table for _, table in parts)
    home = shard_of(users.routing, after)[np.searchsorted(users.users, events.user)]
    return {int(shard): pack(events.take(home == shard), users) for shard in np.unique(home)}


@dataclass(frozen=True, slots=True)
class Homes:
    """Where the users of one shard go: a checkpoint does not know, the partials beside it do.

    Attributes
    ----------
    first, after : int
        The first shard that follows, of so many; it takes the users of whom no event is kept.
    names : uint64[n]
        Every pseudonym that the users have had, ascending.
    home : uint16[n]
    """

    first: int
    after: int
    names: NDArray[np.uint64]
    home: NDArray[np.uint16]

    @classmethod
    def of(cls, users: UserTable, renames: Renames, first: int, after: int) -> Homes:
        """Know the users of the partials by their names in them, before, and since."""
        was = users.previous != 0
        names = np.concatenate([users.users, renames.apply(users.users), users.previous[was]])
        home = shard_of(users.routing, after)
        names, rows = np.unique(names, return_index=True)
        return cls(first, after, names, np.concatenate([home, home, home[was]])[rows])

    def known(self, users: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Of whom an event is kept."""
        return binary.rows_of(self.names, users) >= 0

    def of_users(self, users: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """Shard of each user."""
        rows = binary.rows_of(self.names, users)
        home = np.full(users.size, self.first, np.uint16)
        home[rows >= 0] = self.home[rows[rows >= 0]]
        return home

    def state(self, state: ShardState, shard: int) -> ShardState:
        """What this shard remembers of its own."""
        return state.apart(np.flatnonzero(self.of_users(state.users) == shard))

    def renames(self, renames: Renames, shard: int) -> Renames:
        """Who of this shard was renamed."""
        mine = self.of_users(renames.new) == shard
        return Renames(renames.old[mine], renames.new[mine])
