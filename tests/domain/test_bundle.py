from __future__ import annotations

import pytest
from swerve.domain.bundle import bundle, unbundle


def test_round_trip_keeps_order_and_bytes():
    # GIVEN
    files = {"2017-01-02": b"\x00\xff" * 500, "2016-12-26": b"", "counts.json": b"{}"}
    # WHEN
    packed = bundle(files)
    # THEN
    assert list(unbundle(packed).items()) == list(files.items())
    assert packed == bundle(files)


def test_damage_is_found():
    # GIVEN
    packed = bytearray(bundle({"a": b"x" * 100}))
    # WHEN
    packed[60] ^= 1
    # THEN
    with pytest.raises(ValueError, match="damaged"):
        unbundle(bytes(packed))
