"""Texts by their place in a buffer: hashed, compared and read as numbers without Python objects.

Eight bytes of every text are fetched at once, so a step costs a few nanoseconds a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

WORD = 8
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(WORD + 1)], np.uint64)
_NEWLINE = 10


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a row; empty for none.

    Attributes
    ----------
    data : bytes
        The buffer, with eight bytes or more after the last text.
    start, size : int64[n]
        Where each text lies, in bytes.
    """

    data: bytes
    start: NDArray[np.int64]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.start.size)

    def word(self, place: int) -> NDArray[np.uint64]:
        """Bytes [8 * place, 8 * place + 8) of each text as a little-endian number, padded by 0."""
        return self.eight_bytes(place) & _MASKS[np.clip(self.size - WORD * place, 0, WORD)]

    def equal(self, text: bytes) -> NDArray[np.bool_]:
        """Whether each is this text."""
        same = np.asarray(self.size == len(text))
        for place in range(-(-len(text) // WORD)):
            part = text[WORD * place : WORD * place + WORD]
            wanted = np.uint64(int.from_bytes(part, "little"))
            same &= self.eight_bytes(place) & _MASKS[len(part)] == wanted
        return same

    def eight_bytes(self, place: int) -> NDArray[np.uint64]:
        """As `word`, but followed by what lies behind a text that is shorter."""
        words: NDArray[np.uint64] = np.ndarray(
            (len(self.data) - WORD + 1,), "<u8", self.data, strides=(1,)
        )
        if not place:
            return words[self.start]
        return words[np.minimum(self.start + WORD * place, words.size - 1)]

    def words(self) -> Iterator[tuple[NDArray[np.intp] | slice, NDArray[np.uint64]]]:
        """Yield (rows, word) for the first, second ... word of the rows that have one."""
        longest = int(self.size.max(initial=0))
        for place in range(-(-longest // WORD)):
            has = self.size > WORD * place
            if has.all():
                yield slice(None), self.word(place)
            else:
                rows = np.flatnonzero(has)
                yield rows, self.take(rows).word(place)

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


def fields_of(data: bytes, bounds: NDArray[np.int64], picked: Iterable[int]) -> dict[int, Texts]:
    """Return columns of plain lines.

    Parameters
    ----------
    data : bytes
        With eight bytes or more after the last line.
    bounds : int64[lines, columns + 1]
        The byte before the first field of each line, then the bytes after each field.
    picked : iterable of int
        The columns to return, by position.
    """
    found = {}
    for column in picked:
        start = bounds[:, column] + 1
        found[column] = Texts(data, start, bounds[:, column + 1] - start)
    return found


def row_bounds(marks: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """Return the bounds of lines that are all plain; `marks` start with -1."""
    step = marks.itemsize
    shape = ((marks.size - 1) // columns, columns + 1)
    return np.ndarray(shape, np.int64, marks, strides=(columns * step, step))


def marks_of(data: bytes, delimiter: int) -> NDArray[np.int64]:
    """Return the places of all delimiters and newlines."""
    text = np.frombuffer(data, np.uint8)
    marked = text == delimiter
    marked |= text == _NEWLINE
    return np.flatnonzero(marked)
