"""The one query that finds an adapter's fields in the records of a piece."""

from __future__ import annotations

from dataclasses import dataclass

from swerve.domain.rows import CODED
from swerve.domain.source import LINE, Alternative, Explode, Lookup, Role, Source

MAX_LINES = 1000  # order lines of one record
_NESTED = ("STRUCT", "MAP", "JSON")
_SEPARATOR = "chr(31)"
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
_EARLIEST_MS = 631_152_000_000  # 1990: before it lies a wrong unit, or a zero
_LATEST_MS = 4_200_000_000_000
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
    """SQL that gives one row an order line, and the roles that have a `<role>_text` in it."""

    sql: str
    roles: tuple[Role, ...]


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


def fields_query(
    scan: str, columns: Columns, source: Source, salt: str, *, zoned: bool, lookup: bool
) -> FieldsQuery:
    """Build the query.

    Parameters
    ----------
    scan : str
        Gives the records.
    columns : Columns
        What `scan` gives.
    salt : str
        Prefix of event ids before they are hashed.
    zoned : bool
        Times without a zone must be told from others, as the default zone is not UTC.
    lookup : bool
        There is a table `lookup(key, since_ms, category)` to join.
    """
    fields = _Fields(columns)
    texts = {role: fields.role(source, role) for role in Role}
    parts = [fields.path(path) for path in source.event_id]
    lists = [text for rule in source.explode if (text := fields.lines(rule))]
    table = f"SELECT {fields.found()} row_number() OVER () AS number FROM ({scan})"
    table = _exploded(table, lists)
    named = ", ".join(f"{text or 'NULL::VARCHAR'} AS {role}_text" for role, text in texts.items())
    identity = _identity(parts, salt, numbered=bool(lists))
    table = (
        f"SELECT number, {_excess(lists)} AS excess, {identity} AS identity, {named} FROM ({table})"
    )
    table = f"SELECT *, {time_ms_of('time_text', source.time_unit)} AS read_ms FROM ({table})"
    table = (
        f"SELECT *, CASE WHEN read_ms BETWEEN {_EARLIEST_MS} AND {_LATEST_MS}"
        " THEN read_ms END AS time_ms,"
        f" try_cast(value_text AS FLOAT) AS read_value FROM ({table})"
    )
    roles = [role for role in CODED if texts[role]]
    if lookup and texts[Role.ITEM]:
        join, since = "LEFT JOIN", ""
        if source.lookup and source.lookup.since:
            join, since = "ASOF LEFT JOIN", " AND t.time_ms >= lookup.since_ms"
        table = (
            "SELECT t.* REPLACE (coalesce(t.category_text, lookup.category) AS category_text)"
            f" FROM ({table}) t {join} lookup ON t.item_text = lookup.key{since}"
        )
        roles = [role for role in CODED if role in {*roles, Role.CATEGORY}]
    kept = ", ".join(f"{role}_text" for role in roles)
    naive = f"contains(time_text, '-') AND NOT regexp_matches(time_text, '{_ZONED}')"
    sql = (
        f"SELECT number, excess, identity, {kept}, time_ms,"
        f" {f'coalesce({naive}, false)' if zoned else 'false'} AS naive,"
        " CASE WHEN value_text IS NULL THEN 'nan'::FLOAT"
        " ELSE coalesce(read_value, 'inf'::FLOAT) END AS value,"
        " CASE WHEN time_ms IS NULL THEN time_text END AS raw_time,"
        " CASE WHEN read_value IS NULL THEN value_text END AS raw_value"
        f" FROM ({table})"
    )
    return FieldsQuery(sql, tuple(roles))


class _Fields:
    """SQL for the text at a path of a record or an order line."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
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
            return f"nullif(json_extract_string(line, {_json_path(path.removeprefix(LINE))}), '')"
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
        return f"nullif(CAST({_quoted(self.columns.names[position])} AS VARCHAR), '')"

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
        name = _quoted(self.columns.names[position])
        kind = self.columns.types[position]
        if kind.startswith(_NESTED) or kind.endswith("]"):
            return f"to_json({name})"
        return f"CASE WHEN json_valid({name}::VARCHAR) THEN {name}::VARCHAR::JSON END"


def _exploded(table: str, lists: list[str]) -> str:
    if not lists:
        return table
    first = f"coalesce({', '.join(f'nullif({lines}, [])' for lines in lists)}, [NULL::JSON])"
    table = f"SELECT *, {first} AS lines FROM ({table})"
    return (
        f"SELECT *, unnest(lines[1:{MAX_LINES}]) AS line,"
        f" generate_subscripts(lines[1:{MAX_LINES}], 1) AS position FROM ({table})"
    )


def _excess(lists: list[str]) -> str:
    """Order lines above the limit, told on the first line of their record."""
    if not lists:
        return "0::UINTEGER"
    return f"CASE WHEN position = 1 THEN greatest(len(lines) - {MAX_LINES}, 0) ELSE 0 END::UINTEGER"


def _identity(parts: list[str | None], salt: str, *, numbered: bool) -> str:
    """64 bits of SHA-1 over the salted event id, and which of its order lines it is.

    SHA-1 is four times as fast as MD5 in DuckDB 2.0.0, and `hash` may change with a version.
    """
    known = [part for part in parts if part]
    if not known or len(known) < len(parts):
        return "0::UBIGINT"
    position = ["position"] if numbered else []
    text = f" || {_SEPARATOR} || ".join([literal(salt), *known, *position])
    return f"coalesce(('0x' || left(sha1({text}), 16))::UBIGINT, 0)"


def _json_path(path: str, suffix: str = "") -> str:
    steps = [f"[{step}]" if step.isdigit() else f'."{step}"' for step in path.split(".") if step]
    return literal(f"${''.join(steps)}{suffix}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def lookup_query(scan: str, columns: Columns, rule: Lookup, unit: str) -> str:
    """SQL for `lookup(key, since_ms, category)`: the first version of a key holds since ever."""
    fields = _Fields(columns)
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
