"""From a blob to the archive that it is: by its table of contents, by an index that is kept, or by reading it once."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from regfs.archive import index_file
from regfs.archive import zip as zips
from regfs.archive.archive import Archive, TarArchive
from regfs.archive.build import IndexBuilder, unpack_blob
from regfs.archive.errors import ArchiveError, CorruptIndex, NotSeekable
from regfs.archive.index import Index
from regfs.archive.pool import Pool
from regfs.archive.reader import pieces
from regfs.archive.toc.archive import open_table
from regfs.archive.verified import VerifiedReader
from regfs.cache.fetcher import Fetcher
from regfs.cache.indexes import IndexFiles
from regfs.cache.store import BlobStore
from regfs.metadata.idle import Closable, IdleBytes, IdleReaders
from regfs.observe.counters import Activity
from regfs.oci.manifest import Descriptor
from regfs.util.memory import return_freed_blocks

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OpenArchive:
    """An archive, and what is known of the tar that it is.

    :param index: None of what is no tar, or was opened by its table of contents
    """

    archive: Archive
    index: Index | None = None

    def __len__(self) -> int:
        """How many names it has, and one for itself."""
        return len(self.archive.listing) + 1

    def require_tar_digest(self, digest: str | None) -> None:
        """Compare the tar with the DiffID that an image's config promises, if it does.

        A table of contents is verified by the manifest, and the bytes by the table.

        :raises DigestMismatch: when it is another
        """
        if digest is not None and self.index is not None:
            self.index.require_tar_digest(digest)


class ArchiveOpener:
    """Makes archives of blobs. Shared by threads.

    :param fetcher: brings the blobs
    :param indexes: where indexes are kept
    :param cache: keeps the uncompressed tars of blobs that cannot be read in the middle
    :param activity: counts
    """

    def __init__(self, fetcher: Fetcher, indexes: IndexFiles, cache: BlobStore, activity: Activity) -> None:
        self._fetcher = fetcher
        self._indexes = indexes
        self._cache = cache
        self._activity = activity
        self._pool = Pool()
        self._readers = IdleReaders()
        self._unpacking = threading.Lock()  # one tar at a time is unpacked; it is held across the disk's data
        self._ended = False

    def content(self, repository: str, blob: Descriptor) -> IdleBytes:
        """Return the bytes of a blob. They come when they are read, with the errors of that."""
        return IdleBytes(self._readers, blob.digest, blob.size, partial(self._fetcher.open, repository, blob))

    def open(self, repository: str, blob: Descriptor) -> OpenArchive:
        """Return the archive that a blob is.

        :raises ArchiveError: when the blob is none, or is beyond the limits
        :raises RegistryError: when it could not be downloaded
        :raises OSError: ECANCELED when the mount ends meanwhile
        """
        return_freed_blocks()
        content = self.content(repository, blob)
        index = self._kept_index(blob.digest)
        if index is not None:
            return self._tar_archive(index, content)
        reading = _Reading(content)
        with self._activity.indexing(blob.digest, blob.size, lambda: reading.done):
            by_table = self._by_table(blob, content)
            if by_table is not None:
                return OpenArchive(by_table)
            if zips.is_zip(content.read(0, len(zips.MAGIC))):
                return OpenArchive(zips.ZipArchive(content, blob.digest, self._pool))
            return self._tar_archive(self._new_index(blob, reading), content)

    def _tar_archive(self, index: Index, content: IdleBytes) -> OpenArchive:
        tar = None if index.is_seekable else self._tar(index, content)
        return OpenArchive(TarArchive(index, VerifiedReader(content, index, self._pool), self._pool, tar), index)

    def _by_table(self, blob: Descriptor, content: IdleBytes) -> Archive | None:
        """The archive by its table of contents; None when it has none, or none that can be used."""
        try:
            return open_table(content, blob.annotations, self._pool)
        except ArchiveError as error:
            log.warning("%s: its table of contents is not used: %s; regfs reads the whole layer", blob.digest, error)
            return None

    def _kept_index(self, digest: str) -> Index | None:
        try:
            index = index_file.read(self._indexes.path(digest), digest)
        except CorruptIndex as error:
            log.warning("%s: its index cannot be used: %s; regfs makes it again", digest, error)
            self._indexes.remove(digest)
            return None
        except OSError:
            return None
        self._indexes.used(digest)
        return index

    def _new_index(self, blob: Descriptor, reading: _Reading) -> Index:
        """Read a blob whole and index it. An index that cannot be kept is used all the same."""
        builder = IndexBuilder()
        for piece in reading.pieces():
            self._require_running()
            builder.feed(piece)
        index = replace(builder.finish(_sha256(blob.digest)), blob_digest=blob.digest)
        try:
            index_file.save(index, self._indexes.path(blob.digest))
            self._indexes.make_room()
        except OSError as error:
            log.warning("%s: its index is not kept: %s; the next mount makes it again", blob.digest, error.strerror)
        return index

    def _require_running(self) -> None:
        if self._ended:
            raise OSError(errno.ECANCELED, "the mount ends")

    def _tar(self, index: Index, content: IdleBytes) -> IdleBytes:
        """The uncompressed tar of a blob that cannot be read in the middle. It is unpacked when it is first read."""
        key = f"tar of {index.blob_digest}"
        return IdleBytes(self._readers, key, index.tar_bytes, lambda: self._open_tar(index, content))

    def _open_tar(self, index: Index, content: IdleBytes) -> Closable:
        fd = self._cache.open(index.tar_digest, index.tar_bytes)
        if fd is None:
            with self._unpacking:
                fd = self._cache.open(index.tar_digest, index.tar_bytes) or self._unpacked_tar(index, content)
        return FileReader(fd)

    def _unpacked_tar(self, index: Index, content: IdleBytes) -> int:
        try:
            with self._cache.adding(index.tar_digest) as file:
                for piece in unpack_blob(content):
                    self._require_running()
                    file.write(piece)
        except OSError as error:
            raise OSError(error.errno, f"no room to unpack {index.blob_digest}: {error.strerror}") from None
        fd = self._cache.open(index.tar_digest, index.tar_bytes)
        if fd is None:
            raise NotSeekable(f"{index.blob_digest}: its tar of {index.tar_bytes} bytes does not stay in the cache")
        return fd

    def close(self) -> None:
        """Stop what is being opened, and let go of all files."""
        self._ended = True
        self._readers.close()


class _Reading:
    """A blob that is read from its start to its end.

    :ivar done: bytes of it that were read
    """

    def __init__(self, content: IdleBytes) -> None:
        self._content = content
        self.done = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes, in order."""
        for piece in pieces(self._content):
            yield piece
            self.done += len(piece)


class FileReader:
    """Reads a file, and closes it in the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return os.preadv(self._fd, [buffer], offset)

    def close(self) -> None:
        os.close(self._fd)


def _sha256(digest: str) -> str | None:
    """The digest, if it is of the algorithm that an index is made with; the fetcher verifies the blob by any."""
    return digest if digest.startswith("sha256:") else None
