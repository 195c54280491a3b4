"""The adapters and side files of a stack: the package's own, and those in the data bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swerve.domain.file import Refused
from swerve.domain.source import Source, parse_source
from swerve.sources import bundled_sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swerve.domain.file import Shape
    from swerve.domain.source import Lookup
    from swerve.ports import Data, Files

ADAPTERS = "adapters/"
LOOKUPS = "lookups/"
_LOOKUP_LIMIT_BYTES = 1_000_000_000


def sources(data: Data, named: str = "") -> Sequence[Source]:
    """All adapters; one in the data bucket replaces one of the package of the same name.

    A broken adapter refuses the files that ask for it, and no others.
    """
    found = list(bundled_sources())
    for key in data.keys(ADAPTERS):
        if not key.endswith(".toml"):
            continue
        text = (data.get(key) or b"").decode("utf-8", "replace")
        try:
            found.append(parse_source(text, key))
        except ValueError as wrong:
            if key == f"{ADAPTERS}{named}.toml":
                raise Refused("bad_adapter", f"{wrong}.", "Mend it and upload again.") from wrong
    return found


@dataclass(frozen=True, slots=True)
class SideFile:
    """A lookup at hand; `version` is part of the batch id of what is read with it."""

    version: str
    path: Path
    shape: Shape


def side_file(rule: Lookup | None, data: Data, files: Files, folder: Path) -> SideFile | None:
    """Fetch the newest version of a lookup; None where the source needs or finds none."""
    if rule is None:
        return None
    version = max(data.keys(f"{LOOKUPS}{rule.name}/"), default=None)
    body = data.get(version) if version else None
    if version is None or body is None:
        return None
    path = folder / "side-file"
    path.write_bytes(body)
    try:
        return SideFile(version, path, files.sniff(path, _LOOKUP_LIMIT_BYTES))
    except Refused as wrong:
        raise Refused("bad_lookup", f"{version}: {wrong.detail}", wrong.advice) from wrong
