"""Columns as planes of bytes, squeezed: bytes of equal significance together compress better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Planes hold skewed bytes and some runs: the smallest table finds the runs, and shorter matches
# would cost more than the codes of their bytes.
_PARAMETERS = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST, window_log=17, hash_log=6, min_match=7, write_checksum=True
)


def planes_of(values: NDArray[Any]) -> list[bytes]:
    """Return the lowest byte of every value, then the next one of every value, and so on."""
    width = values.itemsize if values.size else 0
    return [plane.tobytes() for plane in values.view(np.uint8).reshape(values.size, width).T]


def squeezed(planes: list[bytes]) -> bytes:
    """Compress; the same planes give the same bytes.

    Each plane is a block: with a code of its own for its bytes it is an eighth smaller. The
    compressor is new each time, so that nothing of an earlier call can show (ADR 17).
    """
    frame = zstandard.ZstdCompressor(compression_params=_PARAMETERS).compressobj(
        size=sum(map(len, planes))
    )
    end_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    blocks = [frame.compress(plane) + frame.flush(end_block) for plane in planes]
    return b"".join([*blocks, frame.flush()])


def stretched(data: bytes, size: int) -> bytes:
    """Inverse of `squeezed`; raise ValueError unless they are `size` whole bytes.

    The size is asked for before anything is decompressed: a damaged frame may claim any.
    """
    try:
        if zstandard.frame_content_size(data) != size:
            raise ValueError("its columns do not fill its body")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as wrong:
        raise ValueError(str(wrong)) from wrong
