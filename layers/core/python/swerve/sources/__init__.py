"""The conventions that Swerve reads as they are, one TOML each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from swerve.domain.source import Source, parse_source


@cache
def bundled_sources() -> tuple[Source, ...]:
    """All adapters of the package, by name."""
    found = sorted(
        (entry for entry in files(__package__).iterdir() if entry.name.endswith(".toml")),
        key=lambda entry: entry.name,
    )
    return tuple(parse_source(entry.read_text("utf-8"), entry.name) for entry in found)
