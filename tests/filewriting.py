"""The same events as files of every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from swerve.domain.codec import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELDS = ("user_id", "timestamp", "behavior", "item_id", "category_id", "value")
Record = tuple[str, ...]


def as_csv(records: Sequence[Record], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([FIELDS, *records])
    return text.getvalue().encode()


def as_tsv(records: Sequence[Record]) -> bytes:
    return as_csv(records, "\t")


def objects(records: Sequence[Record]) -> list[dict[str, str]]:
    return [
        {name: value for name, value in zip(FIELDS, record, strict=True) if value}
        for record in records
    ]


def as_json_lines(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects(records)).encode()


def as_json_array(records: Sequence[Record]) -> bytes:
    return json.dumps(objects(records), indent=2).encode()


def as_concatenated(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(o) for o in objects(records)).encode()


def as_parquet(records: Sequence[Record]) -> bytes:
    columns = list(zip(*records, strict=True)) if records else [()] * len(FIELDS)
    table = pa.table(
        {
            name: pa.array([value or None for value in column], pa.string())
            for name, column in zip(FIELDS, columns, strict=True)
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def gzipped(body: bytes) -> bytes:
    """Two members, as Firehose and `cat` leave them."""
    half = len(body) // 2
    return gzip.compress(body[:half], 1, mtime=0) + gzip.compress(body[half:], 1, mtime=0)


def zstandard_frames(body: bytes) -> bytes:
    half = len(body) // 2
    options = {zstd.CompressionParameter.checksum_flag: 1}
    return b"".join(zstd.compress(part, options=options) for part in (body[:half], body[half:]))


TEXT_WRITERS: dict[str, Callable[[Sequence[Record]], bytes]] = {
    "csv": as_csv,
    "tsv": as_tsv,
    "json_lines": as_json_lines,
    "json_array": as_json_array,
    "concatenated": as_concatenated,
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "_gzip": gzipped,
    "_zstd": zstandard_frames,
}


def compressed(
    write: Callable[[Sequence[Record]], bytes], compress: Callable[[bytes], bytes]
) -> Callable[[Sequence[Record]], bytes]:
    return lambda records: compress(write(records))


WRITERS: dict[str, Callable[[Sequence[Record]], bytes]] = {
    f"{name}{suffix}": compressed(write, compress)
    for name, write in TEXT_WRITERS.items()
    for suffix, compress in COMPRESSIONS.items()
}
WRITERS["parquet"] = as_parquet
