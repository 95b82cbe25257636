"""The archives that blobs of a registry are: opened once for all who ask, by an index that is made once and kept.

A layer with a table of contents is read by that. Any other tar is read whole once, and indexed while it streams; from
then on a file in it costs the span of the blob that it lies in. A zip has its directory at its end.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from cachetools import LRUCache

from regfs.archive import index_file
from regfs.archive import zip as zips
from regfs.archive.archive import Archive, TarArchive
from regfs.archive.build import IndexBuilder, unpack_blob
from regfs.archive.errors import ArchiveError, CorruptIndex, LayerPending
from regfs.archive.index import Index
from regfs.archive.pool import Pool
from regfs.archive.reader import DescriptorReader, pieces
from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.views import packed_directory, unpacked
from regfs.archive.toc.archive import open_table
from regfs.archive.verified import VerifiedReader
from regfs.cache.fetcher import Fetcher, Reader
from regfs.cache.indexes import IndexFiles
from regfs.cache.store import BlobStore
from regfs.oci.images import CONFIG_BYTES_MAX, ImageConfig, image_config
from regfs.oci.manifest import Descriptor, Manifest
from regfs.util.single_flight import SingleFlight

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
RootLike = TypeVar("RootLike", bound="Root | Image")

# Layers that are indexed at a time. Each downloads its blob with a window of its own; more only share the same link.
LAYERS_AT_ONCE = 4
# Names held in memory, of all open archives together. A name costs about 100 bytes: 100 MB.
NAMES_MAX = 1_000_000
_ARCHIVES_MAX = 256


class BlobBytes:
    """A blob as :mod:`regfs.archive` reads it. Lets go of its handle when nobody holds it any more."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.size = reader.size
        weakref.finalize(self, reader.close)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on, fewer only at the end."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        view, done = memoryview(buffer), 0
        while done < len(buffer):
            count = self._reader.read_into(view[done:], offset + done)
            if count == 0:
                break
            done += count
        return bytes(view[:done])


class Image:
    """The merged root of an image while its layers are being opened. Answers wait for the layers that decide.

    :param layers: the lowest one first
    :param open_layer: opens one of them
    """

    def __init__(
        self, layers: tuple[Descriptor, ...], open_layer: Callable[[int], Archive], pool: ThreadPoolExecutor
    ) -> None:
        self.layers = layers
        self._root = Root([layer.digest for layer in layers])
        self._open_layer = open_layer
        self._ready = [threading.Event() for _ in layers]
        for number in range(len(layers), 0, -1):  # the top ones first: they decide what is seen
            pool.submit(self._add, number)

    @property
    def pending(self) -> list[int]:
        """The numbers of the layers that are not indexed yet, the lowest one being 1."""
        return self._root.pending

    def ask(self, question: Callable[[Root], Answer]) -> Answer:
        """Return what the root answers, once the layers that it depends on are there.

        :raises ArchiveError: when one of these cannot be read as an archive
        """
        while True:
            try:
                return question(self._root)
            except LayerPending as pending:
                self._ready[pending.number - 1].wait()

    def _add(self, number: int) -> None:
        try:
            self._root.add(number, self._open_layer(number))
        except ArchiveError as error:
            self._root.fail(number, error)
        except Exception as error:  # noqa: BLE001 - every error of a download reaches who asks, whatever it is
            self._root.fail(number, _Unread(error))
        finally:
            self._ready[number - 1].set()


class _Unread(ArchiveError):
    """A layer could not be downloaded."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.__cause__ = error


class Archives:
    """Opens the archives that blobs are. Shared by threads; each archive is opened once for all who want it.

    :param fetcher: brings the blobs
    :param indexes: where indexes are kept
    :param cache: keeps the uncompressed tars of blobs that cannot be read in the middle
    """

    def __init__(self, fetcher: Fetcher, indexes: IndexFiles, cache: BlobStore) -> None:
        self._fetcher = fetcher
        self._indexes = indexes
        self._cache = cache
        self._pool = Pool()
        self._workers = ThreadPoolExecutor(LAYERS_AT_ONCE, "regfs-layers")
        self._flights: SingleFlight[str, Archive] = SingleFlight()
        self._lock = threading.Lock()  # of the three below; innermost
        self._open: LRUCache[str, Archive] = LRUCache(NAMES_MAX, _names_of)
        self._roots: LRUCache[str, Root | Image] = LRUCache(_ARCHIVES_MAX)
        self._configs: LRUCache[str, ImageConfig | None] = LRUCache(_ARCHIVES_MAX)

    def image(self, repository: str, layers: tuple[Descriptor, ...], diff_ids: tuple[str, ...]) -> Image:
        """Return the merged root of an image; its layers are opened meanwhile.

        :param layers: the lowest one first
        :param diff_ids: the digests of their uncompressed tars
        """
        key = "image " + " ".join(layer.digest for layer in layers)

        def made() -> Image:
            return Image(layers, lambda n: self.open(repository, layers[n - 1], diff_ids[n - 1]), self._workers)

        return self._root(key, made)

    def image_config(self, repository: str, manifest: Manifest) -> ImageConfig | None:
        """Return the config of an image; None when the manifest is not that of one.

        :raises RegistryError: when the config's blob could not be downloaded
        """
        config = manifest.config
        if config is None or config.size > CONFIG_BYTES_MAX:
            return None
        with self._lock:
            if manifest.digest in self._configs:
                return self._configs[manifest.digest]
        content = BlobBytes(self._fetcher.open(repository, config))
        found = image_config(manifest, content.read(0, content.size))
        with self._lock:
            self._configs[manifest.digest] = found
        return found

    def unpacked(self, repository: str, blob: Descriptor, number: int = 1) -> Root:
        """Return one archive as it is, markers of a layer among its files.

        :param number: of the layer
        :raises ArchiveError: when it cannot be read as an archive
        """
        return self._root(
            f"unpacked {number} {blob.digest}", lambda: unpacked(self.open(repository, blob), blob.digest, number)
        )

    def directory(self, repository: str, blob: Descriptor, title: str) -> Root:
        """Return a directory that a client packed.

        :param title: of the layer, which the names in the archive begin with
        :raises ArchiveError: when it cannot be read as an archive, or has entries outside of the directory
        """
        return self._root(
            f"packed {title} {blob.digest}",
            lambda: packed_directory(self.open(repository, blob), blob.digest, title),
        )

    def _root(self, key: str, make: Callable[[], RootLike]) -> RootLike:
        with self._lock:
            found = self._roots.get(key)
        if found is None:
            found = make()
            with self._lock:
                found = self._roots.setdefault(key, found)
        return found  # type: ignore[return-value] # a key is of one kind of root

    def open(self, repository: str, blob: Descriptor, diff_id: str | None = None) -> Archive:
        """Return the archive that a blob is.

        :param diff_id: the digest of its uncompressed tar, where an image's config promises it
        :raises ArchiveError: when the blob is none, or is beyond the limits
        :raises RegistryError: when it could not be downloaded
        """
        with self._lock:
            archive = self._open.get(blob.digest)
        if archive is None:
            archive = self._flights.do(blob.digest, lambda: self._opened(repository, blob, diff_id))
        return archive

    def _opened(self, repository: str, blob: Descriptor, diff_id: str | None) -> Archive:
        content = BlobBytes(self._fetcher.open(repository, blob))
        archive = self._by_table(blob, content) or self._by_format(blob, content, diff_id)
        with self._lock, suppress(ValueError):  # one with more names than all together may have is not kept
            self._open[blob.digest] = archive
        return archive

    def _by_table(self, blob: Descriptor, content: BlobBytes) -> Archive | None:
        """The archive by its table of contents; None when it has none, or none that can be used."""
        try:
            return open_table(content, blob.annotations, self._pool)
        except ArchiveError as error:
            log.warning("%s: its table of contents is not used: %s; the whole blob is read", blob.digest, error)
            return None

    def _by_format(self, blob: Descriptor, content: BlobBytes, diff_id: str | None) -> Archive:
        if zips.is_zip(content.read(0, len(zips.MAGIC))):
            return zips.ZipArchive(content, blob.digest, self._pool)
        index = self._kept_index(blob.digest) or self._new_index(blob, content)
        if diff_id is not None:
            index.require_tar_digest(diff_id)
        tar = None if index.is_seekable else self._tar(index, content)
        return TarArchive(index, VerifiedReader(content, index, self._pool), self._pool, tar)

    def _kept_index(self, digest: str) -> Index | None:
        try:
            index = index_file.read(self._indexes.path(digest), digest)
        except CorruptIndex as error:
            log.warning("%s: the index is made again: %s", digest, error)
            self._indexes.remove(digest)
            return None
        except OSError:
            return None
        self._indexes.used(digest)
        return index

    def _new_index(self, blob: Descriptor, content: BlobBytes) -> Index:
        """Read a blob whole and index it. An index that cannot be kept is used all the same."""
        builder = IndexBuilder()
        for piece in pieces(content):
            builder.feed(piece)
        index = builder.finish(blob.digest)
        try:
            index_file.save(index, self._indexes.path(blob.digest))
            self._indexes.make_room()
        except OSError as error:
            log.warning("%s: its index is not kept: %s", blob.digest, error.strerror)
        return index

    def _tar(self, index: Index, content: BlobBytes) -> DescriptorReader | None:
        """The uncompressed tar of a blob that cannot be read in the middle; None when there is no room for it."""
        fd = self._cache.open(index.tar_digest, index.tar_bytes)
        if fd is None:
            try:
                with self._cache.adding(index.tar_digest) as file:
                    for piece in unpack_blob(content):
                        file.write(piece)
            except OSError as error:
                log.warning("%s: its tar is not kept: %s", index.blob_digest, error.strerror)
            fd = self._cache.open(index.tar_digest, index.tar_bytes)
        if fd is None:
            return None
        reader = DescriptorReader(fd)
        weakref.finalize(reader, os.close, fd)
        return reader

    def close(self) -> None:
        """Begin to open no more layers."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _names_of(archive: Archive) -> int:
    return len(archive.listing) + 1
