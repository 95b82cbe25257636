"""From a digest to bytes: fetched once however many readers ask, verified, kept in the cache.

Locks, outermost first: ``Fetcher._lock``, ``Download._changed``. Neither is held across the network or the disk's data.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from regfs.cache.partial import SMALL, MemoryBlob, SparseBlob
from regfs.cache.read_ahead import Window
from regfs.cache.store import BlobCache
from regfs.cache.transfers import Download, FromMirror, Source
from regfs.observe.counters import Activity
from regfs.oci.manifest import Descriptor

log = logging.getLogger(__name__)

_AHEAD = 8  # requests ahead of readers at a time, all handles together
_DEMANDED = 4  # requests that a reader waits for at a time


class Reader(Protocol):
    """One open handle on a blob."""

    size: int

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* from *offset* on; returns how many bytes, fewer only at the end of the blob."""

    def close(self) -> None:
        """Let go of it."""


class _WholeReader:
    """A blob that is in the cache: no request, no lock but the counter's."""

    def __init__(self, fd: int, size: int, activity: Activity) -> None:
        self._fd = fd
        self.size = size
        self._activity = activity
        activity.opened(cached=True)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        count = os.preadv(self._fd, [buffer], offset)
        self._activity.read_cached(count)
        return count

    def close(self) -> None:
        os.close(self._fd)


class Fetcher:
    """Hands out readers of blobs.

    :param cache: where the bytes are kept
    :param source: from a repository and a digest, where the bytes come from
    :param strict: fetch and verify every blob whole before any byte of it is served
    :param activity: counts
    """

    def __init__(
        self,
        cache: BlobCache,
        source: Callable[[str, str], Source],
        strict: bool = False,
        activity: Activity | None = None,
    ) -> None:
        self._activity = activity or Activity()
        self.received = self._activity.received
        self._cache = cache
        self._source = source
        self._strict = strict
        self._lock = threading.Lock()
        self._downloads: dict[tuple[str, int], Download] = {}
        self._dropped: dict[str, int] = {}
        self.demanded = ThreadPoolExecutor(_DEMANDED, "regfs-fetch")
        self.ahead = ThreadPoolExecutor(_AHEAD, "regfs-ahead")

    def open(self, repository: str, blob: Descriptor) -> Reader:
        """A reader of *blob*; for a small one, or with strict verification, when it has been fetched and verified.

        :raises DXFDigestMismatchError: when the registry's bytes are not the blob's
        :raises requests.RequestException: when they could not be fetched
        """
        try:
            return self._reader(repository, blob)
        except FromMirror:
            return self._reader(repository, blob)  # this time from the registry itself

    def _reader(self, repository: str, blob: Descriptor) -> Reader:
        key = (blob.digest, blob.size)
        with self._lock:
            download = self._downloads.get(key)
            if download is None:
                fd = self._cache.open(blob.digest, blob.size)
                if fd is not None:
                    return _WholeReader(fd, blob.size, self._activity)
                storage = self._storage(blob)
                fd = self._cache.open(blob.digest, blob.size)
                if fd is not None:  # another process published it in between
                    storage.close()
                    return _WholeReader(fd, blob.size, self._activity)
                download = Download(self, storage, self._source(repository, blob.digest))
                self._downloads[key] = download
            download.hold()
        self._activity.opened(cached=False)
        reader = _LazyReader(download)
        if self._strict or blob.size <= SMALL:
            try:
                download.wait_until_whole()
            except BaseException:
                reader.close()
                raise
        return reader

    def prefetch(self, repository: str, blob: Descriptor, progress: Callable[[int], object]) -> None:
        """Fetch a blob whole into the cache, and verify it. What is there already is not fetched again.

        :param progress: called with the number of bytes that are there, as they come to be
        :raises: as :meth:`open`
        """
        reader = self.open(repository, blob)
        try:
            if isinstance(reader, _LazyReader):
                reader.fetch_whole(progress)
            else:
                progress(blob.size)
        finally:
            reader.close()

    def generation(self, digest: str) -> int:
        """How often bytes that were not the blob's have been dropped; a page cache that has some must be, too."""
        return self._dropped.get(digest, 0)

    def _storage(self, blob: Descriptor) -> SparseBlob | MemoryBlob:
        try:
            return self._cache.sparse(blob.digest, blob.size)
        except OSError as error:
            log.warning("%s is read uncached: %s", blob.digest, error.strerror)
            return MemoryBlob(blob.digest, blob.size)

    def ended(self, download: Download) -> bool:
        """Forget a download that nobody holds any more; False when somebody took hold of it just now."""
        with self._lock:
            if download.held or download.closed:
                return False
            download.closed = True
            self._forget(download)
            return True

    def forget(self, download: Download) -> None:
        """Let the next open of the blob begin anew: its bytes have been dropped."""
        with self._lock:
            self._dropped[download.digest] = self._dropped.get(download.digest, 0) + 1
            self._forget(download)

    def _forget(self, download: Download) -> None:
        key = (download.digest, download.size)
        if self._downloads.get(key) is download:
            del self._downloads[key]

    def finish(self) -> None:
        """Wait until what was verified has joined the cache."""
        self.demanded.shutdown(wait=True)

    def close(self) -> None:
        """Stop every transfer; whoever waits for one gets an error."""
        with self._lock:
            downloads = list(self._downloads.values())
        for download in downloads:
            download.stop()
        for pool in (self.ahead, self.demanded):
            pool.shutdown(wait=False)  # what has not begun ends at once, and lets go of its download's files


class _LazyReader:
    """One handle on a blob that is being downloaded."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._window = Window()
        self.size = download.size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        return self._download.read_into(buffer, offset, self._window)

    def fetch_whole(self, progress: Callable[[int], object]) -> None:
        self._download.wait_until_whole(progress)

    def close(self) -> None:
        self._download.drop()
