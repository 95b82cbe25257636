"""The archives that blobs of a registry are: opened once for all who ask, by an index that is made once and kept.

A layer with a table of contents is read by that. Any other tar is read whole once, and indexed while it streams; from
then on a file in it costs the span of the blob that it lies in. A zip has its directory at its end.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from cachetools import LRUCache, TTLCache

from regfs.archive.archive import Archive
from regfs.archive.errors import ArchiveError
from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.views import packed_directory, unpacked
from regfs.cache.fetcher import Fetcher
from regfs.metadata.image_root import ImageRoot
from regfs.metadata.opening import ArchiveOpener, OpenArchive
from regfs.oci.images import CONFIG_BYTES_MAX, ImageConfig, image_config
from regfs.oci.manifest import Descriptor, Manifest
from regfs.util.single_flight import SingleFlight

Answer = TypeVar("Answer")
AnyRoot = TypeVar("AnyRoot", Root, ImageRoot)

# Layers that are indexed at a time. Each downloads its blob with a window of its own; more only share the same link.
LAYERS_AT_ONCE = 4
# Entries held in memory: of all open archives together, and of one image. An entry costs about 300 bytes: 300 MB.
ENTRIES_MAX = 1_000_000
# What cannot be read as an archive is not tried again for so long: a listing asks for each of its names.
FAILURE_SECONDS = 30.0
_CONFIGS_MAX = 1000
_FAILURES_MAX = 1000


class Archives:
    """Opens the archives that blobs are. Shared by threads; each archive is opened once for all who want it.

    :param fetcher: brings the blobs
    :param opener: makes an archive of a blob
    """

    def __init__(self, fetcher: Fetcher, opener: ArchiveOpener) -> None:
        self._fetcher = fetcher
        self._opener = opener
        self._workers = ThreadPoolExecutor(LAYERS_AT_ONCE, "regfs-layers")
        self._archives: SingleFlight[str, OpenArchive] = SingleFlight()
        self._flights: SingleFlight[str, Root | ImageRoot] = SingleFlight()
        self._lock = threading.Lock()  # of the four below; innermost
        self._open: LRUCache[str, OpenArchive] = LRUCache(ENTRIES_MAX, len)
        self._roots: OrderedDict[str, Root | ImageRoot] = OrderedDict()  # the one used least recently first
        self._configs: LRUCache[str, ImageConfig | None] = LRUCache(_CONFIGS_MAX)
        self._failures: TTLCache[str, ArchiveError] = TTLCache(_FAILURES_MAX, FAILURE_SECONDS)

    def image(self, repository: str, layers: tuple[Descriptor, ...], diff_ids: tuple[str, ...]) -> ImageRoot:
        """Return the merged root of an image; its layers are opened meanwhile.

        :param layers: the lowest one first
        :param diff_ids: the digests of their uncompressed tars
        """

        def made() -> ImageRoot:
            def opened(number: int) -> Archive:
                return self.open(repository, layers[number - 1], diff_ids[number - 1])

            return ImageRoot([layer.digest for layer in layers], ENTRIES_MAX, opened, self._submit)

        return self._root(_key_of_image(layers, diff_ids), made)

    def open_image(self, layers: tuple[Descriptor, ...], diff_ids: tuple[str, ...]) -> ImageRoot | None:
        """Return the same if it was asked for before. Its layers are not opened for this."""
        with self._lock:
            return self._roots.get(_key_of_image(layers, diff_ids))  # type: ignore[return-value] # as in _root

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
        found = image_config(manifest, self._opener.content(repository, config).read(0, config.size))
        with self._lock:
            self._configs[manifest.digest] = found
        return found

    def unpacked(self, repository: str, blob: Descriptor, number: int = 1) -> Root:
        """Return one archive as it is, markers of a layer among its files.

        :param number: of the layer
        :raises ArchiveError: when it cannot be read as an archive
        """

        def made() -> Root:
            return unpacked(self.open(repository, blob), blob.digest, number)

        return self._root(f"unpacked {number} {blob.digest}", made)

    def directory(self, repository: str, blob: Descriptor, title: str) -> Root:
        """Return a directory that a client packed.

        :param title: of the layer, which the names in the archive begin with
        :raises ArchiveError: when it cannot be read as an archive, or has entries outside of the directory
        """

        def made() -> Root:
            return packed_directory(self.open(repository, blob), blob.digest, title)

        return self._root(f"packed {title} {blob.digest}", made)

    def _root(self, key: str, make: Callable[[], AnyRoot]) -> AnyRoot:
        with self._lock:
            found = self._roots.get(key)
            if found is not None:
                self._roots.move_to_end(key)
        if found is None:
            found = self._flights.do(key, lambda: self._made(key, make))
        return found  # type: ignore[return-value] # a key is of one kind of root

    def _made(self, key: str, make: Callable[[], Root | ImageRoot]) -> Root | ImageRoot:
        found = self._unless_failed(key, make)
        with self._lock:
            self._roots[key] = found
            while len(self._roots) > 1 and self._entry_count() > ENTRIES_MAX:
                self._roots.popitem(last=False)
        return found

    def _entry_count(self) -> int:
        """With the lock held: how many entries all roots have. Those of an image become more as it is indexed."""
        return sum(root.entry_count + 1 for root in self._roots.values())

    def _unless_failed(self, key: str, make: Callable[[], Answer]) -> Answer:
        with self._lock:
            failure = self._failures.get(key)
        if failure is not None:
            raise failure.with_traceback(None)
        try:
            return make()
        except ArchiveError as error:
            with self._lock:
                self._failures[key] = error
            raise

    def open(self, repository: str, blob: Descriptor, diff_id: str | None = None) -> Archive:
        """Return the archive that a blob is.

        :param diff_id: the digest of its uncompressed tar, where an image's config promises it
        :raises ArchiveError: when the blob is none, or is beyond the limits
        :raises RegistryError: when it could not be downloaded
        """
        with self._lock:
            found = self._open.get(blob.digest)
        if found is None:
            found = self._archives.do(blob.digest, lambda: self._opened(repository, blob))
        found.require_tar_digest(diff_id)
        return found.archive

    def _opened(self, repository: str, blob: Descriptor) -> OpenArchive:
        found = self._unless_failed(blob.digest, lambda: self._opener.open(repository, blob))
        with self._lock, suppress(ValueError):
            self._open[blob.digest] = found
        return found

    def _submit(self, task: Callable[[], None]) -> Future[None]:
        try:
            return self._workers.submit(task)
        except RuntimeError:
            raise OSError(errno.ECANCELED, "the mount ends") from None

    def close(self) -> None:
        """Stop what is being opened; whoever waits for it gets an error."""
        self._opener.close()
        self._workers.shutdown(wait=False, cancel_futures=True)


def _key_of_image(layers: tuple[Descriptor, ...], diff_ids: tuple[str, ...]) -> str:
    return " ".join(("image", *(layer.digest for layer in layers), *diff_ids))
