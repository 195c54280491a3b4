from __future__ import annotations

from swerve.domain.manifest import DedupRule, Erased, Manifest

MANIFEST = Manifest(
    batch_id="b1",
    key="events/a.csv",
    version="v1",
    source="web",
    adapter="common",
    dedup=DedupRule.ID,
    key_id="k1",
    rows=9,
    packed=9,
    duplicates=0,
    rejected={},
    windows={7: 4, 14: 5},
    shards=(0,),
    segments=2,
    first_ms=1,
    last_ms=2,
    watermark_ms=2,
    size_bytes=100,
    uploaded_ms=3,
)


def test_what_is_erased_adds_up_and_the_counts_stay() -> None:
    # WHEN
    after = MANIFEST.erase(14, Erased(2, 1)).erase(7, Erased(4, 4)).erase(14, Erased(1, 0))
    # THEN
    assert list(after.erased.items()) == [(7, Erased(4, 4)), (14, Erased(3, 1))]
    assert after.held == {7: 0, 14: 2}
    assert (after.packed, after.windows) == (MANIFEST.packed, MANIFEST.windows)
    assert MANIFEST.held == MANIFEST.windows
