"""Where the chunks of a blob lie on their way to being whole (port C), whatever that place is made of.

Implementations: :class:`regfs.cache.sparse.SparseBlob` on disk, :class:`regfs.cache.memory.MemoryBlob` without one.
Knows no registry, no reader and no thread.
"""

from __future__ import annotations

from typing import Protocol

# A range of 4 KiB costs a registry the same as one of 1 MiB.
CHUNK_BYTES = 1 << 20

# Up to here a blob is fetched whole, and its digest verified, before its first byte is served.
SMALL_BLOB_BYTES = 8 << 20

# How far ahead of a reader chunks are asked for, at most.
WINDOW_CHUNKS = 64


class ChunkStorage(Protocol):
    """Some chunks of one blob. Everything may be called from any thread.

    :ivar digest: of the whole blob
    :ivar size: of the whole blob, in bytes
    :ivar chunks: how many chunks the whole blob has
    :ivar most_ahead: chunks to ask for ahead of a reader, at most
    """

    digest: str
    size: int
    chunks: int
    most_ahead: int

    @property
    def keeps_all(self) -> bool:
        """Whether a chunk that is there stays there."""

    def has(self, chunk: int) -> bool:
        """Whether the chunk is there."""

    def missing(self, first: int, last: int) -> int | None:
        """The first chunk from *first* up to and with *last* that is not there."""

    def arrived(self) -> int:
        """How many chunks are there, whichever process brought them."""

    def claim(self, chunk: int) -> bool:
        """Keep other processes from fetching a chunk; False while one of them does."""

    def release(self, chunk: int) -> None:
        """Give a claim back."""

    def release_all(self) -> None:
        """Give every claim back."""

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes of one chunk in their place.

        :raises OSError: when there is no room
        """

    def mark(self, chunk: int) -> None:
        """Say that all bytes of the chunk are written."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes that were written, into *buffer*; returns how many, fewer when the storage let go of some.

        :raises OSError: EIO when bytes that have to be there are not
        """

    def publish(self) -> None:
        """Let the whole, verified blob join the cache.

        :raises OSError: when it cannot
        """

    def discard(self) -> None:
        """Forget every byte: they are not the blob's."""

    def close(self) -> None:
        """Let go of files and memory."""
