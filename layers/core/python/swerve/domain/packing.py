"""The bytes of a partial: columnar, dictionary-coded, the same for the same events.

Layout (little endian): header; then plain what does not compress (pseudonyms, routing hashes,
previous pseudonyms, dictionaries, event keys); then one zstd frame with what does (rows per user,
times, behaviours, dictionary codes), multi-byte columns as byte planes.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.event import Events
from swerve.domain.planes import of_planes, planes_of, squeezed, stretched
from swerve.domain.pseudonym import UserTable
from swerve.domain.ranks import NAMED, Ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["SEGMENT_BYTES", "UserTable", "events_in", "pack", "unpack", "users_in", "without"]

SEGMENT_BYTES = 350_000  # a DynamoDB item holds 400 KB with its keys (AWS quota)
_SEGMENT_EVENTS = 14_000  # about 24 bytes an event: the first guess rarely has to be halved
_MANY_NAMES = 1 << 18  # to mark those that occur takes longer than to sort
_MAGIC = b"SWP"
_VERSION = 2
_FRAME_MARGIN = 1000  # what does not compress grows by 3 bytes for each plane and 128 KB
_HEADER = struct.Struct("<3sBIIqHB6B4I")
_CODED = (*NAMED, "value")
_NAN = np.array([np.nan], np.float32).view(np.uint32)[0]


def pack(
    events: Events, users: UserTable, names: Mapping[str, NDArray[np.uint64]] | None = None
) -> list[bytes]:
    """Pack events of one (shard, window) into segments of at most `SEGMENT_BYTES`.

    Parameters
    ----------
    events : Events
        Any order.
    users : UserTable
        Ascending; must hold every user of `events`, may hold more.
    names : mapping of str to uint64[n], optional
        Ascending keys for category, item and campaign, which then are places among them.

    Returns
    -------
    list of bytes
        The same for every order of the same events; empty for no events.
    """
    if names is None:
        ranks = Ranks.of({name: getattr(events, name) for name in NAMED})
        events, names = replace(events, **ranks.of_code), ranks.keys
    ordered = events if _is_canonical(events) else events.canonical()
    count = -(-len(ordered) // _SEGMENT_EVENTS)
    bounds = [len(ordered) * part // count for part in range(count + 1)] if count else []
    segments: list[bytes] = []
    for first, last in pairwise(bounds):
        segments += _within_limit(ordered.take(slice(first, last)), users, names)
    return segments


def events_in(data: bytes) -> int:
    """Return the number of events in a segment, from its header."""
    return int(_HEADER.unpack_from(data)[2])


def unpack(data: bytes) -> tuple[Events, UserTable]:
    """Read one segment; raise ValueError when it is not one, or is damaged."""
    with _readable(data):
        return _read(data)


def users_in(data: bytes) -> UserTable:
    """Read only who is in a segment: nothing is decompressed. Raises as `unpack` does."""
    with _readable(data):
        return _users(data)[0]


def without(data: bytes, users: NDArray[np.uint64]) -> tuple[bytes, Events]:
    """Take some users out of a segment.

    Returns
    -------
    (bytes, Events)
        The segment as if they had never been in it, empty where nobody is left; their events.
    """
    events, table = unpack(data)
    theirs = np.isin(events.user, users)
    return b"".join(pack(events.take(~theirs), table)), events.take(theirs)


@contextmanager
def _readable(data: bytes) -> Iterator[None]:
    if data[: len(_MAGIC)] == _MAGIC and data[len(_MAGIC) :][:1] != bytes([_VERSION]):
        raise ValueError("partial of another version: docs/operations.md, Upgrade")
    try:
        yield
    except (struct.error, IndexError, ValueError) as wrong:
        raise ValueError(f"partial of {len(data)} bytes is damaged: {wrong}") from wrong


def _is_canonical(events: Events) -> bool:
    user, time, key = (events.user, events.time_ms, events.key)
    later = user[1:] > user[:-1]
    same_user = user[1:] == user[:-1]
    later |= same_user & (time[1:] > time[:-1])
    later |= same_user & (time[1:] == time[:-1]) & (key[1:] >= key[:-1])
    return bool(later.all())


def _within_limit(
    events: Events, users: UserTable, names: Mapping[str, NDArray[np.uint64]]
) -> list[bytes]:
    """Cut by the size before compression, so that no build of zstd makes other segments."""
    plain, planes = _segment(events, users, names)
    if len(plain) + sum(map(len, planes)) <= SEGMENT_BYTES - _FRAME_MARGIN:
        return [plain + squeezed(planes)]
    half = len(events) // 2
    halves = (events.take(slice(0, half)), events.take(slice(half, None)))
    return [segment for part in halves for segment in _within_limit(part, users, names)]


@dataclass(frozen=True, slots=True)
class _Codes:
    """One column as a sorted dictionary and a code for each row."""

    dictionary: NDArray[Any]
    codes: NDArray[Any]
    width: int


def _segment(
    events: Events, users: UserTable, names: Mapping[str, NDArray[np.uint64]]
) -> tuple[bytes, list[bytes]]:
    """What is stored as it is, and what is compressed."""
    starts = np.flatnonzero(np.append(True, events.user[1:] != events.user[:-1]))
    table = users.of(events.user[starts])
    counts, count_width = _narrow(np.diff(np.append(starts, len(events))))
    base = int(events.time_ms.min())
    offsets = events.time_ms - base
    seconds = offsets // 1000
    unit = 1000 if np.array_equal(seconds * 1000, offsets) else 1
    times, time_width = _narrow(seconds if unit > 1 else offsets)
    columns = [_code_names(getattr(events, name), names[name]) for name in NAMED]
    columns.append(_code_values(events.value))
    renamed = bool(table.previous.any())
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        len(events),
        len(table),
        base,
        unit,
        renamed,
        count_width,
        time_width,
        *(column.width for column in columns),
        *(column.dictionary.size for column in columns),
    )
    plain: list[NDArray[Any]] = [table.users, table.routing]
    plain += [table.previous] if renamed else []
    plain += [*(column.dictionary for column in columns), events.key]
    planes = [*planes_of(counts), *planes_of(times), events.behaviour.tobytes()]
    for column in columns:
        planes += planes_of(column.codes)
    return b"".join([header, *(column.tobytes() for column in plain)]), planes


def _users(data: bytes) -> tuple[UserTable, int]:
    """Who is in a segment, and where what follows them begins."""
    magic, version, _, people, _, _, renamed, *_ = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"unknown format {magic!r} version {version}")
    at = _HEADER.size
    users = np.frombuffer(data, "<u8", people, at).copy()
    at += users.nbytes
    routing = np.frombuffer(data, "<u4", people, at).copy()
    at += routing.nbytes
    previous = np.zeros(people, np.uint64)
    if renamed:
        previous = np.frombuffer(data, "<u8", people, at).copy()
        at += previous.nbytes
    return UserTable(users, routing, previous), at


def _read(data: bytes) -> tuple[Events, UserTable]:
    table, at = _users(data)
    _, _, rows, people, base, unit, _, *rest = _HEADER.unpack_from(data)
    widths, sizes = rest[:6], rest[6:]

    def plain(kind: str, size: int) -> NDArray[Any]:
        nonlocal at
        values = np.frombuffer(data, kind, size, at).copy()
        at += values.nbytes
        return values

    dictionaries = [
        plain("<u4" if n == "value" else "<u8", s) for n, s in zip(_CODED, sizes, strict=True)
    ]
    keys = plain("<u8", rows)
    wide = ({1, 2, 4}, {1, 2, 4, 8}, *[{0, 1, 2, 4, 8}] * len(_CODED))
    if not all(width in some for width, some in zip(widths, wide, strict=True)):
        raise ValueError(f"its columns are {widths} bytes wide")
    body = stretched(data[at:], widths[0] * people + (1 + sum(widths[1:])) * rows)
    cursor = 0

    def column(width: int, size: int) -> NDArray[Any]:
        nonlocal cursor
        values = of_planes(body, f"<u{width}", size, cursor)
        cursor += values.nbytes
        return values

    counts = column(widths[0], people)
    if int(counts.sum(dtype=np.uint64)) != rows:
        raise ValueError("its rows per user do not add up")
    times = column(widths[1], rows)
    behaviours = column(1, rows)
    columns = {
        name: dictionary[column(width, rows)] if width else np.repeat(dictionary, rows)
        for name, dictionary, width in zip(_CODED, dictionaries, widths[2:], strict=True)
    }
    events = Events(
        user=np.repeat(table.users, counts.astype(np.intp)),
        key=keys,
        time_ms=times.astype(np.int64) * unit + base,
        behaviour=behaviours.copy(),
        category=columns["category"],
        item=columns["item"],
        campaign=columns["campaign"],
        value=columns["value"].view(np.float32),
    )
    return events, table


def _code_names(places: NDArray[np.uint64], names: NDArray[np.uint64]) -> _Codes:
    """Code names that are given by their places: those that occur are marked, not sorted."""
    if names.size == 1:
        return _Codes(names, places[:0], 0)
    if names.size > _MANY_NAMES:
        coded = _code(places)
        return _Codes(names[coded.dictionary.view(np.int64)], coded.codes, coded.width)
    rows = places.view(np.int64)
    occurs = np.zeros(names.size, np.bool_)
    occurs[rows] = True
    found = np.flatnonzero(occurs)
    if found.size == 1:
        return _Codes(names[found], places[:0], 0)
    code = np.empty(names.size, np.min_scalar_type(found.size - 1))
    code[found] = np.arange(found.size, dtype=code.dtype)
    return _Codes(names[found], code.take(rows), code.itemsize)


def _code_values(values: NDArray[np.float32]) -> _Codes:
    """Code numbers by their bits, so that NaN is a value like others."""
    nan = np.isnan(values)
    bits = (values + np.float32(0)).view(np.uint32)
    return _code(np.where(nan, _NAN, bits) if nan.any() else bits)


def _code(column: NDArray[Any]) -> _Codes:
    """Sort numbers of less than 40 bits, and code them by their rank.

    numpy sorts numbers four times as fast as it finds their order, so the rows travel in the low
    bits.
    """
    if not (column != column[0]).any():
        return _Codes(column[:1], column[:0], 0)
    bits = np.uint64((column.size - 1).bit_length())
    ordered = column.astype(np.uint64) << bits
    ordered |= np.arange(column.size, dtype=np.uint64)
    ordered.sort()
    order = (ordered & ((np.uint64(1) << bits) - np.uint64(1))).view(np.int64)
    ordered >>= bits
    new = ordered[1:] != ordered[:-1]
    dictionary = ordered[np.append(True, new)].astype(column.dtype)
    codes = np.empty(column.size, np.min_scalar_type(dictionary.size - 1))
    codes[order] = np.append(False, new).cumsum(dtype=codes.dtype)
    return _Codes(dictionary, codes, codes.itemsize)


def _narrow(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the values in the narrowest unsigned type that holds them, and its width in bytes."""
    kind = np.min_scalar_type(int(values.max()))
    return values.astype(kind), kind.itemsize
