"""Columns as planes of bytes, squeezed: bytes of equal significance together compress better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain.binary import by_plane
from swerve.domain.codec import zstd

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL_BYTES = 4096
# Planes hold skewed bytes and some runs: the smallest table finds the runs, and shorter matches
# would cost more than the codes of their bytes.
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.strategy: zstd.Strategy.fast,
    zstd.CompressionParameter.window_log: 17,
    zstd.CompressionParameter.hash_log: 6,
    zstd.CompressionParameter.min_match: 7,
    zstd.CompressionParameter.checksum_flag: 1,
}


def planes_of(values: NDArray[Any]) -> list[bytes]:
    """Planes of `binary.by_plane`; none of an empty column."""
    return [plane.tobytes() for plane in by_plane(values)] if values.size else []


def squeezed(planes: list[bytes]) -> bytes:
    """Compress; the same planes give the same bytes.

    Each plane is a block: with a code of its own for its bytes it is an eighth smaller. Small ones
    share a block, as each code takes room. The compressor is new each time, so that nothing of an
    earlier call can show (ADR 17).
    """
    frame = zstd.ZstdCompressor(options=_OPTIONS)
    if sum(map(len, planes)) < _SMALL_BYTES:
        return frame.compress(b"".join(planes), frame.FLUSH_FRAME)
    blocks = [frame.compress(plane, frame.FLUSH_BLOCK) for plane in planes]
    return b"".join([*blocks, frame.flush()])


def stretched(data: bytes, size: int) -> bytes:
    """Inverse of `squeezed`; raise ValueError unless they are `size` whole bytes."""
    frame = zstd.ZstdDecompressor()
    try:
        found = frame.decompress(data, size + 1)  # whatever a damaged frame holds
    except (zstd.ZstdError, EOFError) as wrong:
        raise ValueError(str(wrong)) from wrong
    if len(found) != size or not frame.eof or frame.unused_data:
        raise ValueError("its columns do not fill its body")
    return found
