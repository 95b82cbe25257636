"""An archive that can be listed and read, whatever its format: what the merge and the views are made of."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

from regfs.archive.compression.formats import Compression, unpacker_of
from regfs.archive.entry import Kind, Segment
from regfs.archive.errors import CorruptArchive, NotSeekable
from regfs.archive.reader import BytesReader, read_exactly
from regfs.archive.unpacked import UnpackedReader

if TYPE_CHECKING:
    from regfs.archive.entry import Entry
    from regfs.archive.index import Index
    from regfs.archive.listing import Listing
    from regfs.archive.pool import Pool
    from regfs.archive.reader import Reader


class Archive(Protocol):
    """Entries, and the bytes of those that are files. Shared by threads."""

    @property
    def listing(self) -> Listing:
        """The entries."""

    def open(self, number: int) -> Reader:
        """Return a reader of a file's bytes, sparse parts expanded.

        :param number: of an entry of kind FILE
        :raises ArchiveError: when they cannot be read; also reads raise it
        """


class TarArchive:
    """A tar, compressed or not, of which there is an index.

    :param blob: the blob as the registry holds it
    :param tar: the uncompressed tar, where it is kept; nothing is read from *blob* then
    """

    def __init__(self, index: Index, blob: Reader, pool: Pool, tar: Reader | None = None) -> None:
        self._index = index
        self._blob = blob
        self._pool = pool
        self._tar = tar

    @property
    def listing(self) -> Listing:
        return self._index.listing

    def open(self, number: int) -> Reader:
        """Return a reader of a file's bytes.

        :raises NotSeekable: when the uncompressed tar is needed for that
        """
        entry = self.listing.entry(number)
        require_file(entry)
        if not entry.size:
            return BytesReader(b"")
        return StoredReader(self._stream(), entry)

    def _stream(self) -> Reader:
        if self._tar is not None:
            return self._tar
        if self._index.compression is Compression.NONE:
            return self._blob
        return self._unpacked()

    def _unpacked(self) -> Reader:
        index = self._index
        if not index.is_seekable:
            raise NotSeekable(f"{index.blob_digest}: too much would be unpacked for each read")
        return UnpackedReader(
            key=index.blob_digest,
            size=index.tar_bytes,
            points=index.points,
            begin=lambda point: unpacker_of(index.compression, self._blob, point, index.window_bytes),
            pool=self._pool,
        )


class StoredReader:
    """Reads a file whose bytes stand in a stream, in one segment or several with zeros between them."""

    def __init__(self, stream: Reader, entry: Entry) -> None:
        self._stream = stream
        self._name = repr(entry.name)
        self._segments = entry.segments if entry.segments is not None else (Segment(0, entry.offset, entry.size),)
        self.size = entry.size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is.

        :raises CorruptArchive: when the stream ends before
        """
        end = min(offset + length, self.size)
        data: list[bytes] = []
        position = offset
        first = bisect_right(self._segments, offset, key=_end)
        for segment in itertools.islice(self._segments, first, None):
            start, stop = max(position, segment.position), min(end, segment.position + segment.length)
            if start >= end:
                break
            data.append(bytes(start - position))
            where = segment.offset + start - segment.position
            data.append(read_exactly(self._stream, where, stop - start, self._name))
            position = stop
        data.append(bytes(max(end - position, 0)))
        return b"".join(data)


def _end(segment: Segment) -> int:
    return segment.position + segment.length


def require_file(entry: Entry) -> None:
    """Raise CorruptArchive when an entry has no bytes of its own."""
    if entry.kind is Kind.HARDLINK:
        raise CorruptArchive(f"{entry.name!r}: a hard link to {entry.link!r}, which the archive does not have")
    if entry.kind is not Kind.FILE:
        raise CorruptArchive(f"{entry.name!r} is not a file")
