"""What a query found, where it lies: texts by way of the Arrow C stream, without an object a field.

DuckDB hands its columns over as the three C structures of the Arrow C data interface, which are
stable by contract; `ctypes` reads them, so that no Arrow library is needed.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from swerve.domain.fields import PADDING, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    _Part = tuple[bytes, NDArray[np.int32], NDArray[np.int32]]  # data, start, size

# A dictionary makes gigabytes of text of a small Parquet file.
MOST_TEXT_BYTES = 300_000_000
_OUT_OF_MEMORY = "Out of Memory"


class TooMuchText(Exception):
    """What a query found does not fit into memory."""


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
_RELEASE_ARRAY = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", _RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]
_GET_SCHEMA = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))
_GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))
_Stream._fields_ = [
    ("get_schema", _GET_SCHEMA),
    ("get_next", _GET_NEXT),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))),
    ("private_data", ctypes.c_void_p),
]
_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.restype = ctypes.c_void_p
_pointer_in.argtypes = [ctypes.py_object, ctypes.c_char_p]


def columns_of(
    relation: duckdb.DuckDBPyRelation,
) -> tuple[dict[str, Texts], dict[str, NDArray[np.int64]]]:
    """Run a query and return its columns: VARCHAR as texts, empty for NULL; integers as numbers.

    They are BIGINT, or UBIGINT with the same bits.
    Raises duckdb.Error where it fails, TooMuchText beyond `MOST_TEXT_BYTES`.
    """
    capsule = relation.__arrow_c_stream__()
    stream = _Stream.from_address(_pointer_in(capsule, b"arrow_array_stream"))
    formats = _formats(stream)
    texts: dict[str, list[_Part]] = {name: [] for name, kind in formats if kind == "u"}
    numbers: dict[str, list[NDArray[np.int64]]] = {n: [] for n, kind in formats if kind in "lL"}
    size = 0
    for array in _batches(stream):
        for place, (name, _) in enumerate(formats):
            column = array.children[place].contents
            if name in texts:
                texts[name].append(_texts(column, array.offset))
                size += len(texts[name][-1][0])
                if size > MOST_TEXT_BYTES:
                    raise TooMuchText
            else:
                numbers[name].append(_numbers(column, array.offset))
    none = np.empty(0, np.int64)
    return (
        {name: _joined(parts) for name, parts in texts.items()},
        {name: np.concatenate([none, *parts]) for name, parts in numbers.items()},
    )


def _formats(stream: _Stream) -> list[tuple[str, str]]:
    """Name and type of each column."""
    schema = _Schema()
    _check(stream, stream.get_schema(ctypes.byref(stream), ctypes.byref(schema)))
    try:
        fields = [schema.children[place].contents for place in range(schema.n_children)]
        return [(field.name.decode(), field.format.decode()) for field in fields]
    finally:
        schema.release(ctypes.byref(schema))


def _batches(stream: _Stream) -> Iterator[_Array]:
    """Yield one batch of rows after the other; each is gone when the next one is asked for."""
    while True:
        array = _Array()
        _check(stream, stream.get_next(ctypes.byref(stream), ctypes.byref(array)))
        if not array.release:
            return
        try:
            yield array
        finally:
            array.release(ctypes.byref(array))


def _check(stream: _Stream, code: int) -> None:
    if code:
        told = (stream.get_last_error(ctypes.byref(stream)) or b"").decode("utf-8", "replace")
        raise (duckdb.OutOfMemoryException if _OUT_OF_MEMORY in told else duckdb.Error)(told)


def _texts(column: _Array, offset: int) -> _Part:
    """Bytes of a column of texts, and where in them each lies."""
    first, rows = column.offset + offset, column.length
    bounds = _buffer(column, 1, np.int32, first + rows + 1)[first:]
    size = np.diff(bounds)
    if column.null_count and column.buffers[0]:
        valid = _buffer(column, 0, np.uint8, -(-(first + rows) // 8))
        size *= np.unpackbits(valid, count=first + rows, bitorder="little")[first:]
    start, end = int(bounds[0]), int(bounds[-1])
    data = ctypes.string_at(column.buffers[2] + start, end - start) if end > start else b""
    return data, bounds[:-1] - start, size


def _numbers(column: _Array, offset: int) -> NDArray[np.int64]:
    first = column.offset + offset
    return _buffer(column, 1, np.int64, first + column.length)[first:].copy()


def _buffer(column: _Array, place: int, kind: type[np.generic], size: int) -> NDArray[Any]:
    width = np.dtype(kind).itemsize
    view = memoryview((ctypes.c_char * (size * width)).from_address(column.buffers[place]))
    values: NDArray[Any] = np.frombuffer(view, kind)
    return values


def _joined(parts: list[_Part]) -> Texts:
    data = b"".join([*(data for data, _, _ in parts), bytes(PADDING)])
    before = np.cumsum([0, *(len(data) for data, _, _ in parts)]).tolist()
    starts = [start + base for (_, start, _), base in zip(parts, before, strict=False)]
    none = np.empty(0, np.int32)
    return Texts(
        data, np.concatenate([none, *starts]), np.concatenate([none, *(size for *_, size in parts)])
    )
