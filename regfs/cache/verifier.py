"""Verification: the chunks of a blob are hashed in order, as they come, and the blob is judged at its end.

Bytes that are not the blob's are dropped. ``Mismatches._lock`` is innermost, and held for an addition.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter

from regfs.cache.fallback import StorageFallback
from regfs.cache.storage import CHUNK_BYTES
from regfs.registry.api import DigestMismatch, Source

log = logging.getLogger(__name__)


class MirrorMismatch(DigestMismatch):
    """The bytes that were not the blob's came from a mirror: the registry itself may have the right ones."""


class Mismatches:
    """How often the bytes of each digest were not its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, digest: str) -> None:
        """Count once more."""
        with self._lock:
            self._counts[digest] += 1

    def count(self, digest: str) -> int:
        """How often so far."""
        return self._counts[digest]


class Verifier:
    """Hashes one blob behind a frontier that moves over its chunks, one thread at a time.

    :param storage: where the chunks are
    :param source: is blamed for bytes that are not the blob's
    :param mismatches: counts them
    :param changed: the download's lock; who waits for the verdict is woken
    :ivar verified: whether all bytes are the blob's
    :ivar failure: the error, when they are not
    """

    def __init__(
        self, *, storage: StorageFallback, source: Source, mismatches: Mismatches, changed: threading.Condition
    ) -> None:
        self.verified = False
        self.failure: DigestMismatch | None = None
        self._storage = storage
        self._source = source
        self._mismatches = mismatches
        self._changed = changed
        self._digest, self._size = storage.current.digest, storage.current.size
        self._chunks = storage.current.chunks
        self._hasher = hashlib.new(self._digest.partition(":")[0])
        self._buffer = memoryview(bytearray(min(CHUNK_BYTES, self._size)))  # for a chunk that is read again
        self._hashed = 0  # chunks
        self._hashing = False

    def can_finish(self) -> bool:
        """Whether every chunk that was not hashed yet is there. Memory may have let go of one before its turn."""
        return self._storage.current.missing(self._hashed + self._hashing, self._chunks - 1) is None

    def hash(self, fresh: int = -1, buffer: memoryview | None = None) -> None:
        """Hash the chunks that are there and judge after the last one. Not called under the download's lock.

        :param fresh: a chunk whose bytes are still in *buffer*
        """
        while self._begin():
            hashed = False
            try:
                hashed = self._hash_next(buffer if self._hashed == fresh else None)
            finally:
                with self._changed:
                    self._hashed += hashed
                    self._hashing = False
            if not hashed:
                return

    def _begin(self) -> bool:
        """Become the thread that hashes the next chunk, if it is there."""
        with self._changed:
            if self._hashing or self.verified or self.failure is not None:
                return False
            if self._hashed == self._chunks:
                self._judge()
                return False
            self._hashing = self._storage.current.has(self._hashed)
            return self._hashing

    def _hash_next(self, buffer: memoryview | None) -> bool:
        """Hash the chunk at the frontier; False when memory has let go of it."""
        start = self._hashed * CHUNK_BYTES
        length = min(CHUNK_BYTES, self._size - start)
        if buffer is None:
            buffer = self._buffer
            if self._storage.current.read_into(buffer[:length], start) != length:
                return False
        self._hasher.update(buffer[:length])
        return True

    def _judge(self) -> None:
        """Compare. Called under the lock, once, when every byte has been hashed."""
        got = f"{self._hasher.name}:{self._hasher.hexdigest()}"
        if got == self._digest:
            self.verified = True
        else:
            kind = MirrorMismatch if self._source.blame() else DigestMismatch
            self._mismatches.add(self._digest)
            self.failure = kind(got, self._digest)
            log.error("the registry sent bytes of digest %s for %s; they are dropped", got, self._digest)
            self._storage.current.discard()
        self._changed.notify_all()
