"""The adapter model: how one convention of behaviour files maps onto events. Data, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from swerve.domain.behaviour import Behaviour
from swerve.domain.manifest import DedupRule
from swerve.domain.window import is_zone

LINE = "line."
TIME_UNITS = ("auto", "s", "ms", "us", "ns")


class Role(StrEnum):
    """What a field of a source can mean."""

    USER = "user"
    TIME = "time"
    EVENT = "event"
    ITEM = "item"
    CATEGORY = "category"
    CAMPAIGN = "campaign"
    VALUE = "value"


Path = str
Alternative = tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Explode:
    """A list inside a record; each element is an order line of its own, read by `line.` paths.

    Attributes
    ----------
    path : str
        Dotted path of the list.
    where, contains : str
        Only elements whose field `where` contains this text (empty: all).
    """

    path: Path
    where: str = ""
    contains: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A side file that knows the categories of items.

    Attributes
    ----------
    name : str
        Folder under `lookups/` in the data bucket; the newest file there (by name) is used.
    key, category : str
        Its columns; `key` is matched with the item.
    since : str
        Column with the time from which a row holds (empty: always).
    where, equals : str
        Only rows whose column `where` equals this text (empty: all).
    """

    name: str
    key: str
    category: str
    since: str = ""
    where: str = ""
    equals: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One convention, parsed and checked.

    Attributes
    ----------
    match : tuple of str
        Fields that mark the convention; with all present, the adapter with most of them is taken.
    columns : tuple of str
        Column names of a file without header.
    fields : mapping of Role to alternatives
        Each alternative is one path, or several joined to a category path; first non-empty wins.
    event_id : tuple of str
        Paths that together are the identity of an event (rule `id`).
    constant_event : str
        Event name of every row, where the source has one kind only.
    events : mapping
        Event name, lower case, to behaviour.
    digest : str
        Of the TOML: part of the batch id, as another mapping makes another batch.
    """

    name: str
    title: str
    match: tuple[str, ...]
    columns: tuple[str, ...]
    fields: Mapping[Role, tuple[Alternative, ...]]
    event_id: tuple[Path, ...]
    constant_event: str
    events: Mapping[str, Behaviour]
    dedup: DedupRule
    time_unit: str
    time_zone: str
    category_separator: str
    explode: tuple[Explode, ...]
    lookup: Lookup | None
    digest: str

    def behaviour(self, event: str) -> Behaviour | None:
        """Return the behaviour of an event name, None where the source does not know it."""
        return self.events.get(event.strip().lower())

    def category_name(self, text: str) -> str:
        """Return a category path `a/b/c` from the source's own spelling."""
        parts = text.split(self.category_separator) if self.category_separator else [text]
        return "/".join(part.strip() for path in parts for part in path.split("/") if part.strip())

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path that the source reads, once."""
        named = [path for group in self.fields.values() for joined in group for path in joined]
        return tuple(dict.fromkeys([*named, *self.event_id]))


def parse_source(text: str, origin: str) -> Source:
    """Read one adapter.

    Parameters
    ----------
    text : str
        TOML; `sources/canonical.toml` shows every field.
    origin : str
        Name of the file, for messages.

    Raises
    ------
    ValueError
        Says what is wrong in which field of which file.
    """
    try:
        table = _Table(tomllib.loads(text), origin)
    except tomllib.TOMLDecodeError as wrong:
        raise ValueError(f"adapter {origin} is not TOML: {wrong}") from wrong
    fields = table.table("fields")
    events = {
        name.strip().lower(): _behaviour(name, value, origin)
        for name, value in table.table("events").items()
    }
    roles = {Role(role): _alternatives(fields, role) for role in Role if role in fields.content}
    constant = table.text("constant_event")
    source = Source(
        name=table.text("name", required=True),
        title=table.text("title"),
        match=table.texts("match"),
        columns=table.texts("columns"),
        fields=roles,
        event_id=fields.texts("event_id"),
        constant_event=constant,
        events=events,
        dedup=_choice(DedupRule, table.text("dedup") or DedupRule.ORDINAL, origin),
        time_unit=table.text("time_unit") or "auto",
        time_zone=table.text("time_zone"),
        category_separator=table.text("category_separator"),
        explode=tuple(_explode(part) for part in table.tables("explode")),
        lookup=_lookup(table.table("lookup")) if "lookup" in table.content else None,
        digest=blake2b(text.encode(), digest_size=8).hexdigest(),
    )
    fields.only({*Role, "event_id"})
    table.only(_TOP_LEVEL)
    _check(source, origin)
    return source


_TOP_LEVEL = {
    *("name", "title", "match", "columns", "fields", "events", "constant_event", "dedup"),
    *("time_unit", "time_zone", "category_separator", "explode", "lookup"),
}


def _check(source: Source, origin: str) -> None:
    wrong = None
    missing = [role for role in (Role.USER, Role.TIME) if role not in source.fields]
    if missing:
        wrong = f"[fields] lacks {' and '.join(missing)}"
    elif not source.constant_event and Role.EVENT not in source.fields:
        wrong = "it needs [fields] event, or constant_event"
    elif source.constant_event and source.behaviour(source.constant_event) is None:
        wrong = f"constant_event {source.constant_event!r} is not in [events]"
    elif not source.match and not source.columns:
        wrong = "it needs match (fields that mark the convention) or columns"
    elif source.time_unit not in TIME_UNITS:
        wrong = f"time_unit {source.time_unit!r} is none of {', '.join(TIME_UNITS)}"
    elif source.time_zone and not is_zone(source.time_zone):
        wrong = f"time_zone {source.time_zone!r} is no IANA zone such as Asia/Shanghai"
    elif any(path.startswith(LINE) for path in source.paths) and not source.explode:
        wrong = f"paths that start with {LINE!r} need an [[explode]]"
    elif odd := [path for path in _all_paths(source) if set(path) & _NO_PATH]:
        wrong = f"path {odd[0]!r} has a quote or an asterisk, which no path can name"
    if wrong:
        raise ValueError(f"adapter {origin}: {wrong}")


_NO_PATH = set('"*')


def _all_paths(source: Source) -> list[Path]:
    rules = [path for rule in source.explode for path in (rule.path, rule.where)]
    side = [source.lookup.key, source.lookup.category] if source.lookup else []
    return [*source.paths, *rules, *side]


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table that says where it is when something in it is wrong."""

    content: Mapping[str, Any]
    origin: str

    def text(self, name: str, *, required: bool = False) -> str:
        value = self.content.get(name, "")
        if not isinstance(value, str) or (required and not value):
            raise ValueError(f"adapter {self.origin}: {name} must be a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.content.get(name, [])
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise ValueError(f"adapter {self.origin}: {name} must be a list of texts")
        return tuple(value)

    def table(self, name: str) -> _Table:
        value = self.content.get(name, {})
        if not isinstance(value, Mapping):
            raise ValueError(f"adapter {self.origin}: [{name}] must be a table")
        return _Table(value, self.origin)

    def tables(self, name: str) -> list[_Table]:
        value = self.content.get(name, [])
        if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
            raise ValueError(f"adapter {self.origin}: [[{name}]] must be a list of tables")
        return [_Table(part, self.origin) for part in value]

    def only(self, known: set[str]) -> None:
        unknown = sorted(set(self.content) - known)
        if unknown:
            raise ValueError(f"adapter {self.origin}: unknown {', '.join(unknown)}")

    def items(self) -> list[tuple[str, Any]]:
        return list(self.content.items())


def _alternatives(fields: _Table, role: str) -> tuple[Alternative, ...]:
    value = fields.content[role]
    options = [value] if isinstance(value, str) else value
    message = f"adapter {fields.origin}: {role} must be a path, or a list of paths or of lists"
    if not isinstance(options, list) or not options:
        raise ValueError(message)
    alternatives: list[Alternative] = []
    for option in options:
        joined = [option] if isinstance(option, str) else option
        if not isinstance(joined, list) or not all(isinstance(path, str) for path in joined):
            raise ValueError(message)
        alternatives.append(tuple(joined))
    return tuple(alternatives)


def _behaviour(name: str, value: object, origin: str) -> Behaviour:
    found = Behaviour.__members__.get(value.upper()) if isinstance(value, str) else None
    if found is None:
        known = ", ".join(member.name.lower() for member in Behaviour)
        raise ValueError(f"adapter {origin}: event {name!r} maps to none of {known}")
    return found


def _choice(kind: type[DedupRule], value: str, origin: str) -> DedupRule:
    try:
        return kind(value)
    except ValueError as wrong:
        raise ValueError(f"adapter {origin}: dedup must be one of {', '.join(kind)}") from wrong


def _explode(table: _Table) -> Explode:
    table.only({"path", "where", "contains"})
    return Explode(table.text("path", required=True), table.text("where"), table.text("contains"))


def _lookup(table: _Table) -> Lookup:
    table.only({"name", "key", "category", "since", "where", "equals"})
    return Lookup(
        table.text("name", required=True),
        table.text("key", required=True),
        table.text("category", required=True),
        table.text("since"),
        table.text("where"),
        table.text("equals"),
    )
