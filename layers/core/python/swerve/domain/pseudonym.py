"""Pseudonyms: keyed hashes that stand for user ids everywhere behind the door."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from swerve.domain.fields import Texts
from swerve.domain.siphash import siphash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_SHORTEST_SECRET = 16
_SHOWN_DIGITS = 8


@dataclass(frozen=True, slots=True)
class UserTable:
    """Distinct users by pseudonym, with what survives a change of key.

    Attributes
    ----------
    users : uint64[n]
        Pseudonyms under the current key, ascending.
    routing : uint32[n]
        Routing hashes; the shard is their top bits.
    previous : uint64[n]
        Pseudonyms under the previous key while it lives; 0 = none.
    """

    users: NDArray[np.uint64]
    routing: NDArray[np.uint32]
    previous: NDArray[np.uint64]

    def __len__(self) -> int:
        return int(self.users.size)

    @classmethod
    def empty(cls) -> UserTable:
        """No users."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint64))

    @classmethod
    def union(cls, tables: Iterable[UserTable]) -> UserTable:
        """All users of the tables, once each; a known previous pseudonym wins over none."""
        parts = [table for table in tables if len(table)]
        if not parts:
            return cls.empty()
        users = np.concatenate([part.users for part in parts])
        routing = np.concatenate([part.routing for part in parts])
        previous = np.concatenate([part.previous for part in parts])
        # Without previous pseudonyms, all that is known of a user is the same in every part.
        order = np.lexsort((previous, users)) if previous.any() else np.argsort(users)
        last = np.append(users[order][1:] != users[order][:-1], True)
        rows = order[last]
        return cls(users[rows], routing[rows], previous[rows])

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> UserTable:
        """Return the chosen users; `rows` must keep their order."""
        return UserTable(self.users[rows], self.routing[rows], self.previous[rows])

    def of(self, users: NDArray[np.uint64]) -> UserTable:
        """Return the part of the table for these pseudonyms (any order, repeats allowed).

        Raises ValueError where the table lacks one: an event without routing would be lost.
        """
        ascending = bool((users[1:] > users[:-1]).all())
        wanted = users if ascending else np.unique(users)
        rows = np.searchsorted(self.users, wanted)
        if rows.size and (rows[-1] == len(self) or (self.users[rows] != wanted).any()):
            raise ValueError("the user table lacks users of the events")
        return self.take(rows)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one stack.

    Parameters
    ----------
    current, previous : bytes
        Keys of the pseudonyms; `previous` lives on during a rotation so that a user's history
        can be renamed.
    routing : bytes
        Key of the routing hash (SipHash) and of event keys; never rotated.
    """

    current: bytes
    previous: bytes | None
    routing: bytes

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read the secret: JSON with `current` and, after a rotation, `previous` and `routing`.

        Until the first rotation the routing key is derived from `current`, so that one generated
        string is a whole secret. Raises ValueError, without the value, when it is unusable.
        """
        try:
            fields = json.loads(text)
            current = _stretched(fields["current"])
            previous = fields.get("previous")
            routing = fields.get("routing")
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(
                "the pseudonym secret must be JSON such as"
                f' {{"current": "<{_SHORTEST_SECRET} characters or more>"}}'
            ) from wrong
        return cls(
            current,
            _stretched(previous) if previous else None,
            bytes.fromhex(routing) if routing else _routing_key(current),
        )

    @staticmethod
    def rotated(text: str, new: str) -> str:
        """Return the secret after a rotation to `new`: old current as previous, same routing."""
        ring = Keyring.parse(text)
        previous = json.loads(text)["current"]
        _stretched(new)
        return json.dumps({"current": new, "previous": previous, "routing": ring.routing.hex()})

    @property
    def key_id(self) -> str:
        """Name of the current key, safe to show."""
        return blake2b(self.current, digest_size=4, person=b"swerve-key-id").hexdigest()

    @property
    def event_salt(self) -> str:
        """Prefix of event ids before they are hashed: they may contain a user id."""
        return blake2b(b"", digest_size=4, key=self.routing, person=b"swerve-event").hexdigest()

    def pseudonyms(self, user_ids: Sequence[str]) -> UserTable:
        """Hash distinct user ids; the result is in THEIR order (use `UserTable.union` to sort)."""
        encoded = [user_id.encode("utf-8", "replace") for user_id in user_ids]
        previous = np.zeros(len(encoded), np.uint64)
        if self.previous is not None:
            previous = _hashes(encoded, self.previous)
        # Routing is no pseudonym, so a quicker keyed hash will do: its top bits, as of 32.
        key = blake2b(digest_size=16, key=self.routing, person=b"swerve-route").digest()
        routing = siphash([Texts.of(encoded)], key) >> np.uint64(32)
        return UserTable(_hashes(encoded, self.current), routing.astype(np.uint32), previous)


def subject_of(user: int) -> str:
    """`u-` and 16 hex digits: a user as data names it."""
    return f"u-{user:016x}"


def shown(subject: str) -> str:
    """Short form of a subject for texts."""
    return subject[: 2 + _SHOWN_DIGITS]


def _hashes(values: list[bytes], key: bytes) -> NDArray[np.uint64]:
    keyed = blake2b(digest_size=8, key=key, person=b"swerve-user")
    digests = []
    for value in values:
        hashed = keyed.copy()  # a third quicker than to begin with the key each time
        hashed.update(value)
        digests.append(hashed.digest())
    hashes = np.frombuffer(b"".join(digests), "<u8")
    return np.maximum(hashes.astype(np.uint64), np.uint64(1))


def _stretched(secret: str) -> bytes:
    if len(secret) < _SHORTEST_SECRET:
        raise ValueError(f"a secret needs {_SHORTEST_SECRET} characters or more")
    return blake2b(secret.encode(), digest_size=32, person=b"swerve-secret").digest()


def _routing_key(current: bytes) -> bytes:
    return blake2b(current, digest_size=32, person=b"swerve-routing").digest()
