"""Fields of records become rows: codes for texts, numbers for times and values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from swerve.domain.coding import Coder, Memo, Secret, hashes
from swerve.domain.fields import Texts
from swerve.domain.numbers import decimals
from swerve.domain.rows import CODED, NO_TIME, SAMPLES, Parsed, Rejected, Rows
from swerve.domain.siphash import identities
from swerve.domain.source import Role
from swerve.domain.times import (
    EARLIEST_MS,
    LATEST_MS,
    PLAIN_SUFFIX,
    SECONDS_SIZE,
    epoch,
    wall_clock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from swerve.domain.fields import Coded

_SOME_DAY = "2000-01-01T00:00:00"
_SOME_DAY_MS = 946_684_800_000
_SHOWN_TEXT = 200


class Meanings(Protocol):
    """Reads texts of any spelling, slowly."""

    def times(self, texts: list[str]) -> NDArray[np.int64]:
        """Return rows of (milliseconds, or `NO_TIME`; 1 where the text has no zone)."""
        ...

    def values(self, texts: list[str]) -> NDArray[np.float32]:
        """Return numbers; infinite where a text is none."""
        ...


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of some records, or of their order lines.

    Attributes
    ----------
    texts : mapping of Role to Texts or Coded
        Of the roles that the source has; if coded, then by the same texts in all blocks.
    ids : sequence of Texts
        Parts of the event id; none where the source has no event id.
    number : int64[n]
        Of the record in the file, from 1.
    """

    texts: Mapping[Role, Texts | Coded]
    ids: Sequence[Texts]
    number: NDArray[np.int64]


class Reader:
    """Reads the fields of one file, block by block.

    Parameters
    ----------
    time_unit : str
        Of epoch times.
    salt : str
        Keys the identities of events.
    zoned : bool
        Times without a zone must be marked.
    meanings : Meanings
        For what is not spelled as usual.
    """

    def __init__(self, time_unit: str, salt: str, *, zoned: bool, meanings: Meanings) -> None:
        self._unit, self._salt, self._zoned = time_unit, salt, zoned
        self._secret = Secret()
        self._coders = {role: Coder() for role in CODED}
        self._values = Memo(self._secret, np.array([np.nan], np.float32), meanings.values)
        no_time = np.array([[NO_TIME, 0]], np.int64)
        self._times = Memo(self._secret, no_time, meanings.times)
        wall = np.array([[0, 1]], np.int64)
        self._suffixes = Memo(self._secret, wall, _suffix_meanings(meanings))
        self._known: dict[Role, tuple[NDArray[Any], ...]] = {}  # what coded texts mean

    def parsed(self, fields: Fields, rejected: Rejected) -> Parsed:
        """Read some records."""
        rows = fields.number.size
        new: dict[Role, list[str]] = {}
        codes = dict.fromkeys(CODED, np.zeros(rows, np.uint32))
        for role in CODED:
            if role in fields.texts:
                (codes[role],) = self._meant(fields, role, partial(self._code, role, new))
        time_ms, naive = self._meant(fields, Role.TIME, self._read_times)
        value = np.full(rows, np.nan, np.float32)
        if Role.VALUE in fields.texts:
            (value,) = self._meant(fields, Role.VALUE, self._read_values)
        read = Rows(
            **{role.value: codes[role] for role in CODED},
            time_ms=time_ms,
            naive=naive if self._zoned else np.zeros(rows, np.bool_),
            value=value,
            identity=identities(fields.ids, self._salt)
            if fields.ids
            else np.zeros(rows, np.uint64),
            number=fields.number,
        )
        return Parsed(read, new, rejected, _raw(fields, read))

    def _meant(
        self, fields: Fields, role: Role, read: Callable[[Texts], tuple[NDArray[Any], ...]]
    ) -> tuple[NDArray[Any], ...]:
        """Read the texts of a role; coded ones once in a file."""
        column = fields.texts[role]
        if isinstance(column, Texts):
            return read(column)
        if role not in self._known:
            self._known[role] = read(column.texts)
        return tuple(known.take(column.place) for known in self._known[role])

    def _code(
        self, role: Role, new: dict[Role, list[str]], texts: Texts
    ) -> tuple[NDArray[np.uint32]]:
        codes, fresh = self._coders[role].codes(hashes(texts, self._secret))
        new[role] = list(texts.take(fresh))
        return (codes,)

    def _read_values(self, texts: Texts) -> tuple[NDArray[np.float32]]:
        value, good = decimals(texts)
        odd = np.flatnonzero(~good)
        if odd.size:
            value[odd] = self._values.of(texts.take(odd))
        return (value,)

    def _read_times(self, texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Milliseconds, or `NO_TIME`; and whether there is no zone."""
        ms, good = wall_clock(texts)
        naive = np.zeros(ms.size, np.bool_)
        if good.any():
            self._read_suffixes(texts.part(SECONDS_SIZE), ms, good, naive)
        odd = np.flatnonzero(~good)
        if odd.size:
            ms[odd], good = epoch(texts.take(odd), self._unit)
            naive[odd] = False
            odd = odd[~good]
            found = self._times.of(texts.take(odd))
            ms[odd], naive[odd] = found[:, 0], found[:, 1] > 0
        ms[(ms < EARLIEST_MS) | (ms > LATEST_MS)] = NO_TIME
        return ms, naive

    def _read_suffixes(
        self,
        suffixes: Texts,
        ms: NDArray[np.int64],
        good: NDArray[np.bool_],
        naive: NDArray[np.bool_],
    ) -> None:
        """Add what follows the second; in most files that is the same on all rows."""
        teller = int(good.argmax())
        first = suffixes.take(slice(teller, teller + 1))
        usual = suffixes.equal(next(iter(first)).encode())
        ((add_ms, no_zone),) = self._suffixes.of(first).tolist()
        if add_ms:
            ms += usual * add_ms
            good &= ~usual | (add_ms != NO_TIME)
        if no_zone:
            naive |= usual
        rows = np.flatnonzero(good & ~usual)
        if rows.size:
            found = self._suffixes.of(suffixes.take(rows))
            good[rows] = found[:, 0] != NO_TIME
            ms[rows] += found[:, 0]
            naive[rows] = found[:, 1] > 0


def _suffix_meanings(meanings: Meanings) -> Callable[[list[str]], NDArray[np.int64]]:
    """What follows the second of a time: milliseconds to add, and 1 without a zone."""

    def read(suffixes: list[str]) -> NDArray[np.int64]:
        usual = [PLAIN_SUFFIX.fullmatch(suffix) is not None for suffix in suffixes]
        found = meanings.times([_SOME_DAY + suffix for suffix in suffixes])
        found[:, 0] -= _SOME_DAY_MS * (found[:, 0] != NO_TIME)
        found[~np.array(usual), 0] = NO_TIME
        return found

    return read


def _raw(fields: Fields, rows: Rows) -> dict[int, tuple[str, str]]:
    """Texts of times and values that could not be read, by record number."""
    odd = np.flatnonzero((rows.time_ms == NO_TIME) | np.isinf(rows.value))
    if not odd.size:
        return {}
    told = np.isinf(rows.value[odd]) | (fields.texts[Role.TIME].take(odd).size > 0)
    odd = odd[told][: 2 * SAMPLES]
    shown = [
        [text[:_SHOWN_TEXT] for text in fields.texts[role].take(odd)]
        if role in fields.texts
        else [""] * odd.size
        for role in (Role.TIME, Role.VALUE)
    ]
    return dict(zip(fields.number[odd].tolist(), zip(*shown, strict=True), strict=True))
