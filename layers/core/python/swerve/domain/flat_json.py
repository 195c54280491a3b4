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
from swerve.domain.fields import WORD, Texts, marks_of, row_bounds
from swerve.domain.times import whole_numbers

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_MOST_PATTERNS = 16
_NEWLINE, _QUOTE, _BACKSLASH, _SPACE = b'\n"\\ '
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


@dataclass(frozen=True, slots=True)
class _Value:
    """Where a value is: so many bytes after one mark, so many before another.

    A mark is the byte before the line, a quote, or the end of the line.
    """

    key: str
    bare: bool
    first_mark: int
    after: int
    last_mark: int
    before: int


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

    def read(self, data: bytes) -> tuple[list[FlatLines], NDArray[np.bool_]]:
        """Return what was read of some lines, and which lines are left.

        Parameters
        ----------
        data : bytes
            Lines, and eight bytes more.
        """
        marks = np.append(-1, marks_of(data, _QUOTE))
        last = np.flatnonzero(np.frombuffer(data, np.uint8)[marks[1:]] == _NEWLINE) + 1
        quotes = np.diff(last, prepend=0) - 1
        left = _without_escapes(data, marks[last])
        escaped = ~left
        teachers = left.copy()  # lines that may still show a new pattern
        found: list[FlatLines] = []
        tried = 0
        while left.any():
            if tried == len(self._patterns):
                taught = self._learn(data, marks, last, left & teachers)
                if taught is None:
                    break
                teachers[: taught + 1] = False
            pattern = self._patterns[tried]
            lines = np.flatnonzero(left & (quotes == pattern.quotes))
            bounds = _bounds(marks, last, lines, pattern.quotes)
            flat = pattern.read(data, bounds, lines, self._decimals)
            if flat.lines.size:
                found.append(flat)
                left[flat.lines] = False
            tried += 1
        return found, left | escaped

    def _learn(
        self,
        data: bytes,
        marks: NDArray[np.int64],
        last: NDArray[np.int64],
        lines: NDArray[np.bool_],
    ) -> int | None:
        """Add the pattern of the first line that has one, and tell which it was."""
        for line in np.flatnonzero(lines)[:_MOST_PATTERNS].tolist():
            if len(self._patterns) + self._failed >= _MOST_PATTERNS:
                break
            start = int(marks[last[line - 1]]) + 1 if line else 0
            pattern = _pattern_of(data[start : int(marks[last[line]])], self._exact)
            if pattern is not None:
                self._patterns.append(pattern)
                return int(line)
            self._failed += 1
        return None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Literals before, between and after the values of a line."""

    quotes: int
    literals: tuple[bytes, ...]
    values: tuple[_Value, ...]
    exact: frozenset[str]

    def read(
        self,
        data: bytes,
        bounds: NDArray[np.int64],
        lines: NDArray[np.intp],
        decimals: Memo[np.bool_],
    ) -> FlatLines:
        fits = np.ones(lines.size, np.bool_)
        texts: dict[str, Texts] = {}
        at = bounds[:, 0] + 1
        for literal, value in zip(self.literals, self.values, strict=False):
            start = np.minimum(bounds[:, value.first_mark] + value.after, bounds[:, -1])
            end = np.maximum(bounds[:, value.last_mark] - value.before, 0)
            fits &= Texts(data, at, start - at).equal(literal)
            at = end
            text = Texts(data, start, end - start)
            if value.bare:
                fits &= text.size > 0
                text = Texts(data, start, np.maximum(text.size, 0))
                good, text = self._bare(value.key, text, decimals)
                fits &= good
            texts[value.key] = text
        fits &= Texts(data, at, bounds[:, -1] - at).equal(self.literals[-1])
        if not fits.all():
            texts = {key: text.take(fits) for key, text in texts.items()}
        return FlatLines(lines[fits], texts)

    def _bare(
        self, key: str, text: Texts, decimals: Memo[np.bool_]
    ) -> tuple[NDArray[np.bool_], Texts]:
        """Whether a text without quotes is a value that every parser reads alike; null is none."""
        number, good = whole_numbers(text)
        good &= (number >= 10 ** np.minimum(np.maximum(text.size - 1, 0), 17)) | (text.size == 1)
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
    quotes = [-1, *(place for place, byte in enumerate(line) if byte == _QUOTE), len(line)]
    mark_of = {place: mark for mark, place in enumerate(quotes)}
    values: list[_Value] = []
    literals: list[bytes] = []
    at, literal_from = opened + 1, 0
    while (field := _FIELD.match(line, at)) is not None:
        bare = field["text"] is None
        first, last = field.span("bare" if bare else "text")
        if bare:
            start_mark = mark_of[field.end("key")]
            end_mark = next(mark for mark, place in enumerate(quotes) if place >= last)
        else:
            start_mark, end_mark = mark_of[first - 1], mark_of[last]
        values.append(
            _Value(
                field["key"].decode(),
                bare,
                start_mark,
                first - quotes[start_mark],
                end_mark,
                quotes[end_mark] - last,
            )
        )
        literals.append(line[literal_from:first])
        at, literal_from = field.end(), last
    keys = [value.key for value in values]
    if keys != [key for key, _ in pairs] or len(set(keys)) < len(keys) or not keys:
        return None
    literals.append(line[literal_from:])
    return _Pattern(len(quotes) - 2, tuple(literals), tuple(values), exact)


def _are_decimals(texts: list[str]) -> NDArray[np.bool_]:
    return np.array([_DECIMAL.fullmatch(text) is not None for text in texts], np.bool_)


def _bounds(
    marks: NDArray[np.int64], last: NDArray[np.int64], lines: NDArray[np.intp], quotes: int
) -> NDArray[np.int64]:
    """The byte before each line, its quotes, and its end."""
    if lines.size == last.size:
        return row_bounds(marks, quotes + 1)
    bounds: NDArray[np.int64] = marks[last[lines][:, None] + np.arange(-quotes - 1, 1)]
    return bounds


def _without_escapes(data: bytes, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Lines without a backslash and without control characters."""
    text = np.frombuffer(data, np.uint8)[: len(data) - WORD]
    low = text < _SPACE
    clean = np.ones(ends.size, np.bool_)
    if _BACKSLASH in data or np.count_nonzero(low) > ends.size:
        low |= text == _BACKSLASH
        low[ends] = False
        clean[np.searchsorted(ends, np.flatnonzero(low))] = False
    return clean
