"""From coded rows to events: times, pseudonyms, behaviours, keys; a reason for every refusal."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from swerve.domain.arrange import People
from swerve.domain.event import Events, content_hash_of
from swerve.domain.kept import Kept
from swerve.domain.manifest import DedupRule, RowReason
from swerve.domain.names import name_keys, normalise
from swerve.domain.pseudonym import UserTable, subject_of
from swerve.domain.ranks import NAMED, Ranks
from swerve.domain.rows import NO_TIME, SAMPLES, BadRow, Parsed, Rejected, Rows
from swerve.domain.source import Role, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from swerve.domain.pseudonym import Keyring

Value = TypeVar("Value", bound=np.generic)
MAX_USER_LENGTH = 256
_QUARTER_MS = 900_000  # no zone changes its offset but at a quarter of an hour
_UNKNOWN = 255
_NO_USER, _TOO_LONG = 1, 2
_REASONS = (
    RowReason.NOT_A_RECORD,
    RowReason.NO_USER,
    RowReason.TOO_LONG,
    RowReason.BAD_TIME,
    RowReason.FUTURE,
    RowReason.BEHIND_HORIZON,
    RowReason.UNKNOWN_EVENT,
    RowReason.BAD_NUMBER,
)
_SHOWN = 64
_WORD = re.compile(r"[^\W\d_]+")
_TIME_WORDS = re.compile(
    "t|z|am|pm|utc|gmt|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun",
    re.IGNORECASE,
)
_EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z _.:-]{0,63}")
_ITEM_EVENTS = 20  # an item seen less often could point at a person
_ITEM_NAMES = 1000


class _Growing(Generic[Value]):
    """A column that grows, without being copied each time."""

    def __init__(self, first: int, kind: type[Value]) -> None:
        self._all = np.full(1024, first, kind)
        self._size = 1

    def extend(self, values: NDArray[Value]) -> None:
        size = self._size + values.size
        if size > self._all.size:
            grown = np.zeros(2 * size, self._all.dtype)
            grown[: self._size] = self._all[: self._size]
            self._all = grown
        self._all[self._size : size] = values
        self._size = size

    @property
    def column(self) -> NDArray[Value]:
        return self._all[: self._size]


class _Names:
    """Texts of one role by code: their keys, how they are shown, how often they were packed."""

    def __init__(self) -> None:
        self._keys = _Growing(0, np.uint64)
        self._events = _Growing(0, np.int64)
        self.shown: list[str] = [""]

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self._keys.column

    def learn(self, texts: list[str]) -> None:
        shown = [normalise(text) for text in texts]
        self.shown += shown
        self._keys.extend(name_keys(shown))
        self._events.extend(np.zeros(len(texts), np.int64))

    def count(self, codes: NDArray[np.uint32]) -> None:
        if len(self.shown) == 1:
            return  # nothing has a name
        counts = np.bincount(codes)
        self._events.column[: counts.size] += counts

    def seen(self, at_least: int, at_most: int) -> dict[int, str]:
        """Names of keys by falling number of events; equal keys are one."""
        keys, place = np.unique(self.keys, return_inverse=True)
        events = np.bincount(place, self._events.column)
        names = dict(zip(self.keys.tolist(), self.shown, strict=True))
        order = np.lexsort((keys, -events))
        often = [int(keys[i]) for i in order[: at_most + 1] if events[i] >= at_least and keys[i]]
        return {key: names[key] for key in often[:at_most]}


class Normaliser:
    """Turns the pieces of one file into events.

    Parameters
    ----------
    source : Source
    keyring : Keyring
    zone : str
        IANA zone of times without one.
    earliest_ms, latest_ms : int
        Times before or after are behind the horizon, or in the future.
    """

    def __init__(
        self, source: Source, keyring: Keyring, zone: str, earliest_ms: int, latest_ms: int
    ) -> None:
        self._source, self._keyring = source, keyring
        self._zone = ZoneInfo(source.time_zone or zone)
        self._earliest_ms, self._latest_ms = earliest_ms, latest_ms
        constant = source.behaviour(source.constant_event) if source.constant_event else None
        self._behaviours = np.array([_UNKNOWN if constant is None else constant], np.uint8)
        self._events: list[str] = [""]
        self._user_keys = _Growing(0, np.uint64)
        self._routing = _Growing(0, np.uint32)
        self._user_reason = _Growing(_NO_USER, np.uint8)
        self._all_usable = True  # but code 0
        self._tables: list[UserTable] = []
        self._names = {Role(name): _Names() for name in NAMED}
        self._shown: Counter[RowReason] = Counter()
        self.without_id = 0

    def people(self, shard_count: int = 1) -> People:
        """Return all users seen so far."""
        return People(UserTable.union(self._tables), self._user_keys.column, shard_count)

    @property
    def pseudonyms(self) -> NDArray[np.uint64]:
        """Pseudonym of each user's code; 0 where the id cannot be used."""
        return self._user_keys.column

    def routing(self, kept: Kept) -> NDArray[np.uint32]:
        """Return the routing hash of each row's user."""
        return self._routing.column.take(kept.user)

    def ranks(self) -> Ranks:
        """Rank all names seen so far."""
        return Ranks.of({role.value: names.keys for role, names in self._names.items()})

    def events(self, kept: Kept, ranks: Ranks | None = None) -> Events:
        """Return rows with pseudonyms for their codes, and keys of names, or ranks of keys."""
        return Events(
            user=self._user_keys.column.take(kept.user),
            key=kept.key,
            time_ms=kept.time_ms,
            behaviour=kept.behaviour,
            value=kept.value,
            **(ranks.of_rows(kept) if ranks else self._keys_of(kept)),
        )

    def _keys_of(self, kept: Kept) -> dict[str, NDArray[np.uint64]]:
        """Keys of the names of each row."""
        # numpy takes by codes of 32 bits twice as fast as it indexes by them.
        return {
            role.value: names.keys.take(getattr(kept, role.value))
            for role, names in self._names.items()
        }

    def names(self) -> dict[int, str]:
        """Names for the vocabulary: categories and campaigns packed, and items packed often."""
        many = len(self._names[Role.CATEGORY].shown)
        return (
            self._names[Role.ITEM].seen(_ITEM_EVENTS, _ITEM_NAMES)
            | self._names[Role.CAMPAIGN].seen(1, len(self._names[Role.CAMPAIGN].shown))
            | self._names[Role.CATEGORY].seen(1, many)
        )

    def all_names(self) -> dict[int, str]:
        """Every name, for use on the machine of the file's owner only."""
        return {
            int(key): shown
            for names in self._names.values()
            for key, shown in zip(names.keys, names.shown, strict=True)
            if key
        }

    def normalise(self, parsed: Parsed) -> tuple[Kept, Rejected]:
        """Return the accepted rows of a piece, and all of its rejected rows."""
        for role, texts in parsed.texts.items():
            self._learn(role, texts)
        rows, rejected = parsed.rows, parsed.rejected
        time_ms = self._utc(rows)
        reasons = self._refuse(rows, time_ms)
        if reasons.any():
            self._reject(parsed, time_ms, reasons, rejected)
            rows, time_ms = rows.take(reasons == 0), time_ms[reasons == 0]
        for role, names in self._names.items():
            names.count(getattr(rows, role))
        by_content = rows.identity == 0
        if self._source.dedup is DedupRule.ID:
            self.without_id += int(by_content.sum())
        kept = Kept(
            key=rows.identity,
            time_ms=time_ms,
            user=rows.user,
            category=rows.category,
            item=rows.item,
            campaign=rows.campaign,
            value=rows.value,
            behaviour=self._behaviours.take(rows.event),
            by_content=by_content,
        )
        if by_content.any():
            keys = self._keys_of(kept)
            named = (keys["category"], keys["item"], keys["campaign"])
            hashed = content_hash_of(time_ms, kept.behaviour, named, kept.value)
            key = hashed if by_content.all() else np.where(by_content, hashed, kept.key)
            kept = replace(kept, key=key)
        return kept, rejected

    def _learn(self, role: Role, texts: list[str]) -> None:
        if role is Role.USER:
            self._learn_users(texts)
        elif role is Role.EVENT:
            known = [self._source.behaviour(text) for text in texts]
            codes = [_UNKNOWN if code is None else int(code) for code in known]
            self._behaviours = np.append(self._behaviours, np.array(codes, np.uint8))
            self._events += texts
        elif role is Role.CATEGORY:
            self._names[role].learn([self._source.category_name(text) for text in texts])
        else:
            self._names[role].learn(texts)

    def _learn_users(self, texts: list[str]) -> None:
        ids = [text.strip() for text in texts]
        table = self._keyring.pseudonyms(ids)
        sizes = np.fromiter(map(len, ids), np.int64, len(ids))
        usable = (sizes > 0) & (sizes <= MAX_USER_LENGTH)
        self._all_usable &= bool(usable.all())
        self._user_keys.extend(np.where(usable, table.users, 0))
        self._routing.extend(table.routing)
        self._user_reason.extend(
            np.where(sizes > MAX_USER_LENGTH, _TOO_LONG, np.where(sizes > 0, 0, _NO_USER))
        )
        self._tables.append(table.take(usable))

    def _user_reasons(self, user: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Reason against each row's user, 0 for none."""
        if self._all_usable:  # their table is large, and not in the cache
            return np.where(user == 0, np.uint8(_NO_USER), np.uint8(0))
        return self._user_reason.column.take(user)

    def _utc(self, rows: Rows) -> NDArray[np.int64]:
        if not rows.naive.any():
            return rows.time_ms
        naive = rows.naive & (rows.time_ms != NO_TIME)
        utc = rows.time_ms.copy()
        utc[naive] -= offset_ms(rows.time_ms[naive], self._zone)
        return utc

    def _refuse(self, rows: Rows, time_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
        """1 + place in `_REASONS` of the first reason against each row, 0 for none."""
        no_time = time_ms == NO_TIME
        user_reason = self._user_reasons(rows.user)
        unknown = self._behaviours.take(rows.event) == _UNKNOWN
        bad_number = np.isinf(rows.value)
        future, behind = time_ms > self._latest_ms, time_ms < self._earliest_ms
        good = ~(no_time | future | behind | unknown | bad_number)
        good &= user_reason == 0
        if good.all():
            return np.zeros(len(rows), np.uint8)
        tests = (
            (rows.user == 0) & no_time & (rows.event == 0) & (rows.item == 0),
            user_reason == _NO_USER,
            user_reason == _TOO_LONG,
            no_time,
            future,
            behind,
            unknown,
            bad_number,
        )
        reasons = np.zeros(len(rows), np.uint8)
        bad = np.flatnonzero(~good)  # few
        for place in reversed(range(len(tests))):
            reasons[bad[tests[place][bad]]] = place + 1
        return reasons

    def _reject(
        self,
        parsed: Parsed,
        time_ms: NDArray[np.int64],
        reasons: NDArray[np.uint8],
        rejected: Rejected,
    ) -> None:
        for place, reason in enumerate(_REASONS, start=1):
            found = np.flatnonzero(reasons == place)
            rejected.count(reason, found.size)
            shown = found[: SAMPLES - self._shown[reason]]
            self._shown[reason] += shown.size
            rejected.keep(self._bad_rows(parsed, time_ms, reason, shown))

    def _bad_rows(
        self,
        parsed: Parsed,
        time_ms: NDArray[np.int64],
        reason: RowReason,
        found: NDArray[np.intp],
    ) -> Iterator[BadRow]:
        rows = parsed.rows
        for row in found.tolist():
            number = int(rows.number[row])
            raw_time, raw_value = parsed.raw.get(number, ("", ""))
            read = time_ms[row] != NO_TIME
            key = int(self._user_keys.column[rows.user[row]])
            fields = {
                "time": _iso(int(time_ms[row])) if read else _form(raw_time),
                "event": _event_name(self._events[rows.event[row]]),
                "value": _form(raw_value) if np.isinf(rows.value[row]) else "",
            }
            user = subject_of(key) if key else ""
            yield BadRow(reason, number, user, {k: v for k, v in fields.items() if v})


def offset_ms(wall_ms: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Offset from UTC of wall-clock times; of a repeated hour, the first."""
    quarters, place = np.unique(wall_ms // _QUARTER_MS, return_inverse=True)
    offsets = [_offset_ms(int(quarter) * _QUARTER_MS, zone) for quarter in quarters]
    return np.array(offsets, np.int64)[place]


def _offset_ms(wall_ms: int, zone: ZoneInfo) -> int:
    wall = datetime.fromtimestamp(wall_ms / 1000, UTC).replace(tzinfo=zone)
    offset = wall.utcoffset()
    return int(offset.total_seconds() * 1000) if offset else 0


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _form(text: str) -> str:
    """Form of an unreadable field: where columns are shifted, any of them may be the user id."""
    return _WORD.sub(
        lambda word: word[0] if _TIME_WORDS.fullmatch(word[0]) else "a" * len(word[0]),
        re.sub(r"\d", "9", text[:_SHOWN]),
    )


def _event_name(text: str) -> str:
    return text if _EVENT_NAME.fullmatch(text) else _form(text)
