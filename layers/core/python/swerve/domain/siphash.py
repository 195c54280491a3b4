"""SipHash-1-3 over texts, many rows at a time: identities of events, and the routing of users.

Event ids are made by browsers and tills; whoever can choose them must not be able to make two
events look like one, nor to crowd one shard. SipHash (Aumasson and Bernstein 2012) is made for
that: without the key no collision can be found. It is computed a column at a time, one step over
all rows.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swerve.domain.fields import Texts

    State = list[NDArray[np.uint64]]

_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_ROUNDS_LAST = 3
_BLOCK_ROWS = 1 << 14  # the state and its temporaries stay in the cache


def identities(parts: Sequence[Texts], salt: str) -> NDArray[np.uint64]:
    """Hash the parts of each row, 0 where one of them is empty."""
    complete = np.logical_and.reduce([part.size > 0 for part in parts])
    if not complete.any():
        return np.zeros(complete.size, np.uint64)
    key = blake2b(salt.encode(), digest_size=16, person=b"swerve-identity").digest()
    found = siphash(parts, key)
    return np.where(complete, np.maximum(found, np.uint64(1)), np.uint64(0))


def siphash(parts: Sequence[Texts], key: bytes) -> NDArray[np.uint64]:
    """Hash the parts of each row with a key of 16 bytes.

    Every part is preceded by its size, so that no two rows of parts are spelled alike.
    """
    found = np.empty(len(parts[0]), np.uint64)
    keys = np.frombuffer(key, "<u8").astype(np.uint64)
    for first in range(0, found.size, _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        found[block] = _of_block([part.take(block) for part in parts], keys)
    return found


def _of_block(parts: list[Texts], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    rows = len(parts[0])
    state: State = [
        np.full(rows, np.uint64(start) ^ keys[place % 2]) for place, start in enumerate(_START)
    ]
    for part in parts:
        _absorb(state, part.size.astype(np.uint64))
        for chosen, word in part.words():
            if isinstance(chosen, slice):
                _absorb(state, word)
                continue
            some = [column[chosen] for column in state]
            _absorb(some, word)
            for column, changed in zip(state, some, strict=True):
                column[chosen] = changed
    state[2] ^= np.uint64(0xFF)
    for _ in range(_ROUNDS_LAST):
        _round(state)
    hashed: NDArray[np.uint64] = state[0] ^ state[1] ^ state[2] ^ state[3]
    return hashed


def _absorb(state: State, word: NDArray[np.uint64]) -> None:
    state[3] ^= word
    _round(state)
    state[0] ^= word


def _round(state: State) -> None:
    a, b, c, d = state
    a += b
    b = _rotated(b, 13)
    b ^= a
    a = _rotated(a, 32)
    c += d
    d = _rotated(d, 16)
    d ^= c
    a += d
    d = _rotated(d, 21)
    d ^= a
    c += b
    b = _rotated(b, 17)
    b ^= c
    c = _rotated(c, 32)
    state[:] = a, b, c, d


def _rotated(word: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    turned = word << np.uint64(bits)
    turned |= word >> np.uint64(64 - bits)
    return turned
