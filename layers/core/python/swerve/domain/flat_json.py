"""JSON Lines without nesting, read by their pattern.

A program writes line after line alike: what lies between the values of one line lies between those
of the next. So one line is parsed, and numpy finds the lines that differ from it in their values
alone. Such a line is JSON if the first one is, as no value may hold a quote, an escape or a control
character. All other lines are left to a parser.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.coding import Memo, Secret
from swerve.domain.fields import PADDING, Texts, holds, marks_of, row_bounds, until
from swerve.domain.times import whole_numbers

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_MOST_PATTERNS = 16
_NEWLINE, _BACKSLASH, _SPACE = b"\n\\ "
_FIELD = re.compile(rb'\s*"(?P<key>[^"]*)"\s*:\s*(?:"(?P<text>[^"]*)"|(?P<bare>[^\s",}]+))\s*[,}]')
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,15})?")


@dataclass(frozen=True, slots=True)
class FlatLines:
    """Lines of one pattern.

    Attributes
    ----------
    lines : int64[n]
        Which of the lines they are, from 0.
    texts : dict
        Key to the texts at it; keys that the pattern lacks are missing.
    """

    lines: NDArray[np.intp]
    texts: dict[str, Texts]


class FlatReader:
    """Finds lines by pattern, and learns new patterns as they come.

    Parameters
    ----------
    exact : collection of str
        Keys whose texts are compared: a number at them must be spelled as any parser would.
    """

    def __init__(self, exact: Collection[str]) -> None:
        self._exact = frozenset(exact)
        self._decimals = Memo(Secret(), np.zeros(1, np.bool_), _are_decimals)
        self._patterns: list[_Pattern] = []
        self._failed = 0

    def read(
        self, data: bytes, bounds: NDArray[np.int32] | None = None
    ) -> tuple[list[FlatLines], NDArray[np.bool_]]:
        """Return what was read of some lines, and which lines are left.

        Parameters
        ----------
        data : bytes
            Lines, and `PADDING` bytes more.
        bounds : int32[2, lines], optional
            The byte before each line, and its end, where they are known.
        """
        if bounds is None:
            bounds = row_bounds(marks_of(data, _NEWLINE)[0], 1)
        starts, ends = bounds[0] + np.int32(1), bounds[1]
        left = _without_escapes(data, ends)
        escaped = ~left
        teachers = left.copy()  # lines that may still show a new pattern
        found: list[FlatLines] = []
        tried = 0
        while left.any():
            if tried == len(self._patterns):
                taught = self._learn(data, starts, ends, left & teachers)
                if taught is None:
                    break
                teachers[: taught + 1] = False
            lines = np.flatnonzero(left)
            flat = self._patterns[tried].read(data, starts, ends, lines, self._decimals)
            if flat.lines.size:
                found.append(flat)
                left[flat.lines] = False
            tried += 1
        return found, left | escaped

    def _learn(
        self,
        data: bytes,
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        lines: NDArray[np.bool_],
    ) -> int | None:
        """Add the pattern of the first line that has one, and tell which it was."""
        for line in np.flatnonzero(lines)[:_MOST_PATTERNS].tolist():
            if len(self._patterns) + self._failed >= _MOST_PATTERNS:
                break
            pattern = _pattern_of(data[int(starts[line]) : int(ends[line])], self._exact)
            if pattern is not None:
                self._patterns.append(pattern)
                return int(line)
            self._failed += 1
        return None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Literals before, between and after the values of a line; keys of the values.

    A value goes on to the first byte of the literal behind it: a quote, or, where it is bare, what
    no such value holds.
    """

    literals: tuple[bytes, ...]
    keys: tuple[str, ...]
    bare: tuple[bool, ...]
    exact: frozenset[str]

    def read(
        self,
        data: bytes,
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        lines: NDArray[np.intp],
        decimals: Memo[np.bool_],
    ) -> FlatLines:
        if lines.size < starts.size:
            starts, ends = starts[lines], ends[lines]
        fits = np.ones(lines.size, np.bool_)
        texts: dict[str, Texts] = {}
        at = starts
        for place, (key, bare) in enumerate(zip(self.keys, self.bare, strict=True)):
            literal, following = self.literals[place : place + 2]
            fits &= holds(data, at, literal)
            if not place and not fits.any():
                return FlatLines(lines[:0], {})
            start = np.minimum(at + len(literal), ends)
            size = np.minimum(until(data, start, ends, following[0]), ends - start)
            at = start + size
            text = Texts(data, start, size)
            if bare:
                fits &= size > 0
                good, text = self._bare(key, Texts(data, start, size * fits), decimals)
                fits &= good
            texts[key] = text
        fits &= holds(data, at, self.literals[-1])
        fits &= at + len(self.literals[-1]) == ends
        if not fits.all():
            lines = lines[fits]
            texts = {key: text.take(fits) for key, text in texts.items()}
        return FlatLines(lines, texts)

    def _bare(
        self, key: str, text: Texts, decimals: Memo[np.bool_]
    ) -> tuple[NDArray[np.bool_], Texts]:
        """Whether a text without quotes is a value that every parser reads alike; null is none."""
        number, good = whole_numbers(text)
        places = np.minimum(np.maximum(text.size - 1, 0), 17).astype(np.int64)
        good &= (number >= 10**places) | (text.size == 1)
        null = text.equal(b"null")
        good |= null | text.equal(b"true") | text.equal(b"false")
        if key not in self.exact:
            rest = np.flatnonzero(~good)
            good[rest] = decimals.of(text.take(rest))
        return good, Texts(text.data, text.start, np.where(null, 0, text.size))


def _pattern_of(line: bytes, exact: frozenset[str]) -> _Pattern | None:
    """Take the pattern of a line; None for one that is nested, or no JSON."""
    try:
        pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    opened = line.find(b"{")
    if not isinstance(pairs, list) or opened < 0 or line[:opened].strip():
        return None
    keys: list[str] = []
    bare: list[bool] = []
    literals: list[bytes] = []
    at, literal_from = opened + 1, 0
    while (field := _FIELD.match(line, at)) is not None:
        bare.append(field["text"] is None)
        first, last = field.span("bare" if bare[-1] else "text")
        keys.append(field["key"].decode())
        literals.append(line[literal_from:first])
        at, literal_from = field.end(), last
    if keys != [key for key, _ in pairs] or len(set(keys)) < len(keys) or not keys:
        return None
    literals.append(line[literal_from:])
    return _Pattern(tuple(literals), tuple(keys), tuple(bare), exact)


def _are_decimals(texts: list[str]) -> NDArray[np.bool_]:
    return np.array([_DECIMAL.fullmatch(text) is not None for text in texts], np.bool_)


def _without_escapes(data: bytes, ends: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Lines without a backslash and without control characters."""
    text = np.frombuffer(data, np.uint8)[: len(data) - PADDING]
    low = text < _SPACE
    clean = np.ones(ends.size, np.bool_)
    if _BACKSLASH in data or np.count_nonzero(low) > ends.size:
        low |= text == _BACKSLASH
        low[ends] = False
        clean[np.searchsorted(ends, np.flatnonzero(low))] = False
    return clean
