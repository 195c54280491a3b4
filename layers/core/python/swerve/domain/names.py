"""Names of categories, items and campaigns: cleaned for display, hashed for storage."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAME_LENGTH = 128
PATH_SEPARATOR = "/"
NO_NAME = 0
_HASH = blake2b(digest_size=8, person=b"swerve-name")


def normalise(text: str) -> str:
    r"""Clean a name for display: NFC, no control or bidi characters, single spaces, 128 characters.

    Control (Cc) and format (Cf) characters can forge a line of a mail or turn its text around, so
    they never pass the door.

    Examples
    --------
    >>> normalise(" Fresh\u202e\tMilk ")
    'Fresh Milk'
    """
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", text)
        text = "".join(
            " " if character.isspace() else character
            for character in text
            if character.isspace() or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}
        )
    return " ".join(text.split())[:NAME_LENGTH].rstrip()


def name_key(name: str) -> int:
    """64-bit key of a normalised name, blind to case; 0 for no name.

    Unkeyed on purpose: names are no secrets, and every stack must agree on them.
    """
    if not name:
        return NO_NAME
    folded = name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())
    hashed = _HASH.copy()  # half the time of beginning anew
    hashed.update(folded.encode())
    return int.from_bytes(hashed.digest(), "little") or 1


def name_keys(names: Sequence[str]) -> NDArray[np.uint64]:
    """Keys of normalised names, one each."""
    return np.fromiter(map(name_key, names), np.uint64, len(names))
