"""zstd with a point at each frame; inside a frame there is none. Source: RFC 8878.

A frame without an end in sight cannot be sought: the tar has to be unpacked once and kept.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from regfs.archive.errors import CorruptArchive
from regfs.archive.points import Point, Points

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regfs.archive.reader import Reader

# Frames shorter than this share a point.
SPAN_BYTES = 1 << 20
OUTPUT_BYTES = 1 << 20
FEED_BYTES = 128 << 10
_PACK_LEVEL = 3
# Magic number, frame header descriptor, window descriptor.
_HEADER_BYTES = 6
_SINGLE_SEGMENT = 0x20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class ZstdScan:
    """Unpacks frames one after the other, and notes where they begin.

    :param span_bytes: of unpacked bytes between two points at least
    """

    def __init__(self, span_bytes: int = SPAN_BYTES) -> None:
        self.points = Points()
        self.window_bytes = 0
        self._span = span_bytes
        self._packed = self._unpacked = self._frame_start = 0
        self._header = b""
        self._is_one_segment = False
        self._frame: zstd.ZstdDecompressor | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a piece and yield what is unpacked from it."""
        while data:
            if self._frame is None:
                data = self._begin_frame(data)
                continue
            frame = self._frame
            self._packed += len(data)
            yield from self._unpack(frame, data)
            data = frame.unused_data if frame.eof else b""
            if frame.eof:
                self._end_frame(data)

    def finish(self) -> None:
        """Say that no piece is left."""
        if self._frame is not None or self._header or not self.points:
            raise CorruptArchive("zstd: the stream is cut")

    def _begin_frame(self, data: bytes) -> bytes:
        """Collect a frame's header, and return what is to be unpacked."""
        self._header += data
        if len(self._header) < _HEADER_BYTES:
            return b""
        data, self._header = self._header, b""
        if not self.points or self._unpacked - self.points.unpacked[-1] >= self._span:
            self.points.add(Point(self._unpacked, self._packed))
        window_bytes = _window_bytes(data)
        self._is_one_segment = window_bytes is None
        self.window_bytes = max(self.window_bytes, window_bytes or 0)
        self._frame, self._frame_start = zstd.ZstdDecompressor(), self._unpacked
        return data

    def _unpack(self, frame: zstd.ZstdDecompressor, data: bytes) -> Iterator[bytes]:
        while True:
            output = _decompress(frame, data, OUTPUT_BYTES)
            data = b""
            self._unpacked += len(output)
            if output:
                yield output
            if frame.eof or frame.needs_input:
                return

    def _end_frame(self, rest: bytes) -> None:
        self._packed -= len(rest)
        self._frame = None
        if self._is_one_segment:
            # Such a frame is its own window.
            self.window_bytes = max(self.window_bytes, self._unpacked - self._frame_start)


def _window_bytes(header: bytes) -> int | None:
    """Return the window that a frame's header asks for; None when it is one segment, or a frame to skip.

    zstd itself refuses more than 128 MiB.
    """
    if not header.startswith(_ZSTD_MAGIC) or header[4] & _SINGLE_SEGMENT:
        return None
    exponent, mantissa = header[5] >> 3, header[5] & 7
    base = 1 << (10 + exponent)
    return base + base // 8 * mantissa


def _decompress(frame: zstd.ZstdDecompressor, data: bytes, length: int) -> bytes:
    try:
        return frame.decompress(data, length)
    except zstd.ZstdError as error:
        raise CorruptArchive(f"zstd: {error}") from None


class ZstdUnpacker:
    """Unpacks zstd from the beginning of a frame on, through the ends of frames.

    :param window_bytes: the most that a frame of this stream remembers
    """

    def __init__(self, blob: Reader, point: Point, window_bytes: int = 0) -> None:
        self.position = point.unpacked
        self.memory_bytes = window_bytes + FEED_BYTES
        self._blob = blob
        self._offset = point.packed
        self._input = b""
        self._frame = zstd.ZstdDecompressor()

    def read(self, length: int) -> bytes:
        """Return the next bytes: *length* of them, fewer only at the stream's end."""
        output: list[bytes] = []
        left = length
        while left and (not self._frame.eof or self._next_frame()):
            if self._frame.needs_input and not self._refill():
                raise CorruptArchive("zstd: the stream is cut")
            data, self._input = _decompress(self._frame, self._input, left), b""
            output.append(data)
            left -= len(data)
        self.position += length - left
        return b"".join(output)

    def _refill(self) -> bool:
        if not self._input:
            self._input = self._blob.read(self._offset, FEED_BYTES)
            self._offset += len(self._input)
        return bool(self._input)

    def _next_frame(self) -> bool:
        self._input = self._frame.unused_data
        if not self._refill():
            return False
        self._frame = zstd.ZstdDecompressor()
        return True


def pack(data: bytes) -> bytes:
    """Return bytes as one frame."""
    return zstd.compress(data, _PACK_LEVEL)


def unpack(frame: bytes, length: int) -> bytes:
    """Return the bytes of one frame.

    :raises CorruptArchive: when the frame is cut, or has not *length* bytes
    """
    unpacker = zstd.ZstdDecompressor()
    data = _decompress(unpacker, frame, length + 1)
    # The end of a frame may be seen only by the call after the one that returned its last byte.
    data += b"" if unpacker.eof or unpacker.needs_input else _decompress(unpacker, b"", 1)
    if len(data) != length or not unpacker.eof or unpacker.unused_data:
        raise CorruptArchive(f"zstd: a frame does not have {length} bytes")
    return data
