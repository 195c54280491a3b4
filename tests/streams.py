"""What lies compressed inside other bytes: nothing may hide there."""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from swerve.domain.codec import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _inflate(data: bytes, bits: int) -> bytes:
    return zlib.decompressobj(bits).decompress(data)


def _unzstd(data: bytes) -> bytes:
    return zstd.ZstdDecompressor().decompress(data)


STREAMS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x78\x01": partial(_inflate, bits=15),
    b"\x78\x5e": partial(_inflate, bits=15),
    b"\x78\x9c": partial(_inflate, bits=15),
    b"\x78\xda": partial(_inflate, bits=15),
    b"\x1f\x8b": partial(_inflate, bits=31),
    b"\x28\xb5\x2f\xfd": _unzstd,
}


def unpacked(body: bytes) -> Iterator[bytes]:
    """The bytes as they are, and every compressed stream inside them."""
    yield body
    for magic, unpack in STREAMS.items():
        at = body.find(magic)
        while at >= 0:
            with suppress(zlib.error, zstd.ZstdError):  # they may begin no stream
                yield unpack(body[at:])
            at = body.find(magic, at + 1)
