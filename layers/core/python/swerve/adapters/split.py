"""Cuts a text into pieces of whole records, and takes out what no parser should see.

Records that are too long, too deep, not UTF-8, or hold a NUL are counted here and removed, so that
one of them cannot hurt its neighbours, and so that the number of records that DuckDB must answer
for is known beforehand.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.file import MAX_RECORD_BYTES, Refused
from swerve.domain.manifest import RowReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

PIECE_BYTES = 32 << 20
_MAX_EMBEDDED = 100  # physical lines of one quoted record
_MAX_DEPTH = 1000
_DEEP_BYTES = 4096  # shorter records cannot be deep enough to matter
_MAX_RESYNCS = 1000
_MAX_UNPAIRED = 10_000  # quotes that open nothing: after so many no pair is looked for
_SHORTEST_LINE = 16  # bytes a line on average; denser pieces are cut smaller, to bound memory
_DENSE_BYTES = 2 << 20
_NEWLINE, _QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'\n"\\{}'
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records, one a line (quoted CSV fields may hold newlines), no blank lines.

    Attributes
    ----------
    data : bytes
        Ends with a newline, or is empty.
    numbers : int64[records]
        Numbers of the records in the file, from 1, the header not counted.
    bad : mapping of RowReason to int64[...]
        Numbers of records that were taken out.
    """

    data: bytes
    numbers: NDArray[np.int64]
    bad: Mapping[RowReason, NDArray[np.int64]]


def split_lines(
    chunks: Iterator[bytes], delimiter: str = "", columns: int = 0, *, skip: bool = False
) -> Iterator[Piece]:
    """Cut CSV (with a `delimiter` and a number of `columns`) or JSON Lines into pieces.

    With `skip`, the first record is the header: neither counted nor returned.
    """
    cutter = _Cutter(delimiter, columns, skip)
    buffer = bytearray()
    first = True
    old_mac = False
    for chunk in chunks:
        if first:
            old_mac = b"\r" in chunk and b"\n" not in chunk
            buffer += chunk.removeprefix(_BOM)
            first = False
        else:
            buffer += chunk
        if old_mac:
            buffer = buffer.replace(b"\r", b"\n")
        dense = buffer.count(b"\n", 0, _DENSE_BYTES) * _SHORTEST_LINE > _DENSE_BYTES
        if len(buffer) >= (_DENSE_BYTES if dense else PIECE_BYTES):
            piece, rest = cutter.cut(bytes(buffer), final=False)
            buffer = bytearray(rest)
            yield piece
    if buffer or cutter.overlong:
        ended = buffer if buffer.endswith(b"\n") else buffer + b"\n"
        piece, _ = cutter.cut(bytes(ended), final=True)
        yield piece


class _Cutter:
    def __init__(self, delimiter: str, columns: int, skip: bool) -> None:
        self.delimiter = delimiter
        self.columns = columns
        self.skip = skip
        self.seen = 0
        self.overlong = False

    def cut(self, data: bytes, *, final: bool) -> tuple[Piece, bytes]:
        """Return the whole records of `data`, and the rest that belongs to the next piece."""
        end = data.rfind(b"\n") + 1
        if end == 0:  # one endless line: forget what came, remember that it came
            self.overlong = True
            return Piece(b"", np.empty(0, np.int64), {}), b""
        data, rest = b"!" * self.overlong + data[:end], data[end:]
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        while b"\n\n" in data:  # within quotes a name loses nothing: its spaces are folded anyway
            data = data.replace(b"\n\n", b"\n")
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
        starts = np.append(0, ends[:-1] + 1)
        reasons = self._reasons(data, starts, ends)
        joined = np.zeros(ends.size, bool)  # lines that continue the record before them
        if self.delimiter and b'"' in data:
            open_at = self._join_quoted(data, starts, ends, reasons, joined, final=final)
            if open_at is not None:
                rest = data[starts[open_at] :] + rest
                keep = slice(0, open_at)
                data, ends, starts = data[: starts[open_at]], ends[keep], starts[keep]
                reasons, joined = reasons[keep], joined[keep]
        return self._piece(data, starts, ends, reasons, joined), rest

    def _piece(
        self,
        data: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        reasons: NDArray[np.uint8],
        joined: NDArray[np.bool_],
    ) -> Piece:
        heads = ~joined
        reasons[heads & (ends == starts)] = _BLANK
        if self.skip and (reasons != _BLANK).any():
            reasons[np.flatnonzero(heads & (reasons != _BLANK))[0]] = _BLANK
            self.skip = False
        records = heads & (reasons != _BLANK)
        numbers = self.seen + np.cumsum(records)
        self.seen = int(numbers[-1]) if numbers.size else self.seen
        if reasons.any() and not reasons[1:].any() and not joined[1:2].any():
            data = data[int(ends[0]) + 1 :]
        elif reasons.any():
            # A joined line shares the fate of its record.
            record = np.maximum.accumulate(np.where(joined, 0, np.arange(ends.size)))
            keep = np.repeat(reasons[record] == 0, ends - starts + 1)
            data = np.frombuffer(data, np.uint8)[keep].tobytes()
        bad = {
            reason: numbers[heads & (reasons == code)]
            for code, reason in _REASONS.items()
            if (reasons == code).any()
        }
        return Piece(data, numbers[records & (reasons == 0)], bad)

    def _reasons(
        self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        reasons = np.zeros(ends.size, np.uint8)
        lengths = ends - starts
        if b"\0" in data:
            nul = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
            reasons[np.unique(np.searchsorted(ends, nul))] = _BAD_ENCODING
        if not data.isascii() and not _is_utf8(data):
            bounds = zip(starts.tolist(), ends.tolist(), strict=True)
            reasons[[not _is_utf8(data[first:last]) for first, last in bounds]] = _BAD_ENCODING
        reasons[lengths < self.columns - 1] = _RAGGED  # cannot hold the delimiters
        reasons[lengths > MAX_RECORD_BYTES] = _TOO_LONG
        if self.overlong:
            reasons[0] = _TOO_LONG
            self.overlong = False
        if not self.delimiter:
            for line in np.flatnonzero((lengths > _DEEP_BYTES) & (reasons == 0)).tolist():
                if _depth(data[starts[line] : ends[line]]) > _MAX_DEPTH:
                    reasons[line] = _TOO_LONG
        return reasons

    def _join_quoted(
        self,
        data: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        reasons: NDArray[np.uint8],
        joined: NDArray[np.bool_],
        *,
        final: bool,
    ) -> int | None:
        """Mark lines inside quotes; return the line where a record stays open at the end.

        A line with an odd number of quotes opens or closes a quoted newline. A pair is believed
        only if together they have the right number of fields; else the first is ragged alone and
        the lines after it are saved (DuckDB would let an unclosed quote swallow them).
        """
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == _QUOTE)
        odd = np.flatnonzero(np.bincount(np.searchsorted(ends, quotes), minlength=ends.size) & 1)
        odd = odd[reasons[odd] == 0]
        lines: list[int] = odd.tolist()
        at = unpaired = 0
        while at < len(lines) and unpaired < _MAX_UNPAIRED:
            line = lines[at]
            partner = lines[at + 1] if at + 1 < len(lines) else None
            if partner is None and not final and ends.size - line <= _MAX_EMBEDDED:
                return line
            if partner is not None and partner - line <= _MAX_EMBEDDED:
                text = data[starts[line] : ends[partner]]
                if not reasons[line : partner + 1].any() and self._fields(text) == self.columns:
                    joined[line + 1 : partner + 1] = True
                    at += 2
                    continue
            reasons[line] = _RAGGED
            unpaired += 1
            at += 1
        reasons[lines[at:]] = _RAGGED
        return None

    def _fields(self, record: bytes) -> int:
        try:
            rows = list(csv.reader([record.decode()], delimiter=self.delimiter, strict=True))
        except csv.Error:
            return -1
        return len(rows[0]) if len(rows) == 1 else -1


_BAD_ENCODING, _TOO_LONG, _RAGGED, _BLANK = 1, 2, 3, 4
_REASONS = {
    _BAD_ENCODING: RowReason.BAD_ENCODING,
    _TOO_LONG: RowReason.TOO_LONG,
    _RAGGED: RowReason.RAGGED,
}


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _depth(record: bytes) -> int:
    """Nesting of a record, brackets in texts included: an upper bound."""
    text = np.frombuffer(record, np.uint8)
    steps = np.isin(text, np.frombuffer(b"{[", np.uint8)).astype(np.int32)
    steps -= np.isin(text, np.frombuffer(b"}]", np.uint8))
    return int(np.cumsum(steps).max())


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
