"""Arrays to bytes and back, deterministically: one header, then raw columns, compressed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from swerve.domain.planes import of_planes, planes_of, squeezed, stretched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def dump(kind: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack named arrays and plain facts; the same input gives the same bytes.

    Multi-byte columns are stored byte plane by byte plane, which compresses far better.
    """
    columns = {n: [a.dtype.str, list(a.shape)] for n, a in arrays.items()}
    header = json.dumps({"kind": kind, "facts": dict(facts), "columns": columns}).encode()
    planes = [plane for array in arrays.values() for plane in planes_of(array)]
    return squeezed([len(header).to_bytes(4, "little") + header, *planes])


def load(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of `dump`; raises ValueError where the bytes are of another kind."""
    raw = stretched(data)
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
