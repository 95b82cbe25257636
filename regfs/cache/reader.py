"""Readers: one open handle on a blob, which is whole in the cache or on its way into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from regfs.cache.download import Download
from regfs.cache.read_ahead import ReadAhead
from regfs.observe.counters import Activity


class Reader(Protocol):
    """One open handle on a blob.

    :ivar size: of the blob, in bytes
    :ivar backing: descriptor of the file that has all the bytes, verified, if there is one
    """

    size: int
    backing: int | None

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* from *offset* on; returns how many bytes, fewer only at the end of the blob."""

    def close(self) -> None:
        """Let go of it."""


class BlobReader(Reader, Protocol):
    """A reader that can wait for all of its blob."""

    def fetch_whole(self, progress: Callable[[int], object] = lambda count: None) -> None:
        """Return when the whole blob is there, and verified.

        :param progress: called with the number of bytes that are there, as they come to be
        """


class WholeReader:
    """A handle on a blob that is in the cache: no request, no lock but the counter's.

    :param fd: of the blob's file; closed with the reader
    """

    def __init__(self, fd: int, size: int, activity: Activity) -> None:
        self._fd = fd
        self.backing: int | None = fd
        self.size = size
        self._activity = activity
        activity.opened(cached=True)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        count = os.preadv(self._fd, [buffer], offset)
        self._activity.read_cached(count)
        return count

    def fetch_whole(self, progress: Callable[[int], object] = lambda count: None) -> None:
        progress(self.size)

    def close(self) -> None:
        os.close(self._fd)


class DownloadReader:
    """A handle on a blob that is on its way.

    :param download: held by this reader; let go of with :meth:`close`
    """

    def __init__(self, download: Download, activity: Activity) -> None:
        self._download = download
        self._read_ahead = ReadAhead()
        self.backing: int | None = None
        self.size = download.size
        activity.opened(cached=False)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        end = max(offset, min(offset + len(buffer), self.size))
        buffer = buffer[: end - offset]
        while True:
            storage = self._download.wait_for(offset, end, self._read_ahead)
            if storage.read_into(buffer, offset) == len(buffer):
                return len(buffer)

    def fetch_whole(self, progress: Callable[[int], object] = lambda count: None) -> None:
        self._download.wait_until_whole(progress)

    def close(self) -> None:
        self._download.drop()
