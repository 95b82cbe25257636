"""The bytes of a compressed tar at any offset, through the pool. Knows no tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regfs.archive.compression.formats import unpacker_of
from regfs.archive.errors import CorruptArchive, NotSeekable

if TYPE_CHECKING:
    from regfs.archive.compression.stream import Unpacker
    from regfs.archive.index import Index
    from regfs.archive.pool import Pool
    from regfs.archive.reader import Reader

# What the kernel reads at once.
BLOCK_BYTES = 128 << 10


class UnpackedReader:
    """Reads the tar within a gzip or zstd blob. Shared by threads.

    :param index: of the blob; it has to be seekable
    :raises NotSeekable: when it is not
    """

    def __init__(self, blob: Reader, index: Index, pool: Pool) -> None:
        if not index.is_seekable:
            raise NotSeekable(f"{index.blob_digest}: too much would be unpacked for each read")
        self._blob = blob
        self._index = index
        self._pool = pool

    @property
    def size(self) -> int:
        return self._index.tar_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is.

        :raises CorruptArchive: when the blob is not the one that was indexed
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        numbers = range(offset // BLOCK_BYTES, -(-end // BLOCK_BYTES))
        start = numbers[0] * BLOCK_BYTES
        return b"".join(map(self._block, numbers))[offset - start : end - start]

    def _block(self, number: int) -> bytes:
        key = (self._index.blob_digest, number)
        block = self._pool.block(key)
        if block is not None:
            return block
        span = self._span(number)
        with self._pool.claim(span):
            # Another thread may have unpacked it in the meantime.
            return self._pool.block(key) or self._unpack(number, span)

    def _span(self, number: int) -> tuple[str, int]:
        return self._index.blob_digest, self._index.points.number_before(number * BLOCK_BYTES)

    def _unpack(self, number: int, span: tuple[str, int]) -> bytes:
        """Unpack blocks up to a number, and keep them all."""
        start = number * BLOCK_BYTES
        unpacker = self._pool.take_unpacker(span)
        if unpacker is None or unpacker.position > start:
            unpacker = self._begin(span[1])
        block = b""
        while unpacker.position <= start:
            here = unpacker.position // BLOCK_BYTES
            block = self._read(unpacker)
            self._pool.keep_block((self._index.blob_digest, here), block)
        self._pool.keep_unpacker(self._span(number + 1), unpacker)
        return block

    def _begin(self, point_number: int) -> Unpacker:
        """Return an unpacker that stands where the first whole block after a point begins."""
        index = self._index
        unpacker = unpacker_of(index.compression, self._blob, index.points[point_number], index.window_bytes)
        unpacker.read(-unpacker.position % BLOCK_BYTES)
        return unpacker

    def _read(self, unpacker: Unpacker) -> bytes:
        length = min(BLOCK_BYTES, self.size - unpacker.position)
        block = unpacker.read(length)
        if len(block) != length:
            raise CorruptArchive(f"{self._index.blob_digest}: the blob ends before its index")
        return block
