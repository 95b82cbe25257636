"""A layer with a table of contents as an archive: chunks are fetched, unpacked and verified one by one."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import TYPE_CHECKING

from regfs.archive.archive import require_file
from regfs.archive.compression.formats import Compression, unpacker_of
from regfs.archive.errors import DigestMismatch, UnsupportedArchive
from regfs.archive.limits import DEFAULT_LIMITS, Limits
from regfs.archive.points import Point
from regfs.archive.toc import estargz, zstd_chunked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regfs.archive.listing import Listing
    from regfs.archive.pool import Pool
    from regfs.archive.reader import Reader
    from regfs.archive.toc.table import Chunk, Table


def open_table(
    blob: Reader, annotations: Mapping[str, str], pool: Pool, limits: Limits = DEFAULT_LIMITS
) -> TableArchive | None:
    """Return a layer by its table of contents, None when its annotations name no table.

    :param annotations: of the layer's descriptor, in a manifest that is verified
    :raises ArchiveError: when the table cannot be used; the layer may still be indexed as a whole
    """
    digest = annotations.get(estargz.DIGEST_ANNOTATION)
    position = annotations.get(zstd_chunked.POSITION_ANNOTATION)
    checksum = annotations.get(zstd_chunked.CHECKSUM_ANNOTATION)
    if digest and position:
        raise UnsupportedArchive("a layer with two tables of contents")
    if digest:
        return TableArchive(blob, estargz.read_table(blob, digest, limits), Compression.GZIP, pool)
    if position and checksum:
        return TableArchive(blob, zstd_chunked.read_table(blob, position, checksum, limits), Compression.ZSTD, pool)
    return None


class TableArchive:
    """A layer by its table of contents.

    :param compression: of its chunks
    """

    def __init__(self, blob: Reader, table: Table, compression: Compression, pool: Pool) -> None:
        self._blob = blob
        self._table = table
        self._compression = compression
        self._pool = pool

    @property
    def listing(self) -> Listing:
        return self._table.listing

    def open(self, number: int) -> Reader:
        """Return a reader of a file's bytes, each of which belongs to a chunk that was verified."""
        entry = self.listing.entry(number)
        require_file(entry)
        return _ChunkedReader(self, range(entry.offset, self._table.chunk_ends[number]), entry.size)

    def chunk_number(self, chunks: range, position: int) -> int:
        """Return the number of the chunk, of those of a file, that has a position in the file."""
        return bisect_right(self._table.chunks.positions, position, chunks.start, chunks.stop) - 1

    def chunk(self, number: int, offset: int, end: int) -> bytes:
        """Return bytes of a chunk, from an offset in its file up to another.

        :raises DigestMismatch: when the chunk is not the one of the table
        """
        chunk = self._table.chunks[number]
        start, stop = max(offset - chunk.position, 0), min(end - chunk.position, chunk.length)
        if chunk.offset is None:
            return bytes(stop - start)
        key = ("chunk", self._table.digest, number)
        return self._pool.block_or_make(key, lambda: self._unpack(chunk))[start:stop]

    def _unpack(self, chunk: Chunk) -> bytes:
        unpacker = unpacker_of(self._compression, self._blob, Point(0, chunk.offset or 0), window_bytes=0)
        unpacker.read(chunk.inner)
        data = unpacker.read(chunk.length)
        digest = hashlib.sha256(data).digest()
        if digest != chunk.digest:
            raise DigestMismatch("chunk", f"sha256:{chunk.digest.hex()}", f"sha256:{digest.hex()}")
        return data


class _ChunkedReader:
    """Reads a file chunk by chunk.

    :param chunks: their numbers
    """

    def __init__(self, archive: TableArchive, chunks: range, size: int) -> None:
        self.size = size
        self._archive = archive
        self._chunks = chunks

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first, last = (self._archive.chunk_number(self._chunks, position) for position in (offset, end - 1))
        return b"".join(self._archive.chunk(number, offset, end) for number in range(first, last + 1))
