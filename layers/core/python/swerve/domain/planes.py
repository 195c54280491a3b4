"""Columns as planes of bytes, squeezed: bytes of equal significance together compress better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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


def by_plane(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the lowest byte of every value, then the next one of every value, uint8[width, n]."""
    plain = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return plain.reshape(-1, values.dtype.itemsize).T


def of_planes(data: bytes, dtype: str, count: int, at: int) -> NDArray[Any]:
    """Inverse of `by_plane`: so many values, from a byte on."""
    width = np.dtype(dtype).itemsize
    planes = np.frombuffer(data, np.uint8, count * width, at).reshape(width, count)
    if width == 2:  # most columns; faster still
        pairs: NDArray[np.uint16] = planes[1].astype("<u2") << 8
        pairs |= planes[0]
        return pairs.view(dtype)
    woven = np.empty((count, width), np.uint8)
    for place, plane in enumerate(planes):  # three times as fast as a transposed copy
        woven[:, place] = plane
    return woven.reshape(-1).view(dtype)


def planes_of(values: NDArray[Any]) -> list[bytes]:
    """Planes of `by_plane`; none of an empty column."""
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


def stretched(data: bytes, size: int | None = None) -> bytes:
    """Inverse of `squeezed`; raise ValueError unless they are whole, and `size` bytes if told."""
    frame = zstd.ZstdDecompressor()
    try:
        # Whatever a damaged frame holds.
        found = frame.decompress(data, -1 if size is None else size + 1)
    except (zstd.ZstdError, EOFError) as wrong:
        raise ValueError(str(wrong)) from wrong
    if size not in (None, len(found)) or not frame.eof or frame.unused_data:
        raise ValueError("its columns do not fill its body")
    return found
