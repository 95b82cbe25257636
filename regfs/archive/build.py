"""Indexes a tar blob in one pass, while it streams by or from a reader."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from regfs.archive.compression.formats import MAGIC_BYTES, Compression, compression_of, scan_of
from regfs.archive.errors import ArchiveLimit, DigestMismatch
from regfs.archive.index import Index
from regfs.archive.limits import DEFAULT_LIMITS, Limits
from regfs.archive.listing import ListingBuilder
from regfs.archive.reader import PIECE_BYTES, Reader, pieces
from regfs.archive.tar.parser import TarParser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regfs.archive.compression.stream import Scan


class IndexBuilder:
    """Takes the bytes of a blob in order, and makes their index. Used by one thread at a time.

    It hashes the blob, so that nobody else needs to.

    :param keep_tar: takes the uncompressed tar in pieces, each valid during the call; for a blob that turns out not
        to be seekable, see :attr:`Index.is_seekable`
    :param span_bytes: between two points, None for the format's own
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        keep_tar: Callable[[memoryview | bytes], None] | None = None,
        span_bytes: int | None = None,
    ) -> None:
        self._limits = limits
        self._keep_tar = keep_tar
        self._span_bytes = span_bytes
        self._entries = ListingBuilder(limits)
        self._tar = TarParser(self._entries.add, limits)
        self._blob_hash, self._tar_hash, self._piece_hash = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._blob_bytes = self._tar_bytes = 0
        self._piece_digests = bytearray()
        self._head = b""
        self._compression = Compression.NONE
        self._scan: Scan | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the blob.

        :raises ArchiveError: when they are not of a tar that regfs reads; do not feed on then
        """
        self._hash(data)
        if self._scan is None:
            data = self._head = self._head + data
            if len(data) < MAGIC_BYTES:
                return
        self._unpack(self._scan or self._begin(), data)

    def finish(self, blob_digest: str | None = None, tar_digest: str | None = None) -> Index:
        """Return the index, once all of the blob was fed.

        :param blob_digest: that the blob has to have
        :param tar_digest: that the uncompressed tar has to have: the DiffID of an image's config
        :raises DigestMismatch: when one of them is another
        :raises CorruptArchive: when the blob is cut
        """
        digest = f"sha256:{self._blob_hash.hexdigest()}"
        if blob_digest not in (None, digest):
            raise DigestMismatch("blob", str(blob_digest), digest)
        if self._scan is None:
            self._unpack(self._begin(), self._head)
        scan = self._scan or self._begin()
        scan.finish()
        self._tar.finish()
        index = self._index(digest, scan)
        if tar_digest is not None:
            index.require_tar_digest(tar_digest)
        return index

    def _index(self, digest: str, scan: Scan) -> Index:
        if self._blob_bytes % PIECE_BYTES:
            self._piece_digests += self._piece_hash.digest()
        return Index(
            blob_digest=digest,
            blob_bytes=self._blob_bytes,
            tar_digest=f"sha256:{self._tar_hash.hexdigest()}",
            tar_bytes=self._tar_bytes,
            compression=self._compression,
            points=scan.points,
            window_bytes=scan.window_bytes,
            piece_digests=bytes(self._piece_digests),
            listing=self._entries.listing,
        )

    def _begin(self) -> Scan:
        self._compression = compression_of(self._head)
        self._scan = scan_of(self._compression, self._span_bytes)
        return self._scan

    def _hash(self, data: bytes) -> None:
        self._blob_hash.update(data)
        view = memoryview(data)
        while view:
            step = min(PIECE_BYTES - self._blob_bytes % PIECE_BYTES, len(view))
            self._piece_hash.update(view[:step])
            self._blob_bytes += step
            view = view[step:]
            if self._blob_bytes % PIECE_BYTES == 0:
                self._piece_digests += self._piece_hash.digest()
                self._piece_hash = hashlib.sha256()

    def _unpack(self, scan: Scan, data: bytes) -> None:
        for unpacked in scan.feed(data):
            self._tar_bytes += len(unpacked)
            if self._tar_bytes > max(self._limits.unpacked_bytes, self._limits.ratio * self._blob_bytes):
                raise ArchiveLimit(f"{self._blob_bytes} bytes unpack to more than {self._tar_bytes}")
            self._tar_hash.update(unpacked)
            self._tar.feed(unpacked)
            if self._keep_tar is not None:
                self._keep_tar(unpacked)


def index_blob(
    blob: Reader,
    limits: Limits = DEFAULT_LIMITS,
    keep_tar: Callable[[memoryview | bytes], None] | None = None,
    blob_digest: str | None = None,
    tar_digest: str | None = None,
) -> Index:
    """Index a blob from a reader. Parameters and errors are those of :class:`IndexBuilder`."""
    builder = IndexBuilder(limits, keep_tar)
    for piece in pieces(blob):
        builder.feed(piece)
    return builder.finish(blob_digest, tar_digest)


def unpack_blob(blob: Reader) -> Iterator[memoryview | bytes]:
    """Yield the uncompressed tar of a blob, in pieces of which each is valid until the next one.

    :raises CorruptArchive: when the blob is corrupt or cut
    """
    scan = scan_of(compression_of(blob.read(0, MAGIC_BYTES)))
    for piece in pieces(blob):
        yield from scan.feed(piece)
    scan.finish()
