"""From a digest to bytes: fetched once however many readers ask, verified, kept in the cache.

The fetcher owns the downloads, and a download knows no fetcher: it is asked whether it can still be read.

Locks, outermost first: ``Fetcher._lock``, ``Download._changed``. Neither is held across the network or the disk's data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from regfs.cache.download import Download
from regfs.cache.fallback import StorageFallback
from regfs.cache.reader import BlobReader, DownloadReader, Reader, WholeReader
from regfs.cache.storage import SMALL_BLOB_BYTES
from regfs.cache.store import BlobStore
from regfs.cache.verifier import MirrorMismatch, Mismatches
from regfs.observe.counters import Activity
from regfs.oci.manifest import Descriptor
from regfs.registry.api import Source

__all__ = ["Fetcher", "Reader"]

_AHEAD = 8  # requests ahead of readers at a time, all handles together
_DEMANDED = 4  # requests that a reader waits for at a time


class Fetcher:
    """Hands out readers of blobs.

    :param cache: where the bytes are kept
    :param source: from a repository and a digest, where the bytes come from
    :param strict: fetch and verify every blob whole before any byte of it is served
    :param activity: counts
    """

    def __init__(
        self,
        cache: BlobStore,
        source: Callable[[str, str], Source],
        strict: bool = False,
        activity: Activity | None = None,
    ) -> None:
        self._activity = activity or Activity()
        self._cache = cache
        self._source = source
        self._strict = strict
        self._lock = threading.Lock()
        self._downloads: dict[tuple[str, int], Download] = {}
        self._mismatches = Mismatches()
        self._demanded = ThreadPoolExecutor(_DEMANDED, "regfs-fetch")
        self._ahead = ThreadPoolExecutor(_AHEAD, "regfs-ahead")

    def open(self, repository: str, blob: Descriptor) -> BlobReader:
        """A reader of *blob*; for a small one, or with strict verification, when it has been fetched and verified.

        :raises DigestMismatch: when the registry's bytes are not the blob's
        :raises RegistryError: when they could not be fetched
        """
        try:
            return self._reader(repository, blob)
        except MirrorMismatch:
            return self._reader(repository, blob)  # this time from the registry itself

    def _reader(self, repository: str, blob: Descriptor) -> BlobReader:
        reader = self._opened(repository, blob)
        if isinstance(reader, DownloadReader) and (self._strict or blob.size <= SMALL_BLOB_BYTES):
            try:
                reader.fetch_whole()
            except BaseException:
                reader.close()
                raise
        return reader

    def _opened(self, repository: str, blob: Descriptor) -> BlobReader:
        with self._lock:
            download = self._downloads.get((blob.digest, blob.size))
            if download is not None and download.hold():
                return DownloadReader(download, self._activity)
            fd = self._cache.open(blob.digest, blob.size)
            if fd is None:
                fd = self._embedded(blob)
            if fd is not None:
                return WholeReader(fd, blob.size, self._activity)
            storage = StorageFallback.open(partial(self._cache.sparse, blob.digest, blob.size), blob.digest, blob.size)
            fd = self._cache.open(blob.digest, blob.size)
            if fd is not None:  # another process published it in between
                storage.close()
                return WholeReader(fd, blob.size, self._activity)
            return DownloadReader(self._download(repository, storage), self._activity)

    def _embedded(self, blob: Descriptor) -> int | None:
        """A descriptor of the cache's file of a blob whose manifest has its bytes; None when it has not."""
        content = blob.data()
        if content is None:
            return None
        self._cache.add(blob.digest, content)
        return self._cache.open(blob.digest, blob.size)

    def _download(self, repository: str, storage: StorageFallback) -> Download:
        """Begin a download, which is held once; forget those that nobody holds. Called under the lock."""
        download = Download(
            storage=storage,
            source=self._source(repository, storage.current.digest),
            demanded=self._demanded,
            ahead=self._ahead,
            received=self._activity.received,
            mismatches=self._mismatches,
        )
        download.hold()
        self._downloads = {key: other for key, other in self._downloads.items() if not other.is_closed}
        self._downloads[download.digest, download.size] = download
        return download

    def prefetch(self, repository: str, blob: Descriptor, progress: Callable[[int], object]) -> None:
        """Fetch a blob whole into the cache, and verify it. What is there already is not fetched again.

        :param progress: called with the number of bytes that are there, as they come to be
        :raises: as :meth:`open`
        """
        reader = self.open(repository, blob)
        try:
            reader.fetch_whole(progress)
        finally:
            reader.close()

    def generation(self, digest: str) -> int:
        """How often bytes that were not the blob's have been dropped; a page cache that has some must be, too."""
        return self._mismatches.count(digest)

    def finish(self) -> None:
        """Wait until what was verified has joined the cache."""
        self._demanded.shutdown(wait=True)

    def close(self) -> None:
        """Stop every transfer; whoever waits for one gets an error."""
        with self._lock:
            downloads = list(self._downloads.values())
        for download in downloads:
            download.stop()
        for pool in (self._ahead, self._demanded):
            pool.shutdown(wait=False)  # what has not begun ends at once, and lets go of its download's files
