"""A manifest with what a test does not care about filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from swerve.domain.manifest import DedupRule, Manifest

_ANY = Manifest(
    batch_id="b1",
    key="events/a.csv",
    version="v1",
    source="web",
    adapter="common",
    dedup=DedupRule.ID,
    key_id="k1",
    rows=7,
    packed=7,
    duplicates=0,
    rejected={},
    windows={17168: 4, 17175: 3},
    shards=(0,),
    segments=2,
    first_ms=1,
    last_ms=2,
    watermark_ms=2,
    size_bytes=100,
    uploaded_ms=3,
)


def manifest(**cared_for: Any) -> Manifest:
    return replace(_ANY, **cared_for)
