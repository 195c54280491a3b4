from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from swerve.adapters.sniff import sniff
from swerve.domain.file import Refused

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"user_id,timestamp,behavior\n"
LIMIT_BYTES = 20_000_000


@pytest.mark.parametrize("first", [b"", gzip.compress(HEADER)], ids=["one member", "several"])
def test_a_bomb_is_refused_before_a_row_is_read(first: bytes, tmp_path: Path) -> None:
    # GIVEN a bomb, alone or behind a small member
    path = tmp_path / "bomb"
    path.write_bytes(first + gzip.compress(HEADER * 1_000_000))
    # WHEN / THEN
    with pytest.raises(Refused) as refused:
        sniff(path, LIMIT_BYTES)
    assert refused.value.reason == "too_large"


def test_dense_logs_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    path.write_bytes(gzip.compress(HEADER * 500_000))
    assert sniff(path, LIMIT_BYTES).format == "csv"
