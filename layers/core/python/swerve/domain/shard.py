"""Which shard a user belongs to: by a routing hash that key rotation never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROUTING_BITS = 32


def shard_bits(shard_count: int) -> int:
    """How many bits of the routing hash name a shard; raise ValueError for a bad count."""
    bits = int(shard_count).bit_length() - 1
    if 1 << bits != shard_count or not 0 <= bits <= 16:
        raise ValueError(f"ShardCount must be a power of two up to 65536, not {shard_count}")
    return bits


def shard_of(routing: NDArray[np.uint32], shard_count: int) -> NDArray[np.uint16]:
    """Shard of each routing hash: its top bits, so that doubling the count splits every shard.

    Examples
    --------
    >>> shard_of(np.array([0, 2**31, 2**32 - 1], np.uint32), 4).tolist()
    [0, 2, 3]
    """
    bits = np.uint64(ROUTING_BITS - shard_bits(shard_count))
    return (routing.astype(np.uint64) >> bits).astype(np.uint16)


def children_of(shard: int, before: int, after: int) -> range:
    """Which of `after` shards hold the users of one of `before` shards.

    Examples
    --------
    >>> children_of(3, before=4, after=8)
    range(6, 8)
    """
    each = after // before
    return range(shard * each, (shard + 1) * each)


def lineage_of(shard: int, shard_count: int) -> Iterator[tuple[int, int]]:
    """Yield the shard and those that it was split from, each with the count of its time.

    Examples
    --------
    >>> list(lineage_of(5, 8))
    [(5, 8), (2, 4), (1, 2), (0, 1)]
    """
    while shard_count:
        yield shard, shard_count
        shard, shard_count = shard // 2, shard_count // 2


def homes_of(shard: int, shard_count: int) -> list[int]:
    """Shards that may remember a user who belongs to this one, ascending.

    A split leaves those of whom no event is kept in the first of the shards that follow.

    Examples
    --------
    >>> homes_of(5, 8)
    [0, 4, 5]
    """
    return sorted({s * (shard_count // count) for s, count in lineage_of(shard, shard_count)})
