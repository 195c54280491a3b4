"""Texts by their place in a buffer: hashed, compared and read as numbers without Python objects.

Up to 24 bytes of every text are fetched at once, so a step costs a few nanoseconds a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

WORD = 8
_AT_ONCE = 3  # words: to fetch three takes as long as to fetch one
PADDING = _AT_ONCE * WORD
_BLOCK_BYTES = 1 << 17  # stays in the cache
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(WORD + 1)], np.uint64)
_NEWLINE = 10
_EVERY = 0x0101010101010101
_ONES, _HIGHS, _ALL = np.uint64(_EVERY), np.uint64(0x80 * _EVERY), np.uint64(0xFF * _EVERY)


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a row; empty for none.

    Attributes
    ----------
    data : bytes
        The buffer, with `PADDING` bytes or more after the last text.
    start, size : int32[n]
        Where each text lies, in bytes.
    """

    data: bytes
    start: NDArray[np.int32]
    size: NDArray[np.int32]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Lay out texts one after the other."""
        size = np.fromiter(map(len, texts), np.int32, len(texts))
        return cls(b"".join([*texts, bytes(PADDING)]), np.cumsum(size, dtype=np.int32) - size, size)

    def __len__(self) -> int:
        return int(self.start.size)

    @property
    def longest(self) -> int:
        """Bytes of the longest."""
        return int(self.size.max(initial=0))

    def equal(self, text: bytes) -> NDArray[np.bool_]:
        """Whether each is this text."""
        same = np.asarray(self.size == len(text))
        for place in range(-(-len(text) // WORD)):
            part = text[WORD * place : WORD * place + WORD]
            wanted = np.uint64(int.from_bytes(part, "little"))
            same &= self.eight_bytes(place) & _MASKS[len(part)] == wanted
        return same

    def eight_bytes(self, place: int) -> NDArray[np.uint64]:
        """Bytes [8 * place, 8 * place + 8) of each text as a little-endian number.

        Where a text is shorter, what lies behind it follows.
        """
        return self.fetched(place, 1)[0]

    def fetched(self, place: int, count: int) -> list[NDArray[np.uint64]]:
        """Return `eight_bytes` of some places, three at most."""
        size = len(self.data) - WORD * count
        runs = np.ndarray((size + 1,), f"V{WORD * count}", self.data, strides=(1,))
        at = np.minimum(self.start + WORD * place, size) if place else self.start
        words = runs[at].view("<u8").reshape(-1, count)
        return [words[:, word] for word in range(count)]

    def words(self) -> Iterator[tuple[NDArray[np.intp] | slice, NDArray[np.uint64]]]:
        """Yield (rows, word) for the first, second ... word of the rows that have one.

        The last word of a text is padded by 0.
        """
        count = -(-self.longest // WORD)
        for first in range(0, count, _AT_ONCE):
            chosen = _all_or_some(self.size > WORD * first)
            some = self.take(chosen)
            for place, word in enumerate(some.fetched(first, min(_AT_ONCE, count - first)), first):
                left = some.size - WORD * place
                rows = _all_or_some(left > 0)
                left = np.minimum(left[rows], WORD)
                yield _within(chosen, rows), word[rows] & _MASKS.take(left)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Texts:
        """Return the chosen rows."""
        return Texts(self.data, self.start[rows], self.size[rows])

    def part(self, first: int) -> Texts:
        """Return each text from its byte `first` on."""
        size = np.maximum(self.size - first, 0)
        return Texts(self.data, self.start + np.minimum(first, self.size), size)

    def otherwise(self, other: Texts) -> Texts:
        """Return `other`, of the same buffer, where a text is empty."""
        has = self.size > 0
        return Texts(
            self.data,
            np.where(has, self.start, other.start),
            np.where(has, self.size, other.size),
        )

    def __iter__(self) -> Iterator[str]:
        """Yield each text; they are copied and decoded together, a third of the work."""
        size = self.size + 1
        ends = np.cumsum(size)
        if not ends.size:
            return iter(())
        places = np.arange(ends[-1])
        places += np.repeat(self.start - (ends - size), size)
        copied = np.frombuffer(self.data, np.uint8)[places]
        copied[ends - 1] = _NEWLINE
        texts = copied.tobytes().decode().split("\n")[:-1]
        if len(texts) > len(self):  # some hold newlines themselves
            starts, sizes = self.start.tolist(), self.size.tolist()
            pairs = zip(starts, sizes, strict=True)
            texts = [self.data[start : start + size].decode() for start, size in pairs]
        return iter(texts)


@dataclass(frozen=True, slots=True)
class Coded:
    """One text a row, of few that repeat.

    Attributes
    ----------
    texts : Texts
        Those that differ; the same object for all rows of a file.
    place : uint32[n]
        Of each row's text among them.
    """

    texts: Texts
    place: NDArray[np.uint32]

    @property
    def size(self) -> NDArray[np.int32]:
        """Bytes of each text."""
        return self.texts.size.take(self.place)

    @property
    def longest(self) -> int:
        """Bytes of the longest, whether a row holds it or not."""
        return self.texts.longest

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Coded:
        """Return the chosen rows."""
        return Coded(self.texts, self.place[rows])

    def __iter__(self) -> Iterator[str]:
        """Yield each text."""
        return iter(self.texts.take(self.place.astype(np.intp)))


def words_of(data: bytes) -> NDArray[np.uint64]:
    """Return the eight bytes from every place on, as little-endian numbers."""
    return np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))


def holds(data: bytes, at: NDArray[np.int32], text: bytes) -> NDArray[np.bool_]:
    """Whether a text stands at each place."""
    words = words_of(data)
    same = np.ones(at.size, np.bool_)
    # The last step may overlap the one before it, so that only a short text needs a mask.
    steps = {min(step, max(len(text) - WORD, 0)) for step in range(0, len(text), WORD)}
    for step in sorted(steps):
        part = text[step : step + WORD]
        found = words[np.minimum(at + step, words.size - 1)]
        if len(part) < WORD:
            found &= _MASKS[len(part)]
        same &= found == np.uint64(int.from_bytes(part, "little"))
    return same


def until(
    data: bytes, at: NDArray[np.int32], ends: NDArray[np.int32], byte: int
) -> NDArray[np.int32]:
    """How many bytes lie before the next such byte; not looked for beyond `ends`."""
    words = words_of(data)
    every = np.uint64(byte * _EVERY)
    size = _before(words[np.minimum(at, words.size - 1)], every)
    rows = _all_or_some(size == WORD)
    while isinstance(rows, slice) or rows.size:
        further = at[rows] + size[rows]
        more = _before(words[np.minimum(further, words.size - 1)], every)
        size[rows] += more
        pending = (more == WORD) & (further + WORD < ends[rows])
        rows = _all_or_some(pending) if isinstance(rows, slice) else rows[pending]
    return size


def _all_or_some(chosen: NDArray[np.bool_]) -> NDArray[np.intp] | slice:
    """Return the chosen rows, without an index where they are all."""
    return slice(None) if chosen.size and chosen.all() else np.flatnonzero(chosen)


def _before(word: NDArray[np.uint64], every: np.uint64) -> NDArray[np.int32]:
    """Bytes of each word before the first that is that of `every`; 8 where none is."""
    word ^= every
    found = word - _ONES
    word ^= _ALL
    found &= word
    found &= _HIGHS  # its lowest bit is right, whatever lies above
    size = np.bitwise_count((found - np.uint64(1)) & ~found).astype(np.int32)
    size >>= 3
    return size


def fields_of(data: bytes, bounds: NDArray[np.int32], picked: Iterable[int]) -> dict[int, Texts]:
    """Return columns of plain lines.

    Parameters
    ----------
    data : bytes
        With `PADDING` bytes or more after the last line.
    bounds : int32[columns + 1, lines]
        The byte before the first field of each line, then the bytes after each field.
    picked : iterable of int
        The columns to return, by position.
    """
    found = {}
    for column in picked:
        start = bounds[column] + np.int32(1)
        found[column] = Texts(data, start, bounds[column + 1] - start)
    return found


def row_bounds(marks: NDArray[np.int32], columns: int) -> NDArray[np.int32]:
    """Return the bounds of lines that are all plain; `marks` start with -1."""
    bounds = np.empty((columns + 1, (marks.size - 1) // columns), np.int32)
    bounds[0] = marks[:-1:columns]
    bounds[1:] = marks[1:].reshape(-1, columns).T
    return bounds


def marks_of(data: bytes, delimiter: int) -> tuple[NDArray[np.int32], int]:
    """Return -1 and the places of all delimiters and newlines; how many are newlines."""
    text = np.frombuffer(data, np.uint8)
    marks = [np.array([-1], np.int32)]
    newlines = 0
    for first in range(0, text.size, _BLOCK_BYTES):
        block = text[first : first + _BLOCK_BYTES]
        newline = block == _NEWLINE
        newlines += int(np.count_nonzero(newline))
        newline |= block == delimiter
        marks.append((np.flatnonzero(newline) + first).astype(np.int32))
    return np.concatenate(marks), newlines


def are_newlines(data: bytes, marks: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell which places hold a newline."""
    return np.asarray(np.frombuffer(data, np.uint8).take(marks) == _NEWLINE)


def _within(
    chosen: NDArray[np.intp] | slice, rows: NDArray[np.intp] | slice
) -> NDArray[np.intp] | slice:
    """Return some of the chosen rows."""
    return chosen[rows] if isinstance(chosen, np.ndarray) else rows
