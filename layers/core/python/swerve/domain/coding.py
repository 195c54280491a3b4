"""Codes for texts: the k-th new text of a file is k, told by a hash table that numpy fills."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from swerve.domain.fields import Texts

Value = TypeVar("Value", bound=np.generic)
_START_BITS = 12
_MEMO = 1 << 20  # texts whose meaning is remembered
_HALF = np.uint64(32)


class Secret:
    """Random factors of one process for `hashes`: nobody can make texts that collide."""

    def __init__(self) -> None:
        odd = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)
        self.size, self.word, self.step = odd


def hashes(texts: Texts, secret: Secret) -> NDArray[np.uint64]:
    """64-bit hash of each text, 0 for an empty one.

    Two of a million texts are confused once in thirty million files, as with the pseudonyms.
    """
    hashed = texts.size.astype(np.uint64)
    hashed *= secret.size
    for rows, word in texts.words():
        step = word ^ (word >> _HALF)
        step *= secret.word
        step += hashed[rows]
        step ^= step >> _HALF
        step *= secret.step
        hashed[rows] = step
    hashed ^= hashed >> _HALF
    np.maximum(hashed, np.uint64(1), out=hashed)
    hashed[texts.size == 0] = 0
    return hashed


class Coder:
    """Gives codes from 1 on to hashes, in the order in which they come; 0 is the code of 0.

    Open addressing with linear probing, a whole column at a time. The key and the code of a
    slot lie side by side: a large table is not in the cache, and so is read once for both.
    """

    def __init__(self) -> None:
        self.known = 0
        self._resize(_START_BITS)

    def _resize(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._slots = np.zeros((1 << bits, 2), np.uint64)
        self._keys, self._codes = self._slots.T

    def codes(self, hashed: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
        """Return the code of each hash, and the rows that hold a new one for the first time."""
        slot, codes, missed = self._look_up(hashed)
        if 2 * (self.known + missed.size) > self._keys.size:
            self._grow(self.known + missed.size)
            slot, codes, missed = self._look_up(hashed)  # others lie elsewhere now
        fresh = missed
        if missed.size:
            found = self._settled(hashed[missed], slot[missed])
            fresh = missed[self._name_new(found)]
            codes[missed] = self._codes[found]
        if self._keys[0]:  # where 0 is looked up
            codes[hashed == 0] = 0
        return codes, fresh

    def _look_up(
        self, hashed: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.intp]]:
        """First slot of each hash, the code there, and the rows that are not found there."""
        slot = (hashed >> self._shift).view(np.int64)
        keys, codes = self._slots.take(slot, axis=0).T
        missed = np.flatnonzero(keys != hashed)
        return slot, codes.astype(np.uint32), missed[hashed[missed] != 0]

    def _settled(self, hashed: NDArray[np.uint64], slot: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of hashes, after those that are not there have been put in."""
        pending = np.arange(hashed.size)
        last = self._keys.size - 1
        while pending.size:
            at, wanted = slot[pending], hashed[pending]
            free = self._keys[at] == 0
            self._keys[at[free]] = wanted[free]  # of several, the last one stays
            pending = pending[self._keys[at] != wanted]
            slot[pending] = (slot[pending] + 1) & last
        return slot

    def _name_new(self, slot: NDArray[np.int64]) -> NDArray[np.intp]:
        """Code the slots without a code; return the first row of each."""
        rows = np.flatnonzero(self._codes[slot] == 0)
        if not rows.size:
            return rows
        self._codes[slot[rows[::-1]]] = rows[::-1]  # of several rows, the first one stays
        rows = rows[np.flatnonzero(self._codes[slot[rows]] == rows)]
        self._codes[slot[rows]] = np.arange(self.known + 1, self.known + 1 + rows.size)
        self.known += int(rows.size)
        return rows

    def _grow(self, room: int) -> None:
        used = np.flatnonzero(self._keys)
        keys, codes = self._slots[used].T
        self._resize((4 * room).bit_length())
        slot = self._settled(keys, (keys >> self._shift).astype(np.int64))
        self._codes[slot] = codes


class Memo(Generic[Value]):
    """What texts mean, found out once for each."""

    def __init__(
        self,
        secret: Secret,
        nothing: NDArray[Value],
        work_out: Callable[[list[str]], NDArray[Value]],
    ) -> None:
        self._secret, self._nothing, self._work_out = secret, nothing, work_out
        self._forget()

    def _forget(self) -> None:
        self._coder, self._meaning = Coder(), self._nothing

    def of(self, texts: Texts) -> NDArray[Value]:
        """Return the meaning of each text; `nothing` for an empty one."""
        if self._coder.known > _MEMO:
            self._forget()
        codes, fresh = self._coder.codes(hashes(texts, self._secret))
        if fresh.size:
            more = self._work_out(list(texts.take(fresh)))
            self._meaning = np.concatenate([self._meaning, more])
        return self._meaning[codes]
