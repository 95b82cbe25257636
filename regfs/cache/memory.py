"""Chunk storage in memory, for a disk that is full or broken: the last few chunks of a blob, published nowhere."""

from __future__ import annotations

import threading

from cachetools import LRUCache

from regfs.cache.storage import CHUNK_BYTES, SMALL_BLOB_BYTES

# Of one blob. A blob that is smaller is kept whole.
MEMORY_BYTES = 32 << 20


class MemoryBlob:
    """The last chunks of a blob that were used, each from its start as far as it came.

    :param keep: chunks that are kept
    """

    most_ahead = SMALL_BLOB_BYTES // CHUNK_BYTES

    def __init__(self, digest: str, size: int, keep: int = MEMORY_BYTES // CHUNK_BYTES) -> None:
        self.digest = digest
        self.size = size
        self.chunks = -(-size // CHUNK_BYTES)
        self._kept: LRUCache[int, bytearray] = LRUCache(keep)
        self._lock = threading.Lock()

    @property
    def keeps_all(self) -> bool:
        """Whether it never lets go of a chunk to keep another."""
        return self.chunks <= self._kept.maxsize

    def has(self, chunk: int) -> bool:
        """Whether the chunk is there."""
        with self._lock:
            length = min(CHUNK_BYTES, self.size - chunk * CHUNK_BYTES)
            return chunk in self._kept and len(self._kept[chunk]) == length

    def missing(self, first: int, last: int) -> int | None:
        """The first chunk from *first* up to and with *last* that is not there."""
        return next((chunk for chunk in range(first, last + 1) if not self.has(chunk)), None)

    def mark(self, chunk: int) -> None:
        """The chunk's length says it."""

    def arrived(self) -> int:
        """Nobody else fetches into this memory."""
        return 0

    def claim(self, chunk: int) -> bool:
        """Nobody else can fetch into this memory."""
        return True

    def release(self, chunk: int) -> None:
        """Nothing was claimed."""

    def release_all(self) -> None:
        """Nothing was claimed."""

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes of one chunk in their place; without those before them they are of no use."""
        chunk, start = divmod(offset, CHUNK_BYTES)
        with self._lock:
            kept = self._kept[chunk] if chunk in self._kept else bytearray()
            if start <= len(kept):
                kept[start : start + len(data)] = data
                self._kept[chunk] = kept

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes that are still there; returns how many."""
        done = 0
        while done < len(buffer):
            chunk, start = divmod(offset + done, CHUNK_BYTES)
            with self._lock:
                kept = self._kept.get(chunk, b"")
                piece = kept[start : start + len(buffer) - done]
            if not piece:
                break
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def publish(self) -> None:
        """There is nowhere to publish it."""

    def discard(self) -> None:
        """Forget every byte."""
        with self._lock:
            self._kept.clear()

    def close(self) -> None:
        """Let go of the memory."""
        self.discard()
