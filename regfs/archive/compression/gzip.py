"""gzip with points between its blocks. Source: RFC 1951, RFC 1952, zlib's examples/zran.c for the idea.

A scan stops at the end of the first block after each span of bytes. An unpacker is the standard library's: a raw
``decompressobj`` primed with the window, and with as many bits of empty blocks as bring it to the point's bit.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING

from regfs.archive.compression.libz import INPUT_BYTES, OUTPUT_BYTES, Inflate
from regfs.archive.errors import CorruptArchive
from regfs.archive.points import WINDOW_BYTES, Point, Points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regfs.archive.reader import Reader

# A point each 4 MiB, measured with Debian's /usr: 0.9 % of the blob, and 5 ms and 0.9 MiB read for a file in the
# middle. A point each 1 MiB is 3.4 % of the blob.
SPAN_BYTES = 4 << 20
FEED_BYTES = 64 << 10
_RAW, _GZIP = -15, 15 + 16
_TRAILER_BYTES = 8
# zlib's state, the window, and the input that is not used up.
_MEMORY_BYTES = (16 << 10) + WINDOW_BYTES + FEED_BYTES


class GzipScan:
    """Unpacks gzip members one after the other, and notes a point after each span.

    :param span_bytes: of unpacked bytes, or of the blob, between two points
    """

    def __init__(self, span_bytes: int = SPAN_BYTES) -> None:
        self.points = Points()
        self.window_bytes = WINDOW_BYTES
        self._span = span_bytes
        self._inflate = Inflate()
        self._packed = self._unpacked = 0
        self._next_packed = self._next_unpacked = 0
        self._between_members = True
        self._padding = False

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Take a piece and yield what is unpacked from it."""
        for start in range(0, len(data), INPUT_BYTES):
            yield from self._feed(bytes(data[start : start + INPUT_BYTES]))

    def finish(self) -> None:
        """Say that no piece is left."""
        if not self._between_members or not self.points:
            raise CorruptArchive("gzip: the stream is cut")

    def _feed(self, data: bytes) -> Iterator[memoryview]:
        self._inflate.give(data)
        while self._inflate.input_bytes:
            if self._between_members and not self._begin_member():
                return
            yield from self._run()

    def _begin_member(self) -> bool:
        """Begin with a member; False when zeros are left, which tapes and some tools pad with."""
        rest = self._inflate.rest()
        self._padding = self._padding or (bool(self.points) and rest[0] == 0)
        if self._padding:
            if rest.strip(b"\0"):
                raise CorruptArchive("gzip: something else follows the stream")
            return False
        if self._unpacked >= self._next_unpacked or self._packed >= self._next_packed:
            self._note(Point(self._unpacked, self._packed))
        self._between_members = False
        return True

    def _run(self) -> Iterator[memoryview]:
        """Unpack once, up to a point that is due or through the input."""
        inflate, before = self._inflate, self._inflate.input_bytes
        due = self._unpacked >= self._next_unpacked or self._packed >= self._next_packed
        output_bytes = OUTPUT_BYTES if due else min(OUTPUT_BYTES, self._next_unpacked - self._unpacked)
        output = inflate.run(output_bytes, to_block=due)
        self._packed += before - inflate.input_bytes
        self._unpacked += len(output)
        if due and inflate.at_block:
            self._note(Point(self._unpacked, self._packed, inflate.unused_bits, inflate.window()))
        if output:
            yield output
        if inflate.ended:
            self._between_members = True
            inflate.next_member()

    def _note(self, point: Point) -> None:
        self.points.add(point)
        self._next_unpacked = point.unpacked + self._span
        self._next_packed = point.packed + self._span


class GzipUnpacker:
    """Unpacks gzip from a point on, through the ends of members."""

    def __init__(self, blob: Reader, point: Point) -> None:
        self.position = point.unpacked
        self.memory_bytes = _MEMORY_BYTES
        self._blob = blob
        self._offset = point.packed
        self._input = b""
        self._is_raw = point.window is not None
        self._stream = zlib.decompressobj(_RAW, zdict=point.window) if point.window else zlib.decompressobj(_GZIP)
        if point.bits:
            self._prime(point)

    def read(self, length: int) -> bytes:
        """Return the next bytes: *length* of them, fewer only at the stream's end."""
        output: list[bytes] = []
        left = length
        while left and (not self._stream.eof or self._next_member()):
            data = self._unpack(self._input, left)
            output.append(data)
            left -= len(data)
            if not (data or self._input or self._stream.eof or self._refill()):
                raise CorruptArchive("gzip: the stream is cut")
        self.position += length - left
        return b"".join(output)

    def _unpack(self, data: bytes, length: int) -> bytes:
        try:
            unpacked = self._stream.decompress(data, length)
        except zlib.error as error:
            raise CorruptArchive(f"gzip: {error}") from None
        self._input = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        return unpacked

    def _prime(self, point: Point) -> None:
        """Bring the stream to the point's bit, which lies in the byte before."""
        byte = self._blob.read(point.packed - 1, 1)
        if not byte or self._unpack(_blocks_to_bit(8 - point.bits, byte[0]), 1):
            raise CorruptArchive("gzip: the index does not belong to the blob")

    def _refill(self) -> bool:
        data = self._blob.read(self._offset, FEED_BYTES)
        self._offset += len(data)
        self._input += data
        return bool(data)

    def _next_member(self) -> bool:
        """Go on with the member after the one that ended; False when there is none."""
        trailer = _TRAILER_BYTES if self._is_raw else 0
        while len(self._input) <= trailer and self._refill():
            pass
        self._input, self._is_raw = self._input[trailer:], False
        if not self._input.strip(b"\0"):
            return False
        self._stream = zlib.decompressobj(_GZIP)
        return True


@functools.cache
def _blocks_to_bit(bit: int, byte: int) -> bytes:
    """Return blocks that unpack to nothing, and end before a bit of their last byte.

    An empty block of fixed codes has 10 bits; the one of dynamic codes has 93, for what is odd. To shift the whole
    stream instead would break stored blocks, which are aligned to bytes.

    :param bit: of the last byte, 1 to 7
    :param byte: the last byte's bits from *bit* on
    """
    value, length = (_EMPTY_DYNAMIC, 93) if bit % 2 else (0, 0)
    while length % 8 != bit:
        value |= _EMPTY_FIXED << length
        length += 10
    value |= (byte >> bit) << length
    return value.to_bytes(-(-length // 8), "little")


def _empty_dynamic_block() -> int:
    """Return the bits of an empty block with dynamic codes: 93 of them, the first one lowest.

    Its code lengths are 256 zeros, a one for the end of the block, and a zero for distances. They are written with
    the codes 0 for zero, 10 for one, 11 for a run of zeros. Source: RFC 1951, 3.2.7.
    """
    lengths_order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    code_lengths = {0: 1, 1: 2, 18: 2}
    run_138, run_118 = (0b11, 2), (0b11, 2)
    fields = [(0, 1), (2, 2), (0, 5), (0, 5), (len(lengths_order) - 4, 4)]
    fields += [(code_lengths.get(symbol, 0), 3) for symbol in lengths_order]
    fields += [run_138, (138 - 11, 7), run_118, (118 - 11, 7), (0b01, 2), (0, 1), (0, 1)]
    value = position = 0
    for field, bits in fields:
        value |= field << position
        position += bits
    return value


_EMPTY_FIXED = 0b10
_EMPTY_DYNAMIC = _empty_dynamic_block()
