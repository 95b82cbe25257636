"""The fallback to memory: what happens to a blob that is being read when the disk has no room for it.

``StorageFallback._lock`` is innermost, and held for an assignment.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable

from regfs.cache.memory import MemoryBlob
from regfs.cache.storage import ChunkStorage

log = logging.getLogger(__name__)

_DISK_FAILURES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class StorageFallback:
    """Where the chunks of one blob lie now: on disk until that fails, then in memory.

    :ivar current: the storage of now; each transfer writes into the one that it began with, and begins again
        when it is no longer this one
    """

    def __init__(self, storage: ChunkStorage) -> None:
        self.current = storage
        self._left: list[ChunkStorage] = []
        self._lock = threading.Lock()

    @classmethod
    def open(cls, on_disk: Callable[[], ChunkStorage], digest: str, size: int) -> StorageFallback:
        """The storage of a blob: on disk, or at once in memory when that fails."""
        try:
            return cls(on_disk())
        except OSError as error:
            _warn(digest, error)
            return cls(MemoryBlob(digest, size))

    def write(self, storage: ChunkStorage, data: memoryview, offset: int) -> bool:
        """Put bytes in their place in *storage*; False when that is not the current one any more.

        :raises OSError: when they cannot be written for another reason than the disk
        """
        try:
            storage.write(data, offset)
        except OSError as error:
            if error.errno not in _DISK_FAILURES:
                raise
            self._leave(storage, error)
        return storage is self.current

    def _leave(self, storage: ChunkStorage, error: OSError) -> None:
        """Go on in memory. The chunks on disk stay there until there is room again."""
        with self._lock:
            if self.current is not storage:
                return
            self._left.append(storage)
            self.current = MemoryBlob(storage.digest, storage.size)
        _warn(storage.digest, error)
        storage.release_all()

    def close(self) -> None:
        """Let go of the files and the memory."""
        for storage in (self.current, *self._left):
            storage.close()


def _warn(digest: str, error: OSError) -> None:
    log.warning("%s is read uncached: %s", digest, error.strerror)
