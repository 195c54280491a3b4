"""Turns JSON that is not one record a line into JSON Lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.file import MAX_RECORD_BYTES, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MAX_RESYNCS = 1000
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'"\\{}'


def as_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn a JSON array, concatenated or pretty-printed JSON objects into JSON Lines.

    Splitting at `}{` alone broke every record that has it inside a text (measured); so braces are
    matched outside of texts. What lies between objects and is no punctuation becomes a line of
    its own, for the parser to refuse and count.
    """
    buffer = b""
    lost = False  # inside a record too long to keep, until something looks like the next one
    resyncs = 0
    for chunk in _larger(chunks):
        if lost:
            cut = _resync(chunk)
            lost, buffer = cut == len(chunk), chunk[cut:]
        else:
            buffer += chunk
        lines, buffer = _objects(buffer)
        while len(buffer) > MAX_RECORD_BYTES:
            cut = _resync(buffer)
            lost = cut == len(buffer)
            lines.append(b"!" * (MAX_RECORD_BYTES + 1))
            more, buffer = _objects(buffer[cut:])
            lines += more
            resyncs += 1
            if resyncs > _MAX_RESYNCS:
                raise _broken()
        yield _joined(lines)
    while buffer.strip(_BETWEEN):
        lines, buffer = _objects(buffer[_resync(buffer) :])
        yield _joined([b"!", *lines])
        resyncs += 1
        if resyncs > _MAX_RESYNCS:
            raise _broken()


def _broken() -> Refused:
    return Refused(
        "broken_json",
        "The JSON is broken in more than a thousand places.",
        "Export JSON Lines: one object a line.",
    )


_BETWEEN = b" \t\r\n,[]"
_SEVERAL_BYTES = 4 << 20


def _larger(chunks: Iterator[bytes]) -> Iterator[bytes]:
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        if len(pending) >= _SEVERAL_BYTES:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


def _resync(buffer: bytes) -> int:
    """Where the next record may start, after one that does not end."""
    marks = (b"\n{", b"}{"), (b",{",)  # the last one also stands inside of records
    for group in marks:
        if found := [at + 1 for mark in group if (at := buffer.find(mark, 1)) >= 0]:
            return min(found)
    return len(buffer)


def _joined(lines: list[bytes]) -> bytes:
    clean = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
    return b"".join(line + b"\n" for line in clean)


def _objects(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Top-level objects of the buffer, and the rest that is not complete."""
    text = np.frombuffer(buffer, np.uint8)
    quotes = _real_quotes(text)
    braces = np.flatnonzero((text == _OPEN) | (text == _CLOSE))
    braces = braces[np.searchsorted(quotes, braces) % 2 == 0]
    depth = np.cumsum(np.where(text[braces] == _OPEN, 1, -1))
    floor = np.minimum.accumulate(np.minimum(depth, 0))
    stray = np.diff(floor, prepend=0) < 0  # closes what was never opened
    braces, depth = braces[~stray], (depth - floor)[~stray]
    lasts = braces[depth == 0]
    if not lasts.size:
        return [], buffer
    opens = braces[np.append(True, depth[:-1] == 0)[: braces.size]]
    lines: list[bytes] = []
    at = 0
    for first, last in zip(opens.tolist(), lasts.tolist(), strict=False):
        if gap := buffer[at:first].strip(_BETWEEN):
            lines.append(gap)
        lines.append(buffer[first : last + 1])
        at = last + 1
    return lines, buffer[at:].lstrip(_BETWEEN)


def _real_quotes(text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Quotes that open or close a text: those after an even run of backslashes."""
    quotes = np.flatnonzero(text == _QUOTE)
    doubtful = quotes[(quotes > 0) & (text[quotes - 1] == _BACKSLASH)]
    if not doubtful.size:
        return quotes
    others = np.flatnonzero(text != _BACKSLASH)
    before = np.searchsorted(others, doubtful) - 1
    run = doubtful - 1 - np.where(before >= 0, others[before], -1)
    return np.setdiff1d(quotes, doubtful[run % 2 == 1], assume_unique=True)
