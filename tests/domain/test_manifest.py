from __future__ import annotations

from swerve.domain.manifest import Erased

from tests.domain.manifests import manifest

MANIFEST = manifest(rows=9, packed=9, windows={7: 4, 14: 5})


def test_what_is_erased_adds_up_and_the_counts_stay() -> None:
    # WHEN
    after = MANIFEST.erase(14, Erased(2, 1)).erase(7, Erased(4, 4)).erase(14, Erased(1, 0))
    # THEN
    assert list(after.erased.items()) == [(7, Erased(4, 4)), (14, Erased(3, 1))]
    assert after.held == {7: 0, 14: 2}
    assert (after.packed, after.windows) == (MANIFEST.packed, MANIFEST.windows)
    assert MANIFEST.held == MANIFEST.windows
