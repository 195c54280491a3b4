"""Which adapter a file needs, told by the uploader or by its fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swerve.domain.file import Refused
from swerve.domain.source import Role, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swerve.domain.file import Shape

_SHOWN_FIELDS = 40
# A field name that may be shown: the first row of a file without header may hold a user id.
_NAME_LIKE = re.compile(r"[A-Za-z_](?:[\w .:$-]|(?<=\w)\[)*")
_ID_LIKE = re.compile(r"\d{3,}|@")


@dataclass(frozen=True, slots=True)
class Recognised:
    """The adapter of a file.

    Attributes
    ----------
    columns : tuple of str
        Names of a CSV's columns.
    header : bool
        The first row of the CSV names the columns.
    """

    source: Source
    columns: tuple[str, ...]
    header: bool


def recognise(shape: Shape, sources: Sequence[Source], named: str = "") -> Recognised:
    """Choose the adapter.

    Parameters
    ----------
    shape : Shape
        The file.
    sources : sequence of Source
        All adapters; a later one of the same name wins.
    named : str
        What the uploader said; a name that is no adapter's is only a label.

    Raises
    ------
    Refused
        Lists the fields that were found, and the adapter that comes nearest.
    """
    known = {source.name: source for source in sources}
    wanted = [known[named]] if named in known else list(known.values())
    folded = {field.casefold() for field in shape.fields}
    fitting = [source for source in wanted if _fits(source, folded)]
    if fitting:
        best = max(fitting, key=lambda source: len(source.match))
        return Recognised(best, shape.fields if shape.format == "csv" else (), header=True)
    if shape.format == "csv":
        for source in wanted:
            if _fits_headerless(source, shape):
                return Recognised(source, source.columns, header=False)
    if named in known and _has_needed(known[named], folded):
        columns = shape.fields if shape.format == "csv" else ()
        return Recognised(known[named], columns, header=True)
    raise _unknown(shape, known.values(), known.get(named))


def _fits(source: Source, folded: set[str]) -> bool:
    return bool(source.match) and all(field.casefold() in folded for field in source.match)


def _has_needed(source: Source, folded: set[str]) -> bool:
    """Whether a user and a time can be read at all."""
    return all(
        any(path.casefold() in folded for option in source.fields[role] for path in option)
        for role in (Role.USER, Role.TIME)
    )


def _fits_headerless(source: Source, shape: Shape) -> bool:
    """Right number of columns, and event names that the adapter knows."""
    rows = [row for row in shape.sample if len(row) == len(source.columns)]
    if not source.columns or len(rows) * 2 < len(shape.sample):
        return False
    paths = [option[0].partition(".")[0] for option in source.fields.get(Role.EVENT, ())]
    places = [source.columns.index(name) for name in paths if name in source.columns]
    told = [row for row in rows if any(_names_event(source, row[place]) for place in places)]
    return len(told) * 2 >= len(rows)


def _names_event(source: Source, text: str) -> bool:
    """Whether a field is an event's name, or JSON that holds one."""
    if source.behaviour(text) is not None:
        return True
    return text.startswith("{") and any(f'"{event}"' in text for event in source.events)


def _unknown(shape: Shape, sources: Iterable[Source], named: Source | None) -> Refused:
    folded = {field.casefold() for field in shape.fields}

    def likeness(source: Source) -> tuple[bool, float, int]:
        """Whether named fields match, how much of what marks the convention, how many fields."""
        marks = source.match or source.columns
        found = sum(field.casefold() in folded for field in marks)
        known = sum(path.casefold() in folded for path in source.paths)
        # A file with field names is not like one that has none, whatever its columns are called.
        return bool(source.match and found), found / len(marks), known

    nearest = named or max(sources, key=likeness)
    lacking = [f for f in nearest.match or nearest.columns if f.casefold() not in folded]
    shown = ", ".join(_showable(field) for field in shape.fields[:_SHOWN_FIELDS]) or "none"
    more = len(shape.fields) - _SHOWN_FIELDS
    return Refused(
        "unknown_shape",
        f"No adapter fits. Fields found: {shown}{f' and {more} more' if more > 0 else ''}."
        f" Nearest adapter: {nearest.name}; it needs also: {', '.join(lacking[:10]) or 'rows'}.",
        "Rename the fields, upload below events/source=<adapter>/, or put an adapter of your own"
        " at adapters/<name>.toml in the data bucket (see sources/canonical.toml).",
    )


def _showable(field: str) -> str:
    if len(field) <= 64 and _NAME_LIKE.fullmatch(field) and not _ID_LIKE.search(field):
        return field
    return "(a value)"
