"""From coded rows to events: times, pseudonyms, behaviours, keys; a reason for every refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from swerve.domain.event import Events
from swerve.domain.manifest import DedupRule, RowReason
from swerve.domain.names import name_keys, normalise
from swerve.domain.pseudonym import UserTable, subject_of
from swerve.domain.rows import NO_TIME, SAMPLES, BadRow, Parsed, Rejected, Rows
from swerve.domain.source import Role, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from swerve.domain.pseudonym import Keyring

MAX_USER_LENGTH = 256
_QUARTER_MS = 900_000  # no zone changes its offset but at a quarter of an hour
_UNKNOWN = 255
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


@dataclass(frozen=True, slots=True)
class Keyed:
    """Events, and which of them have no identity but their content.

    Attributes
    ----------
    events : Events
        `key` is the identity, or a hash of the content.
    by_content : bool[n]
        The key is a hash of the content.
    routing : uint32[n]
        Routing hash of the user.
    """

    events: Events
    by_content: NDArray[np.bool_]
    routing: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.events)

    @classmethod
    def concatenate(cls, parts: Sequence[Keyed]) -> Keyed:
        """All rows in their order."""
        return cls(
            Events.concatenate([part.events for part in parts]),
            np.concatenate([np.empty(0, np.bool_), *(part.by_content for part in parts)]),
            np.concatenate([np.empty(0, np.uint32), *(part.routing for part in parts)]),
        )

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Keyed:
        """Return the chosen rows."""
        return Keyed(self.events.take(rows), self.by_content[rows], self.routing[rows])


class _Names:
    """Texts of one role by code: their keys, how they are shown, how often they were packed."""

    def __init__(self) -> None:
        self.keys = np.zeros(1, np.uint64)
        self.shown: list[str] = [""]
        self.events = np.zeros(1, np.int64)

    def learn(self, texts: list[str]) -> None:
        shown = [normalise(text) for text in texts]
        self.shown += shown
        self.keys = np.append(self.keys, name_keys(shown))
        self.events = np.append(self.events, np.zeros(len(texts), np.int64))

    def count(self, codes: NDArray[np.uint32]) -> None:
        self.events += np.bincount(codes, minlength=self.events.size)

    def seen(self, at_least: int, at_most: int) -> dict[int, str]:
        """Names of keys by falling number of events; equal keys are one."""
        keys, place = np.unique(self.keys, return_inverse=True)
        events = np.bincount(place, self.events)
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
        self._user_keys = np.zeros(1, np.uint64)
        self._routing = np.zeros(1, np.uint32)
        self._too_long = np.zeros(1, np.bool_)
        self._tables: list[UserTable] = []
        self._names = {role: _Names() for role in (Role.ITEM, Role.CATEGORY, Role.CAMPAIGN)}
        self.without_id = 0

    def users(self) -> UserTable:
        """Return all users seen so far, in order."""
        return UserTable.union(self._tables)

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

    def normalise(self, parsed: Parsed) -> tuple[Keyed, Rejected]:
        """Return the events of a piece, and all of its rejected rows."""
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
        events = Events(
            user=self._user_keys[rows.user],
            key=rows.identity,
            time_ms=time_ms,
            behaviour=self._behaviours[rows.event],
            category=self._names[Role.CATEGORY].keys[rows.category],
            item=self._names[Role.ITEM].keys[rows.item],
            campaign=self._names[Role.CAMPAIGN].keys[rows.campaign],
            value=rows.value,
        )
        return self._keyed(events, self._routing[rows.user]), rejected

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
        usable = np.array([0 < len(user) <= MAX_USER_LENGTH for user in ids], np.bool_)
        self._user_keys = np.append(self._user_keys, np.where(usable, table.users, 0))
        self._routing = np.append(self._routing, table.routing)
        self._too_long = np.append(
            self._too_long, [len(user) > MAX_USER_LENGTH for user in ids]
        ).astype(np.bool_)
        self._tables.append(UserTable.union([table.take(usable)]))

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
        tests = (
            (rows.user == 0) & no_time & (rows.event == 0) & (rows.item == 0),
            (self._user_keys[rows.user] == 0) & ~self._too_long[rows.user],
            self._too_long[rows.user],
            no_time,
            time_ms > self._latest_ms,
            time_ms < self._earliest_ms,
            self._behaviours[rows.event] == _UNKNOWN,
            np.isinf(rows.value),
        )
        reasons = np.zeros(len(rows), np.uint8)
        for place in reversed(range(len(tests))):
            reasons[tests[place]] = place + 1
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
            room = SAMPLES - len(rejected.samples.get(reason, ()))
            rejected.keep(self._bad_rows(parsed, time_ms, reason, found[:room]))

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
            key = int(self._user_keys[rows.user[row]])
            fields = {
                "time": _iso(int(time_ms[row])) if read else _form(raw_time),
                "event": _event_name(self._events[rows.event[row]]),
                "value": _form(raw_value) if np.isinf(rows.value[row]) else "",
            }
            user = subject_of(key) if key else ""
            yield BadRow(reason, number, user, {k: v for k, v in fields.items() if v})

    def _keyed(self, events: Events, routing: NDArray[np.uint32]) -> Keyed:
        by_content = events.key == 0
        if self._source.dedup is DedupRule.ID:
            self.without_id += int(by_content.sum())
        if by_content.all():
            return Keyed(with_key(events, content_hash(events)), by_content, routing)
        if by_content.any():
            key = np.where(by_content, content_hash(events), events.key)
            return Keyed(with_key(events, key), by_content, routing)
        return Keyed(events, by_content, routing)


def offset_ms(wall_ms: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Offset from UTC of wall-clock times; of a repeated hour, the first."""
    quarters, place = np.unique(wall_ms // _QUARTER_MS, return_inverse=True)
    offsets = [_offset_ms(int(quarter) * _QUARTER_MS, zone) for quarter in quarters]
    return np.array(offsets, np.int64)[place]


def content_hash(events: Events) -> NDArray[np.uint64]:
    """Hash of everything but the user, whatever format the row came in (never 0).

    Multiply-add of columns that are hashes themselves, then the finaliser of SplitMix64
    (Steele, Lea and Flood 2014). A key must outlive a rotation of pseudonyms.
    """
    value = np.where(np.isnan(events.value), 0xFFFFFFFF, events.value.view(np.uint32))
    hashed = _mixed(
        events.item * _ODD[0]
        + events.category * _ODD[1]
        + events.campaign * _ODD[2]
        + events.behaviour.astype(np.uint64) * _ODD[3]
    )
    hashed += events.time_ms.view(np.uint64) * _ODD[4] + value.astype(np.uint64) * _ODD[5]
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
    hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashed ^ (hashed >> np.uint64(31))


def with_key(events: Events, key: NDArray[np.uint64]) -> Events:
    """Return the events with other keys."""
    return Events(
        events.user,
        key,
        events.time_ms,
        events.behaviour,
        events.category,
        events.item,
        events.campaign,
        events.value,
    )


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
