"""Arrays to bytes and back, deterministically: one header, then raw columns, compressed."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Runs of equal bytes are nearly all there is to find in planes of columns: five times as fast as
# level 6, and 3 % smaller.
_LEVEL, _STRATEGY = 1, zlib.Z_RLE


def dump(kind: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack named arrays and plain facts; the same input gives the same bytes.

    Multi-byte columns are stored byte plane by byte plane, which zlib compresses far better.
    """
    columns = {n: [a.dtype.str, list(a.shape)] for n, a in arrays.items()}
    header = json.dumps({"kind": kind, "facts": dict(facts), "columns": columns}).encode()
    parts = [len(header).to_bytes(4, "little"), header]
    parts += [by_plane(array).tobytes() for array in arrays.values()]
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, _STRATEGY)
    return packer.compress(b"".join(parts)) + packer.flush()


def load(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of `dump`; raises ValueError where the bytes are of another kind."""
    raw = zlib.decompress(data)
    size = int.from_bytes(raw[:4], "little")
    header = json.loads(raw[4 : 4 + size])
    if header["kind"] != kind:
        raise ValueError(f"these bytes hold {header['kind']!r}, not {kind!r}")
    at = 4 + size
    arrays: dict[str, NDArray[Any]] = {}
    for name, (dtype, shape) in header["columns"].items():
        values = of_planes(raw, dtype, int(np.prod(shape, dtype=np.int64)), at)
        arrays[name] = values.reshape(shape)
        at += values.nbytes
    return header["facts"], arrays


def by_plane(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the lowest byte of every value, then the next one of every value, uint8[width, n]."""
    plain = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return plain.reshape(-1, values.dtype.itemsize).T


def of_planes(data: bytes, dtype: str, count: int, at: int) -> NDArray[Any]:
    """Inverse of `by_plane`: so many values, from a byte on."""
    width = np.dtype(dtype).itemsize
    planes = np.frombuffer(data, np.uint8, count * width, at).reshape(width, count)
    return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)


def union(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys of both, each sorted and distinct; `old` itself where `new` brings nothing."""
    fresh = rows_of(old, new) < 0
    if not fresh.any():
        return old
    return np.insert(old, np.searchsorted(old, new[fresh]), new[fresh])


def rows_of(keys: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Row of each wanted key in sorted `keys`, -1 where it is absent."""
    if not keys.size:
        return np.full(wanted.size, -1, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[at] == wanted, at, -1)
