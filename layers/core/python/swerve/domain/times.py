"""Times as most files write them, read with a few operations on eight bytes at once."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.fields import Texts

EARLIEST_MS = 631_152_000_000  # 1990: before it lies a wrong unit, or a zero
LATEST_MS = 4_200_000_000_000
SECONDS_SIZE = 19  # of 2026-11-24T10:00:00
PLAIN_SUFFIX = re.compile(r"(\.\d{1,9})?( ?UTC|Z|[+-]\d\d(:?\d\d)?)?")

_FIRST_YEAR = 1990
_MONTHS = [(year, month) for year in range(_FIRST_YEAR, 2104) for month in range(1, 13)]
_STARTS = np.array([(date(*ym, 1) - date(1970, 1, 1)).days - 1 for ym in _MONTHS], np.int64)
_LENGTHS = np.append(np.diff(_STARTS), 31)
_FEW = 4  # rows to a minute: fewer are read by themselves
_HIGH = np.uint64(0x8080808080808080)
_SEPARATOR_BYTE = np.uint64(0xFF << 16)
_T, _SPACE = np.uint64(0x54 << 16), np.uint64(0x20 << 16)
# Size of an epoch number, and what a millisecond is of it: (multiply, divide).
_EPOCHS = {
    "s": {10: (1000, 1)},
    "ms": {13: (1, 1)},
    "us": {16: (1, 1000)},
    "ns": {},
    "auto": {10: (1000, 1), 13: (1, 1), 16: (1, 1000)},
}


def _pattern(text: bytes) -> tuple[np.uint64, np.uint64]:
    """What XOR turns a fitting word into digits, and what then carries where one does not fit."""
    carries = bytes(0x76 if byte == ord("0") else 0x7F for byte in text)
    padded = text.ljust(8, b"\0"), carries.ljust(8, b"\x7f")
    word, carry = (np.uint64(int.from_bytes(part, "little")) for part in padded)
    return word, carry


_DATE, _CLOCK, _SECOND = (_pattern(text) for text in (b"0000-00-", b"00T00:00", b":00"))
_NUMBER = _pattern(b"00000000")
_SECOND_BYTES = np.uint64(0xFFFFFF)
# One product adds up the numbers at some bytes of a word, each times its unit, in the top bits:
# the two halves of a year at bytes 0 and 2 and the month at 5 as months, in 17 bits;
# the day at byte 0, the hour at 3 and the minute at 6 as minutes, in 16 bits.
_YEAR_AND_MONTH = np.uint64(0xFF | 0xFF << 16 | 0xFF << 40)
_TO_MONTHS = np.uint64(1200 << 47 | 12 << 31 | 1 << 7)
_FIRST_PLACE = np.uint64(_FIRST_YEAR * 12 + 1)
_DAY_AND_MINUTE = np.uint64(0xFF | 0xFF << 24 | 0xFF << 48)
_TO_MINUTES = np.uint64(1440 << 48 | 60 << 24 | 1)
_TOO_LATE = np.uint64((0x80 - 24) << 24 | (0x80 - 60) << 48)  # carries into the high bit


def wall_clock(texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read the first 19 bytes of each text as `2026-11-24T10:00:00`, or with a space for the T.

    Returns
    -------
    ms : int64[n]
        Milliseconds since 1970, as if in UTC.
    good : bool[n]
        The text is such a time, of an existing day from 1990 on.
    """
    good = texts.size >= SECONDS_SIZE
    first, word, last = texts.fetched(0, 3)
    # Most files are in the order of time: the minute of many rows is that of the row before.
    new = np.append(True, (first[1:] != first[:-1]) | (word[1:] != word[:-1]))[: first.size]
    if _FEW * np.count_nonzero(new) < new.size:
        heads = np.flatnonzero(new)
        minutes, usable = _minutes(first[heads], word[heads])
        rows = np.diff(heads, append=new.size)
        ms, usable = np.repeat(minutes, rows), np.repeat(usable, rows)
    else:
        ms, usable = _minutes(first, word)
    good &= usable
    last &= _SECOND_BYTES
    rest, good_rest = _digits(last, _SECOND)
    good &= good_rest
    second = _pair(rest, 1)
    good &= second < 60
    second *= 1000
    ms += second
    return ms, good


def _minutes(
    first: NDArray[np.uint64], word: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read the first 16 bytes, a date and a minute; as `wall_clock`."""
    day_of, good = _digits(first, _DATE)
    word ^= ((word & _SEPARATOR_BYTE) == _SPACE) * (_SPACE ^ _T)
    clock, good_clock = _digits(word, _CLOCK)
    good &= good_clock
    day_of &= _YEAR_AND_MONTH
    place = (day_of * _TO_MONTHS) >> np.uint64(47)
    place -= _FIRST_PLACE
    good &= ((day_of >> np.uint64(40)) - np.uint64(1) < 12) & (place < _STARTS.size)
    place = np.minimum(place, _STARTS.size - 1).view(np.int64)
    clock &= _DAY_AND_MINUTE
    day = (clock & np.uint64(0xFF)).view(np.int64)
    good &= (day >= 1) & (day <= _LENGTHS.take(place))
    good &= ((clock + _TOO_LATE) & _HIGH) == 0
    minutes = ((clock * _TO_MINUTES) >> np.uint64(48)).view(np.int64)
    minutes += _STARTS.take(place) * 1440
    minutes *= 60_000
    return minutes, good


def epoch(texts: Texts, unit: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts that are whole numbers of the usual sizes; as `wall_clock`."""
    ms = np.zeros(len(texts), np.int64)
    good = np.zeros(len(texts), np.bool_)
    for size, (multiply, divide) in _EPOCHS[unit].items():
        rows = np.flatnonzero(texts.size == size)
        if rows.size:
            number, fits = whole_numbers(texts.take(rows))
            ms[rows] = number * multiply // divide
            good[rows] = fits & (number >= 10 ** (size - 1))
    return ms, good & (ms >= EARLIEST_MS) & (ms <= LATEST_MS)


def whole_numbers(texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts of 1 to 16 digits; as `wall_clock`."""
    good = (texts.size > 0) & (texts.size <= 16)
    number = np.zeros(len(texts), np.int64)
    for place in range(2 if (texts.size > 8).any() else 1):
        digits = np.clip(texts.size - 8 * place, 0, 8).astype(np.uint64)
        shift = (np.uint64(8) - digits) << np.uint64(3)
        # Zeros in front, for those that are missing behind.
        word = texts.eight_bytes(place) << np.minimum(shift, np.uint64(63))
        word |= _NUMBER[0] & ~(np.uint64(0xFFFFFFFFFFFFFFFF) << np.minimum(shift, np.uint64(63)))
        word = np.where(digits > 0, word, _NUMBER[0])
        pairs, fits = _digits(word, _NUMBER)
        good &= fits
        part = _pair(pairs, 0) * 1_000_000 + _pair(pairs, 2) * 10_000
        part += _pair(pairs, 4) * 100 + _pair(pairs, 6)
        number = number * _TENS[digits.astype(np.int64)] + part
    return number, good


_TENS = 10 ** np.arange(9, dtype=np.int64)


def _digits(
    word: NDArray[np.uint64], pattern: tuple[np.uint64, np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Two-digit numbers at each byte of the word, and whether the word fits its pattern."""
    digits = word ^ pattern[0]
    good = ((digits | (digits + pattern[1])) & _HIGH) == 0
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    return digits, good


def _pair(pairs: NDArray[np.uint64], byte: int) -> NDArray[np.int64]:
    return ((pairs >> np.uint64(8 * byte)) & np.uint64(0xFF)).astype(np.int64)
