"""The formats of compression, by name: how one is recognised, scanned, and unpacked. To add one is a row."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from regfs.archive.compression.gzip import GzipScan, GzipUnpacker
from regfs.archive.compression.zstd import ZstdScan, ZstdUnpacker
from regfs.archive.points import Points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regfs.archive.compression.stream import Scan, Unpacker
    from regfs.archive.points import Point
    from regfs.archive.reader import Reader

MAGIC_BYTES = 4


class Compression(enum.Enum):
    """How a tar is compressed. The values stand in index files."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class PlainScan:
    """A stream that is not compressed: no points are needed."""

    def __init__(self) -> None:
        self.points = Points()
        self.window_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        """Say that no piece is left."""


def compression_of(head: bytes) -> Compression:
    """Tell the compression of a stream by its first MAGIC_BYTES bytes.

    Media types are not asked: registries hold layers whose media type names another compression than they have.
    """
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    is_skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50
    return Compression.ZSTD if is_skippable or head.startswith(b"\x28\xb5\x2f\xfd") else Compression.NONE


def scan_of(compression: Compression, span_bytes: int | None = None) -> Scan:
    """Return a scan of a stream from its beginning.

    :param span_bytes: between two points, None for the format's own
    """
    arguments = () if span_bytes is None else (span_bytes,)
    if compression is Compression.GZIP:
        return GzipScan(*arguments)
    return ZstdScan(*arguments) if compression is Compression.ZSTD else PlainScan()


def unpacker_of(compression: Compression, blob: Reader, point: Point, window_bytes: int) -> Unpacker:
    """Return an unpacker of a gzip or zstd stream from a point on."""
    if compression is Compression.GZIP:
        return GzipUnpacker(blob, point)
    return ZstdUnpacker(blob, point, window_bytes)
