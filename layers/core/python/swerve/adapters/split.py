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

from swerve.domain.fields import PADDING, are_newlines, marks_of, row_bounds
from swerve.domain.file import MAX_RECORD_BYTES
from swerve.domain.manifest import RowReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

PLAIN_BYTES = 2 << 20  # of fields that numpy reads: small enough for the cache
PIECE_BYTES = 8 << 20  # of records for the parser: large enough to hide what a query costs
_MAX_EMBEDDED = 100  # physical lines of one quoted record
_MAX_DEPTH = 1000
_DEEP_BYTES = 4096  # shorter records cannot be deep enough to matter
_MAX_UNPAIRED = 10_000  # quotes that open nothing: after so many no pair is looked for
_SHORTEST_LINE = 16  # bytes a line on average; denser pieces are cut smaller, to bound memory
_DENSE_BYTES = 2 << 20
_SAMPLE_BYTES = 1 << 16
_FEW = 100
_RARE = 1000
_AFTER = b"\x7f" * PADDING  # neither a delimiter nor a quote, and good UTF-8
_NEWLINE, _QUOTE = b'\n"'
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records.

    Attributes
    ----------
    data : bytes
        One record a line, no blank lines (quoted CSV fields may hold newlines); with `bounds`,
        any text. In both cases `PADDING` bytes follow that mean nothing.
    numbers : int64[records]
        Numbers of the records in the file, from 1, the header not counted.
    bad : mapping of RowReason to int64[...]
        Numbers of records that were taken out.
    bounds : int32[columns + 1, records], optional
        Of plain records of CSV, which have the right number of fields and no quote: the byte before
        the first field, then the bytes after each field. Of JSON, where nothing was taken out: the
        byte before each line, and its end.
    """

    data: bytes
    numbers: NDArray[np.int64]
    bad: Mapping[RowReason, NDArray[np.int64]]
    bounds: NDArray[np.int32] | None = None

    def chosen(self, records: NDArray[np.bool_]) -> bytes:
        """Return some records of a piece that holds one a line."""
        if records.all() or not records.any():
            return self.data if records.any() else _AFTER
        lines = np.array(self.data[:-PADDING].splitlines(keepends=True), object)
        return b"".join([*lines[records], _AFTER])

    def copied(self) -> Piece:
        """Return the records of a piece with bounds, one a line."""
        if self.bounds is None:
            return self
        steps = np.zeros(len(self.data) + 1, np.int8)
        steps[self.bounds[0] + 1] += 1
        steps[self.bounds[-1] + 1] -= 1
        keep = np.cumsum(steps[:-1], dtype=np.int8) > 0
        data = np.frombuffer(self.data, np.uint8)[keep].tobytes()
        return Piece(data + _AFTER, self.numbers, self.bad)


def split_lines(
    chunks: Iterator[bytes],
    enough: int,
    delimiter: str = "",
    columns: int = 0,
    *,
    skip: bool = False,
) -> Iterator[Piece]:
    """Cut CSV (with a `delimiter` and a number of `columns`) or JSON Lines into pieces.

    Parameters
    ----------
    chunks : iterator of bytes
    enough : int
        Bytes of a piece.
    skip : bool
        The first record is the header: neither counted nor returned.
    """
    cutter = _Cutter(delimiter, columns, skip)
    # Joined once: to copy a piece takes as long as to split it.
    parts: list[bytes | memoryview] = []
    size = 0
    first = True
    old_mac = False
    for chunk in chunks:
        if first:
            old_mac = b"\r" in chunk and b"\n" not in chunk
            chunk = chunk.removeprefix(_BOM)  # noqa: PLW2901
            first = False
        if old_mac:
            chunk = chunk.replace(b"\r", b"\n")  # noqa: PLW2901
        size += len(chunk)
        dense = chunk.count(b"\n", 0, _SAMPLE_BYTES) * _SHORTEST_LINE > _SAMPLE_BYTES
        if size < (_DENSE_BYTES if dense else enough):
            parts.append(chunk)
            continue
        end = chunk.rfind(b"\n") + 1
        piece, rest = cutter.cut(b"".join([*parts, memoryview(chunk)[:end], _AFTER]), final=False)
        parts, size = [rest, chunk[end:]], len(rest) + len(chunk) - end
        yield piece
        if cutter.others_bytes > PIECE_BYTES:
            yield cutter.others()
    last = b"".join(parts)
    if last or cutter.overlong:
        piece, _ = cutter.cut(last + b"\n" * (not last.endswith(b"\n")) + _AFTER, final=True)
        yield piece
    if cutter.others_bytes:
        yield cutter.others()


class _Cutter:
    def __init__(self, delimiter: str, columns: int, skip: bool) -> None:
        self.delimiter = delimiter
        self.columns = columns
        self.skip = skip
        self.seen = 0
        self.overlong = False
        self.others_bytes = 0
        self._others: list[tuple[bytes, NDArray[np.int64]]] = []

    def others(self) -> Piece:
        """Return the records that are not plain, of all that was cut since the last call."""
        data = b"".join([*(data[:-PADDING] for data, _ in self._others), _AFTER])
        numbers = np.concatenate([numbers for _, numbers in self._others])
        self._others, self.others_bytes = [], 0
        return Piece(data, numbers, {})

    def cut(self, data: bytes, *, final: bool) -> tuple[Piece, bytes]:
        """Return the whole records of padded `data`, and the rest, which belongs to the next."""
        end = data.rfind(b"\n") + 1
        if end == 0:  # one endless line: forget what came, remember that it came
            self.overlong = True
            return Piece(_AFTER, np.empty(0, np.int64), {}), b""
        rest = data[end:-PADDING]
        if rest:
            data = data[:end] + _AFTER
        if self.overlong:
            data = b"!" + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        marks, newlines = self._marks(data)
        even = self._even(data, marks, newlines)
        return (even, rest) if even else self._uneven(data, marks, rest, final=final)

    def _uneven(
        self, data: bytes, marks: NDArray[np.int32], rest: bytes, *, final: bool
    ) -> tuple[Piece, bytes]:
        data, marks, last = self._without_blank_lines(data, marks)
        ends = marks[last]
        starts = np.append(marks[:1] + 1, ends[:-1] + 1)
        reasons = self._reasons(data, starts, ends)
        joined = np.zeros(ends.size, bool)  # lines that continue the record before them
        quoted = joined
        if self.delimiter and b'"' in data:
            lines = np.searchsorted(ends, _places(data, _QUOTE))
            count = np.bincount(lines, minlength=ends.size)
            quoted = count > 0
            open_at = self._join_quoted(data, starts, ends, count, reasons, joined, final=final)
            if open_at is not None:
                rest = data[starts[open_at] : -PADDING] + rest
                data = data[: starts[open_at]] + _AFTER
                last, ends, starts = last[:open_at], ends[:open_at], starts[:open_at]
                marks = marks[: last[-1] + 1 if open_at else 1]
                reasons, joined, quoted = reasons[:open_at], joined[:open_at], quoted[:open_at]
        heads = ~joined
        alone = heads & np.append(heads[1:], True)[: heads.size]
        short = alone & (ends - starts < self.columns - 1)  # cannot hold the delimiters
        reasons[short & (reasons == 0)] = _RAGGED
        reasons[heads & (ends == starts)] = _BLANK
        if self.skip and (reasons != _BLANK).any():
            reasons[np.flatnonzero(heads & (reasons != _BLANK))[0]] = _BLANK
            self.skip = False
        records = heads & (reasons != _BLANK)
        numbers = self.seen + np.cumsum(records)
        self.seen = int(numbers[-1]) if numbers.size else self.seen
        bad = {
            reason: numbers[heads & (reasons == code)]
            for code, reason in _REASONS.items()
            if (reasons == code).any()
        }
        good = reasons == 0
        if not self.delimiter:
            bounds = row_bounds(marks, 1) if good.all() else None
            chosen = _lines(data, good, joined, starts, ends)
            return Piece(chosen, numbers[good], bad, bounds), rest
        plain = good & heads & ~quoted & (np.diff(last, prepend=0) == self.columns)
        others = good & ~plain
        if others.any():
            self._leave(_lines(data, others, joined, starts, ends), numbers[others & heads])
        bounds = marks.take(last[plain] + np.arange(-self.columns, 1)[:, None])
        return Piece(data, numbers[plain], bad, bounds), rest

    def _marks(self, data: bytes) -> tuple[NDArray[np.int32], int]:
        """Ends of fields after a -1, and how many of them are ends of lines."""
        return marks_of(data, ord(self.delimiter) if self.delimiter else _NEWLINE)

    def _even(self, data: bytes, marks: NDArray[np.int32], newlines: int) -> Piece | None:
        """Cut lines without a fault, all of as many fields, as those of most pieces are."""
        columns = self.columns
        if columns < 2 or self.skip or self.overlong or marks.size - 1 != columns * newlines:
            return None
        bounds = row_bounds(marks, columns)
        ends = bounds[-1]
        lines, quotes = np.unique(np.searchsorted(ends, _places(data, _QUOTE)), return_counts=True)
        if (
            not are_newlines(data, ends).all()
            or (quotes & 1).any()  # one of them may continue the line before it
            or (ends - bounds[0]).max() > MAX_RECORD_BYTES
            or b"\0" in data
            or not _is_utf8(data)
        ):
            return None
        numbers = np.arange(self.seen + 1, self.seen + 1 + newlines)
        self.seen += newlines
        if not lines.size:
            return Piece(data, numbers, {}, bounds)
        quoted = np.zeros(newlines, np.bool_)
        quoted[lines] = True
        self._leave(
            _lines(data, quoted, np.zeros_like(quoted), bounds[0] + 1, ends), numbers[lines]
        )
        plain = np.flatnonzero(~quoted)
        return Piece(data, numbers.take(plain), {}, bounds.take(plain, axis=1))

    def _leave(self, data: bytes, numbers: NDArray[np.int64]) -> None:
        """Keep records that are not plain for `others`."""
        self._others.append((data, numbers))
        self.others_bytes += len(data) - PADDING

    def _without_blank_lines(
        self, data: bytes, marks: NDArray[np.int32]
    ) -> tuple[bytes, NDArray[np.int32], NDArray[np.intp]]:
        """Text, its marks, and which of them are newlines."""
        last = 1 + np.flatnonzero(are_newlines(data, marks[1:]))
        if (np.diff(marks[last]) == 1).any():
            while b"\n\n" in data:  # within quotes a name loses nothing: spaces are folded anyway
                data = data.replace(b"\n\n", b"\n")
            marks, _ = self._marks(data)
            last = 1 + np.flatnonzero(are_newlines(data, marks[1:]))
        return data, marks, last

    def _reasons(
        self, data: bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]
    ) -> NDArray[np.uint8]:
        reasons = np.zeros(ends.size, np.uint8)
        lengths = ends - starts
        if b"\0" in data:
            nul = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
            reasons[np.unique(np.searchsorted(ends, nul))] = _BAD_ENCODING
        if not _is_utf8(data):
            bounds = zip(starts.tolist(), ends.tolist(), strict=True)
            reasons[[not _is_utf8(data[first:last]) for first, last in bounds]] = _BAD_ENCODING
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
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        quotes: NDArray[np.int64],
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
        odd = np.flatnonzero(quotes & 1)
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
    if data.isascii():
        return True
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


def _places(data: bytes, byte: int) -> NDArray[np.int64]:
    """Where a byte is; a search is quicker than a comparison of all where there are few."""
    found: list[int] = []
    at = data.find(byte)
    while at >= 0 and len(found) * _RARE < len(data):
        found.append(at)
        at = data.find(byte, at + 1)
    if at < 0:
        return np.array(found, np.int64)
    return np.flatnonzero(np.frombuffer(data, np.uint8) == byte)


def _lines(
    data: bytes,
    chosen: NDArray[np.bool_],
    joined: NDArray[np.bool_],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> bytes:
    """Copy the chosen records, and pad; a joined line shares the fate of its record."""
    if joined.any():
        chosen = chosen[np.maximum.accumulate(np.where(joined, 0, np.arange(ends.size)))]
    if chosen.all():
        return data
    if np.count_nonzero(chosen) * _FEW < chosen.size:
        bounds = zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)
        return b"".join([*(data[first : last + 1] for first, last in bounds), _AFTER])
    keep = np.repeat(chosen, ends - starts + 1)
    return np.frombuffer(data, np.uint8)[:-PADDING][keep].tobytes() + _AFTER
