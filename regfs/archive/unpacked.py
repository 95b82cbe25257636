"""Bytes of a compressed stream at any offset, through the pool. Knows no archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regfs.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from collections.abc import Callable

    from regfs.archive.compression.stream import Unpacker
    from regfs.archive.points import Point, Points
    from regfs.archive.pool import Pool

# What the kernel reads at once.
BLOCK_BYTES = 128 << 10


class UnpackedReader:
    """Reads a stream from the point before each offset. Shared by threads.

    :param key: of the stream in the pool
    :param size: of the unpacked stream
    :param begin: returns an unpacker that stands at a point
    """

    def __init__(self, key: str, size: int, points: Points, begin: Callable[[Point], Unpacker], pool: Pool) -> None:
        self.size = size
        self._key = key
        self._points = points
        self._begin = begin
        self._pool = pool

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is.

        :raises CorruptArchive: when the stream is corrupt, or ends before its size
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        numbers = range(offset // BLOCK_BYTES, -(-end // BLOCK_BYTES))
        start = numbers[0] * BLOCK_BYTES
        return b"".join(map(self._block, numbers))[offset - start : end - start]

    def _block(self, number: int) -> bytes:
        key = (self._key, number)
        block = self._pool.block(key)
        if block is not None:
            return block
        span = self._span(number)
        with self._pool.claim(span):
            # Another thread may have unpacked it in the meantime.
            return self._pool.block(key) or self._unpack(number, span)

    def _span(self, number: int) -> tuple[str, int]:
        """Return the key of the unpacker that comes to a block next, which ends with the number of a point."""
        return self._key, self._points.number_before(number * BLOCK_BYTES)

    def _unpack(self, number: int, span: tuple[str, int]) -> bytes:
        """Unpack blocks up to a number, and keep them all."""
        start = number * BLOCK_BYTES
        unpacker = self._pool.take_unpacker(span)
        if unpacker is None or unpacker.position > start:
            unpacker = self._begin(self._points[span[1]])
            # The first whole block after the point.
            unpacker.read(-unpacker.position % BLOCK_BYTES)
        block = b""
        while unpacker.position <= start:
            here = unpacker.position // BLOCK_BYTES
            block = self._read(unpacker)
            self._pool.keep_block((self._key, here), block)
        self._pool.keep_unpacker(self._span(number + 1), unpacker)
        return block

    def _read(self, unpacker: Unpacker) -> bytes:
        length = min(BLOCK_BYTES, self.size - unpacker.position)
        block = unpacker.read(length)
        if len(block) != length:
            raise CorruptArchive(f"{self._key}: the stream ends before its size")
        return block
