"""Which shard a user belongs to: by a routing hash that key rotation never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUTING_BITS = 32


def shard_of(routing: NDArray[np.uint32], shard_count: int) -> NDArray[np.uint16]:
    """Shard of each routing hash: its top bits, so that doubling the count splits every shard.

    Examples
    --------
    >>> shard_of(np.array([0, 2**31, 2**32 - 1], np.uint32), 4).tolist()
    [0, 2, 3]
    """
    bits = int(shard_count).bit_length() - 1
    if 1 << bits != shard_count or not 0 <= bits <= 16:
        raise ValueError(f"ShardCount must be a power of two up to 65536, not {shard_count}")
    return (routing.astype(np.uint64) >> np.uint64(ROUTING_BITS - bits)).astype(np.uint16)
