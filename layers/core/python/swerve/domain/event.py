"""The columns of behaviour events: what featurize packs and everything later reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMN_TYPES: dict[str, type[np.generic]] = {
    "user": np.uint64,
    "key": np.uint64,
    "time_ms": np.int64,
    "behaviour": np.uint8,
    "category": np.uint64,
    "item": np.uint64,
    "campaign": np.uint64,
    "value": np.float32,
}

# Wide columns first, so that every column of the raw bytes is aligned.
_WIDTHS = dict(
    sorted(
        ((name, np.dtype(kind).itemsize) for name, kind in COLUMN_TYPES.items()),
        key=lambda column: -column[1],
    )
)


@dataclass(frozen=True, slots=True)
class Events:
    """Events as parallel columns, one row an event.

    Attributes
    ----------
    user : uint64[n]
        Pseudonym of the user (keyed hash; never a raw id).
    key : uint64[n]
        Identity of the event for deduplication; (user, key) is unique in truth.
    time_ms : int64[n]
        Event time, milliseconds since 1970 UTC.
    behaviour : uint8[n]
        Code of `Behaviour`.
    category, item, campaign : uint64[n]
        64-bit hash of the normalised name; 0 where the event has none.
    value : float32[n]
        Amount of money or rating; NaN where absent.
    """

    user: NDArray[np.uint64]
    key: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    behaviour: NDArray[np.uint8]
    category: NDArray[np.uint64]
    item: NDArray[np.uint64]
    campaign: NDArray[np.uint64]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.user.size)

    @classmethod
    def empty(cls) -> Events:
        """No events."""
        return cls(**{name: np.empty(0, kind) for name, kind in COLUMN_TYPES.items()})

    @classmethod
    def concatenate(cls, parts: list[Events]) -> Events:
        """All rows of `parts`, in their order."""
        if not parts:
            return cls.empty()
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in COLUMN_TYPES})

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Events:
        """Return the chosen rows as new columns."""
        return Events(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def canonical(self) -> Events:
        """Return the same rows sorted by (user, time, key): one order for one set of events."""
        return self.take(np.lexsort((self.key, self.time_ms, self.user)))

    def to_bytes(self) -> bytes:
        """Raw columns, one after the other, for working files of one CPU type."""
        return b"".join(getattr(self, name).tobytes() for name in _WIDTHS)

    @classmethod
    def from_bytes(cls, data: bytes) -> Events:
        """Inverse of `to_bytes`; the columns are read-only views of `data`."""
        rows, rest = divmod(len(data), sum(_WIDTHS.values()))
        if rest:
            raise ValueError(f"{len(data)} bytes are no whole number of events")
        columns, at = {}, 0
        for name, width in _WIDTHS.items():
            columns[name] = np.frombuffer(data, COLUMN_TYPES[name], rows, at)
            at += rows * width
        return cls(**columns)


def content_hash(events: Events) -> NDArray[np.uint64]:
    """Hash of everything but the user, whatever format the row came in (never 0).

    Multiply-add of columns that are hashes themselves, then the finaliser of SplitMix64
    (Steele, Lea and Flood 2014). A key must outlive a rotation of pseudonyms.
    """
    names = (events.category, events.item, events.campaign)
    return content_hash_of(events.time_ms, events.behaviour, names, events.value)


def content_hash_of(
    time_ms: NDArray[np.int64],
    behaviour: NDArray[np.uint8],
    names: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]],
    value: NDArray[np.float32],
) -> NDArray[np.uint64]:
    """As `content_hash`, of columns; `names` are category, item and campaign."""
    category, item, campaign = names
    hashed = behaviour.astype(np.uint64)
    hashed *= _ODD[3]
    for name, odd in ((item, _ODD[0]), (category, _ODD[1]), (campaign, _ODD[2])):
        hashed += name * odd
    hashed = _mixed(hashed)
    hashed += time_ms.view(np.uint64) * _ODD[4]
    bits = value.view(np.uint32) | (np.isnan(value) * np.uint32(0xFFFFFFFF))
    hashed += bits.astype(np.uint64) * _ODD[5]
    return np.maximum(_mixed(hashed), np.uint64(1))


def ordinal_key(hashed: NDArray[np.uint64], ordinal: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Key of the k-th row of equal content; the first keeps the hash itself."""
    return np.where(ordinal == 0, hashed, _mixed(hashed + ordinal.astype(np.uint64) * _ODD[6]))


_ODD = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
        0xE7037ED1A0B428DB,
        0x8EBC6AF09C88C6E3,
    ],
    np.uint64,
)


def _mixed(hashed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = hashed ^ (hashed >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
