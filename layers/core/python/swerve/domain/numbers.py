"""Numbers as most files write them, read eight bytes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swerve.domain.fields import Texts

_EVERY = 0x0101010101010101
_ONE, _SEVEN, _EIGHT = np.uint64(1), np.uint64(7), np.uint64(8)
_DOTS, _ZEROS = np.uint64(ord(".") * _EVERY), np.uint64(ord("0") * _EVERY)
_LOW, _HIGH, _CARRY = np.uint64(0x7F * _EVERY), np.uint64(0x80 * _EVERY), np.uint64(0x76 * _EVERY)
_PAIRS = np.uint64(0x000000FF000000FF)
_ODD_PAIRS, _EVEN_PAIRS = np.uint64(100 | 1_000_000 << 32), np.uint64(1 | 10_000 << 32)
# By the number of bytes before the dot, of eight; 8 where there is no dot.
_SCALE = np.array([10.0 ** max(7 - before, 0) for before in range(9)])


def decimals(texts: Texts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read texts of up to eight bytes such as `12` or `3.50`.

    As they have less than 9 digits, to round a quotient of doubles gives the nearest number.

    Returns
    -------
    value : float32[n]
    good : bool[n]
        The text is digits alone, or digits, a dot and digits.
    """
    good = (texts.size > 0) & (texts.size <= 8)
    missing = (8 - np.minimum(np.maximum(texts.size, 1), 8)).astype(np.uint64)
    word = texts.eight_bytes(0) << (missing << np.uint64(3))  # the last byte is the highest
    other = word ^ _DOTS
    dot = other & _LOW
    dot += _LOW
    dot |= other
    dot |= _LOW
    np.invert(dot, out=dot)  # the high bit of each byte that is a dot
    good &= (dot & (dot - _ONE)) == 0
    below = (dot >> _SEVEN) - _ONE  # bits of the bytes before the dot; all where there is none
    before = np.bitwise_count(below) >> 3
    dotted = before < 8
    good &= (before < 7) & (before > missing) | ~dotted
    # Take the dot out, and put zeros in front.
    whole = word & below
    whole <<= dotted * _EIGHT
    above = below << _EIGHT
    above |= np.uint64(0xFF)
    word &= ~above
    word |= whole
    missing += dotted
    missing <<= np.uint64(3)
    word |= _ZEROS & ((_ONE << missing) - _ONE)
    digits = word ^ _ZEROS
    good &= ((digits | (digits + _CARRY)) & _HIGH) == 0
    digits = digits * np.uint64(10) + (digits >> _EIGHT)
    number = (digits & _PAIRS) * _ODD_PAIRS
    digits >>= np.uint64(16)
    number += (digits & _PAIRS) * _EVEN_PAIRS
    number >>= np.uint64(32)
    value = number.astype(np.float64) / _SCALE.take(before)
    return value.astype(np.float32), good
