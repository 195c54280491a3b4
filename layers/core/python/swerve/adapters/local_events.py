"""Reads files on the machine of their owner, names and all: for back-tests and exploration."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swerve.adapters.parse import Parser
from swerve.adapters.sniff import sniff
from swerve.domain.arrange import by_user
from swerve.domain.dedup import deduplicate
from swerve.domain.event import Events
from swerve.domain.file import FileToRead
from swerve.domain.kept import Kept
from swerve.domain.manifest import DedupRule
from swerve.domain.normalise import Normaliser
from swerve.domain.pseudonym import Keyring
from swerve.domain.recognise import recognise
from swerve.domain.source import Role
from swerve.sources import bundled_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

# Pseudonyms of a back-test protect nobody, and must be the same in every run.
_OFFLINE_KEYRING = Keyring.parse('{"current": "offline, public on purpose"}')
_NO_LIMIT = 1 << 62
_ALL_TIMES = (0, 1 << 62)


@dataclass(frozen=True, slots=True)
class LocalEvents:
    """Events with everything needed to name them.

    Attributes
    ----------
    events : Events
        In canonical order, each once.
    users : dict
        Pseudonym to raw user id.
    names : dict
        Key of a category, item or campaign to its name.
    rows, duplicates : int
        rows == len(events) + duplicates + sum(rejected.values()).
    rejected : dict
        Rows by reason.
    """

    events: Events
    users: dict[int, str]
    names: dict[int, str]
    rows: int
    duplicates: int
    rejected: dict[str, int]


def read_canonical(paths: Sequence[Path], zone: str = "UTC") -> LocalEvents:
    """Read files in the common schema (or any bundled one), in any format, into memory.

    Parameters
    ----------
    paths : sequence of Path
        Overlapping files are counted once where the source has event ids.
    zone : str
        IANA zone of times without one.

    Raises
    ------
    Refused
        Where a file as a whole cannot be read.
    """
    users: dict[int, str] = {}
    names: dict[int, str] = {}
    rejected: Counter[str] = Counter()
    parts = [_events(path, zone, users, names, rejected) for path in paths]
    rows = sum(count for _, count in parts)
    events = Events.concatenate([part for part, _ in parts])
    if len(paths) > 1:
        events = events.canonical()
        own = deduplicate(events, np.zeros(len(events), np.bool_), ordinal=False)
        events = events.take(own)
    duplicates = rows - len(events)
    return LocalEvents(events, users, names, rows + rejected.total(), duplicates, dict(rejected))


def _events(
    path: Path,
    zone: str,
    users: dict[int, str],
    names: dict[int, str],
    rejected: Counter[str],
) -> tuple[Events, int]:
    """Events of one file, and the rows that they come from."""
    shape = sniff(path, _NO_LIMIT)
    found = recognise(shape, bundled_sources())
    file = FileToRead(
        path,
        shape,
        found.source,
        found.columns,
        found.header,
        salt=_OFFLINE_KEYRING.event_salt,
        zoned=(found.source.time_zone or zone) != "UTC",
        limit_bytes=_NO_LIMIT,
    )
    normaliser = Normaliser(found.source, _OFFLINE_KEYRING, zone, *_ALL_TIMES)
    parts: list[Kept] = []
    ids: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="swerve-") as folder,
        Parser(file, Path(folder)) as parser,
    ):
        for parsed in parser.pieces():
            kept, refused = normaliser.normalise(parsed)
            parts.append(kept)
            rejected.update(refused.counts)
            ids += [text.strip() for text in parsed.texts.get(Role.USER, [])]
    # The first code stands for no user at all.
    users.update(zip(normaliser.pseudonyms[1:].tolist(), ids, strict=True))
    names.update(normaliser.all_names())
    kept = by_user(Kept.concatenate(parts), normaliser.people())
    ordinal = found.source.dedup is not DedupRule.CONTENT
    events = normaliser.events(kept)
    own = deduplicate(events, kept.by_content, ordinal=ordinal)
    return events if own.all() else events.take(own), len(kept)
