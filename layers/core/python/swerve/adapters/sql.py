"""The one query that finds an adapter's fields in records of any shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swerve.domain.rows import NO_TIME
from swerve.domain.source import LINE, Alternative, Explode, Lookup, Role, Source
from swerve.domain.times import EARLIEST_MS, LATEST_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_LINES = 1000  # order lines of one record
_NESTED = ("STRUCT", "MAP", "JSON")
SEPARATOR = "\x1f"
_COUNTED = ("number", "excess")
_NUMBER = "try_cast(time_text AS DOUBLE)"
# The unit of an epoch is told by its size: no two overlap for the years 2001 to 2100.
_EPOCH_MS = {
    "auto": f"CASE WHEN {_NUMBER} BETWEEN 1e9 AND 4.2e9 THEN {_NUMBER} * 1e3"
    f" WHEN {_NUMBER} BETWEEN 1e12 AND 4.2e12 THEN {_NUMBER}"
    f" WHEN {_NUMBER} BETWEEN 1e15 AND 4.2e15 THEN {_NUMBER} / 1e3"
    f" WHEN {_NUMBER} BETWEEN 1e18 AND 4.2e18 THEN {_NUMBER} / 1e6 END",
    "s": f"{_NUMBER} * 1e3",
    "ms": _NUMBER,
    "us": f"{_NUMBER} / 1e3",
    "ns": f"{_NUMBER} / 1e6",
}
_ZONED = "[0-9]:[0-9]{2}.*([A-Za-z]|[+-][0-9]{2}(:?[0-9]{2})?)$"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the records: of a CSV `c0`, `c1` ..., of Parquet by name, of JSON one."""

    format: str
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def find(self, name: str) -> int | None:
        """Position of a column: exact name first, then blind to case."""
        if name in self.names:
            return self.names.index(name)
        folded = [known.casefold() for known in self.names]
        return folded.index(name.casefold()) if name.casefold() in folded else None


@dataclass(frozen=True, slots=True)
class FieldsQuery:
    """SQL that gives one row an order line, all of it text.

    Attributes
    ----------
    roles : tuple of Role
        That have a column.
    ids : int
        Columns with the parts of the event id.
    exploded : bool
        There are order lines: a column `excess`.
    hashed : collection of Role
        That are told by hashes of their texts.
    """

    sql: str
    roles: tuple[Role, ...]
    ids: int
    exploded: bool
    hashed: Collection[Role]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in their order."""
        lines = ("excess",) if self.exploded else ()
        ids = tuple(f"id{place}" for place in range(self.ids))
        return ("number", *lines, *ids, *self.roles)


def scan_csv(path: str, columns: int, delimiter: str) -> str:
    """Read all fields as text; ragged and badly quoted lines go to `reject_errors`."""
    names = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(columns))
    return (
        f"SELECT * FROM read_csv({literal(path)}, auto_detect=false, header=false,"
        f" delim={literal(delimiter)}, quote='\"', escape='\"', compression='none',"
        f" columns={{{names}}}, store_rejects=true)"
    )


def scan_json(path: str) -> str:
    """Read one record a line; a line that is no JSON is a NULL."""
    return (
        f"SELECT json FROM read_ndjson_objects({literal(path)}, format='newline_delimited',"
        " ignore_errors=true, compression='none', maximum_object_size=4194304)"
    )


def scan_parquet(path: str, first: int, last: int) -> str:
    """Read rows [first, last)."""
    return (
        f"SELECT * FROM read_parquet({literal(path)}, file_row_number=true)"
        f" WHERE file_row_number >= {first} AND file_row_number < {last}"
    )


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def time_ms_of(text: str, unit: str) -> str:
    """SQL for the milliseconds of a column `text`; TIMESTAMPTZ, as TIMESTAMP drops the offset."""
    return (
        f"CASE WHEN contains({text}, '-')"
        f" THEN epoch_ms(try_cast({text} AS TIMESTAMPTZ))"
        f" ELSE try_cast(floor({_EPOCH_MS[unit].replace('time_text', text)}) AS BIGINT) END"
    )


def selected(query: FieldsQuery) -> str:
    """SQL that gives what is counted or hashed as numbers, and all else as text."""
    kinds = dict.fromkeys(query.columns, "VARCHAR")
    kinds |= {name: "BIGINT" for name in kinds if name in _COUNTED}
    kinds |= dict.fromkeys(query.hashed, "UBIGINT")
    columns = [f'"{name}"::{kind} AS "{name}"' for name, kind in kinds.items()]
    return f"SELECT {', '.join(columns)} FROM ({query.sql})"


def times(unit: str, texts: str) -> str:
    """SQL that reads times from a list of texts joined by `SEPARATOR`."""
    return (
        f"SELECT CASE WHEN ms BETWEEN {EARLIEST_MS} AND {LATEST_MS} THEN ms ELSE {NO_TIME} END"
        " AS ms, contains(text, '-') AND NOT"
        f" regexp_matches(text, '{_ZONED}') AS naive"
        f" FROM (SELECT text, {time_ms_of('text', unit)} AS ms FROM ({_listed(texts)}))"
    )


def values(texts: str) -> str:
    """SQL that reads numbers from a list of texts joined by `SEPARATOR`; infinite for others."""
    return (
        f"SELECT coalesce(try_cast(text AS FLOAT), 'inf'::FLOAT) AS value FROM ({_listed(texts)})"
    )


def _listed(texts: str) -> str:
    return f"SELECT unnest(string_split({texts}, {literal(SEPARATOR)})) AS text"


def fields_query(
    scan: str,
    columns: Columns,
    source: Source,
    *,
    lookup: bool,
    hashed: Mapping[Role, str] | None = None,
) -> FieldsQuery:
    """Build the query.

    Parameters
    ----------
    scan : str
        Gives the records.
    columns : Columns
        What `scan` gives.
    lookup : bool
        There is a table `lookup(key, since_ms, category)` to join.
    hashed : mapping of Role to str, optional
        Columns of which the hash is wanted.
    """
    hashed = hashed or {}
    fields = Fields(columns)
    lists = [text for rule in source.explode if (text := fields.lines(rule))]
    fields.exploded = bool(lists)
    texts = {role: text for role in Role if (text := fields.role(source, role))}
    texts |= {role: f"hash({quoted(name)})" for role, name in hashed.items()}
    parts = [fields.path(path) for path in source.event_id]
    ids = [part for part in parts if part]
    if len(ids) < len(parts):
        ids = []
    table = f"SELECT {fields.found()} row_number() OVER () AS number FROM ({scan})"
    table = _exploded(table, lists)
    if lists:
        ids = [*ids, "position"] if ids else []
    named = [f"{text} AS id{place}" for place, text in enumerate(ids)]
    named += [f'{text} AS "{role}"' for role, text in texts.items()]
    lines = f"position, {_excess()} AS excess," if lists else ""
    table = f"SELECT number, {lines} {', '.join(named)} FROM ({table})"
    roles = tuple(texts)
    if lookup and Role.ITEM in texts:
        known = "t.category, " if Role.CATEGORY in texts else ""
        join, since = "LEFT JOIN", ""
        if source.lookup and source.lookup.since:
            join, since = "ASOF LEFT JOIN", " AND t.time_ms >= lookup.since_ms"
            table = f"SELECT *, {time_ms_of('time', source.time_unit)} AS time_ms FROM ({table})"
        hidden = " EXCLUDE (category)" if known else ""
        table = (
            f"SELECT t.*{hidden}, coalesce({known}lookup.category) AS category"
            f" FROM ({table}) t {join} lookup ON t.item = lookup.key{since}"
        )
        roles = tuple(role for role in Role if role in {*roles, Role.CATEGORY})
    return FieldsQuery(table, roles, len(ids), exploded=bool(lists), hashed=hashed)


class Fields:
    """SQL for the text at a path of a record or an order line."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.exploded = False
        self._wanted: list[str] = []  # JSON paths, taken out of the record in one go

    def role(self, source: Source, role: Role) -> str | None:
        """SQL for a role's text, or None where no column can hold it."""
        options = [self._alternative(option) for option in source.fields.get(role, ())]
        found = [option for option in options if option]
        if len(found) < 2:
            return found[0] if found else None
        return f"coalesce({', '.join(found)})"

    def path(self, path: str) -> str | None:
        """SQL for the text at one path, NULL where it is empty."""
        if path.startswith(LINE):
            path = _json_path(path.removeprefix(LINE))
            return f"nullif(json_extract_string(line, {path}), '')" if self.exploded else None
        if self.columns.format == "json":
            json_path = _json_path(path)
            if json_path not in self._wanted:
                self._wanted.append(json_path)
            return f"nullif(found[{self._wanted.index(json_path) + 1}], '')"
        position, rest = self._column(path)
        if position is None:
            return None
        if rest:
            return f"nullif(json_extract_string({self._as_json(position)}, {_json_path(rest)}), '')"
        if self.columns.format == "csv":
            return f"nullif(c{position}, '')"
        return f"nullif(CAST({quoted(self.columns.names[position])} AS VARCHAR), '')"

    def lines(self, rule: Explode) -> str | None:
        """SQL for the list of JSON lines that a rule names."""
        if self.columns.format == "json":
            record, rest = "json", rule.path
        else:
            position, rest = self._column(rule.path)
            if position is None:
                return None
            record = self._as_json(position)
        lines = f"json_extract({record}, {_json_path(rest, '[*]')})"
        if not rule.where:
            return lines
        return (
            f"list_filter({lines}, lambda x:"
            f" contains(json_extract_string(x, {_json_path(rule.where)}),"
            f" {literal(rule.contains)}))"
        )

    def found(self) -> str:
        """What is selected from the records before order lines are made."""
        if self.columns.format != "json":
            return "*,"
        return f"json, json_extract_string(json, [{', '.join(self._wanted)}]) AS found,"

    def _alternative(self, option: Alternative) -> str | None:
        parts = [text for path in option if (text := self.path(path))]
        if len(parts) < 2:
            return parts[0] if parts else None
        return f"nullif(concat_ws('/', {', '.join(parts)}), '')"

    def _column(self, path: str) -> tuple[int | None, str]:
        whole = self.columns.find(path)
        if whole is not None:
            return whole, ""
        name, _, rest = path.partition(".")
        return (self.columns.find(name), rest) if rest else (None, "")

    def _as_json(self, position: int) -> str:
        if self.columns.format == "csv":
            return f"CASE WHEN json_valid(c{position}) THEN c{position}::JSON END"
        name = quoted(self.columns.names[position])
        kind = self.columns.types[position]
        if kind.startswith(_NESTED) or kind.endswith("]"):
            return f"to_json({name})"
        return f"CASE WHEN json_valid({name}::VARCHAR) THEN {name}::VARCHAR::JSON END"


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Where the fields of a CSV are, by position.

    Attributes
    ----------
    roles : mapping of Role to positions
        The first that is not empty holds.
    ids : tuple of int
        Parts of the event id.
    """

    roles: Mapping[Role, tuple[int, ...]]
    ids: tuple[int, ...]

    @property
    def places(self) -> set[int]:
        """All positions."""
        return {place for places in self.roles.values() for place in places} | set(self.ids)


def plain_columns(columns: Columns, source: Source) -> PlainColumns | None:
    """Find the fields of a CSV; None where it takes SQL.

    That is for JSON within a field, for order lines, and for category paths of several columns.
    """
    roles: dict[Role, tuple[int, ...]] = {}
    paths = [rule.path for rule in source.explode]
    for role, options in source.fields.items():
        for option in options:
            outer = [path for path in option if not path.startswith(LINE)]
            places = [place for path in outer if (place := columns.find(path)) is not None]
            paths += [path for path in outer if columns.find(path) is None]
            if len(places) > 1:
                return None
            roles[role] = (*roles.get(role, ()), *places)
    ids = [columns.find(path) for path in source.event_id]
    paths += [path for path in source.event_id if columns.find(path) is None]
    if any(columns.find(path.partition(".")[0]) is not None for path in paths):
        return None
    known = tuple(place for place in ids if place is not None)
    return PlainColumns(
        {role: places for role, places in roles.items() if places},
        known if len(known) == len(ids) else (),
    )


@dataclass(frozen=True, slots=True)
class FlatKeys:
    """Keys of the fields of JSON without nesting: of each role, the first not empty holds."""

    roles: Mapping[Role, tuple[str, ...]]
    ids: tuple[str, ...]


def flat_keys(source: Source) -> FlatKeys | None:
    """Find the keys; None where order lines or joined paths need SQL."""
    options = [option for role in source.fields for option in source.fields[role]]
    if source.explode or any(len(option) > 1 for option in options):
        return None
    roles = {
        role: tuple(path for (path,) in options if "." not in path)
        for role, options in source.fields.items()
    }
    return FlatKeys(roles, source.event_id)


def _exploded(table: str, lists: list[str]) -> str:
    if not lists:
        return table
    first = f"coalesce({', '.join(f'nullif({lines}, [])' for lines in lists)}, [NULL::JSON])"
    table = f"SELECT *, {first} AS lines FROM ({table})"
    return (
        f"SELECT *, unnest(lines[1:{MAX_LINES}]) AS line,"
        f" generate_subscripts(lines[1:{MAX_LINES}], 1) AS position FROM ({table})"
    )


def _excess() -> str:
    """Order lines above the limit, told on the first line of their record."""
    return f"CASE WHEN position = 1 THEN greatest(len(lines) - {MAX_LINES}, 0) ELSE 0 END"


def _json_path(path: str, suffix: str = "") -> str:
    steps = [f"[{step}]" if step.isdigit() else f'."{step}"' for step in path.split(".") if step]
    return literal(f"${''.join(steps)}{suffix}")


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def lookup_query(scan: str, columns: Columns, rule: Lookup, unit: str) -> str:
    """SQL for `lookup(key, since_ms, category)`: the first version of a key holds since ever."""
    fields = Fields(columns)
    key, category = fields.path(rule.key), fields.path(rule.category)
    where = f"WHERE {fields.path(rule.where)} = {literal(rule.equals)}" if rule.where else ""
    since = f"{time_ms_of('since', unit)}" if rule.since else "NULL::BIGINT"
    table = (
        f"SELECT {key} AS key, {category} AS category,"
        f" {fields.path(rule.since) if rule.since else 'NULL::VARCHAR'} AS since"
        f" FROM ({scan}) {where}"
    )
    table = (
        f"SELECT key, {since} AS read_ms, max(category) AS category FROM ({table})"
        " WHERE key IS NOT NULL GROUP BY ALL"
    )
    return (
        "SELECT key, CASE WHEN row_number() OVER (PARTITION BY key ORDER BY read_ms) = 1"
        f" THEN 0 ELSE read_ms END AS since_ms, category FROM ({table})"
    )
