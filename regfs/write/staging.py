"""A file being written, until the registry has its bytes under its name. It is a content, and knows no registry.

Each file has a directory of the journal (:mod:`regfs.write.entries`), where what the registry does not have stays.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from regfs.oci.target import Target
from regfs.write.content import InOrder, Piece, Snapshot
from regfs.write.entries import Entry

_COPY_BYTES = 1 << 20


class Staged:
    """One file being written: any pattern of writes, hashed on the way where they come in order.

    Shared by the handles that have it open. Every method may be called from any thread.

    :param host: of the registry that it is written to
    :param fd: a descriptor of its bytes, which is closed with it
    """

    def __init__(self, entry: Entry, host: str, target: Target, fd: int) -> None:
        self.target = target
        self._entry = entry
        self._host = host
        self._fd = fd
        self._broken: OSError | None = None  # why a write failed: what is here is not what the writer meant
        self._lock = threading.Lock()
        self._hasher = hashlib.sha256()
        self._hashed: int | None = 0  # bytes from the start that are hashed; None: they were written over since
        self._is_growing = True  # a new file, of which nobody has asked for the digest yet
        self.rewrites = 0  # counts how often bytes that had been written were changed or cut off
        self._version = 0  # counts changes
        self._pushed = 0  # the version that the registry has
        self.size = 0
        self.digest: str | None = None  # of the version that the registry has
        self.mtime_ns = time.time_ns()
        self.sent = 0  # the place in the file up to which bytes went to the registry

    @classmethod
    def new(cls, entry: Entry, host: str, target: Target) -> Staged:
        """A new, empty file.

        :raises OSError: when there is no room for it
        """
        return cls(entry, host, target, entry.open_alone(create=True))

    @classmethod
    def again(cls, entry: Entry, host: str, target: Target) -> Staged:
        """A file that an earlier mount left, to be pushed after all.

        :raises OSError: when it is gone, or another process has taken it up
        """
        file = cls(entry, host, target, entry.open_alone(create=False))
        status = os.fstat(file._fd)
        file.size, file.mtime_ns, file._version, file._is_growing = status.st_size, status.st_mtime_ns, 1, False
        return file

    @property
    def is_dirty(self) -> bool:
        """Whether the registry does not have what is written here."""
        return self._version != self._pushed

    @property
    def is_broken(self) -> bool:
        """Whether a write failed: its program was told so then, and what is here is nothing to keep."""
        return self._broken is not None

    @property
    def version(self) -> int:
        """Counts the changes."""
        return self._version

    @property
    def is_untouched(self) -> bool:
        """Whether the file is as new: nothing written, nothing pushed."""
        return self.size == 0 and self.digest is None

    # Writing

    def touch(self) -> None:
        """Count the file as changed: a new empty file is worth a push."""
        with self._lock:
            self._change()

    def aim(self, target: Target) -> None:
        """Change what the file is meant to be.

        :raises OSError: when that cannot be written down; it is meant to be what it was, then
        """
        with self._lock:
            if self.is_dirty and not self.is_broken:
                self._entry.write_down(self._host, target)
            self.target = target

    def fill(self, read_into: Callable[[memoryview, int], int]) -> None:
        """Take over the bytes of an existing blob; this alone is no change.

        :param read_into: reads at an offset into a buffer and returns how many bytes
        """
        self._is_growing = False  # it is there for a part of it to be written over
        self.rewrites += 1
        buffer = memoryview(bytearray(_COPY_BYTES))
        offset = 0
        while count := read_into(buffer, offset):
            with self._lock:
                self._put(buffer[:count], offset)
            offset += count

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write bytes; returns how many.

        :raises OSError: when the disk is full; what was written before stays
        """
        with self._lock:  # of both: a version is pushed with every byte that it counts
            self._change()
            self._put(memoryview(data), offset)
        return len(data)

    def _put(self, data: memoryview, offset: int) -> None:
        rest, position = data, offset
        while rest:
            try:
                written = os.pwrite(self._fd, rest, position)
            except OSError as error:
                self._broken = error
                self._entry.strike_out()  # it is never what was meant, from here on
                raise
            rest, position = rest[written:], position + written
            self.size = max(self.size, position)
        if self._hashed is not None and offset == self._hashed:
            self._hasher.update(data)
            self._hashed += len(data)
        elif self._hashed is not None and offset < self._hashed:
            self._hashed, self.rewrites = None, self.rewrites + 1

    def truncate(self, size: int) -> None:
        """Cut the file, or lengthen it with zeros."""
        with self._lock:
            self._change()
            os.ftruncate(self._fd, size)
            self.size = size
            cuts_hashed = self._hashed is not None and size < self._hashed
            self.rewrites += cuts_hashed
            if size == 0:
                self._hasher, self._hashed = hashlib.sha256(), 0
                if self.is_broken:
                    self._entry.write_down(self._host, self.target)
                    self._broken = None
            elif cuts_hashed:
                self._hashed = None

    def _change(self) -> None:
        if not self.is_dirty and not self.is_broken:
            self._entry.write_down(self._host, self.target)
        self._version += 1
        self.mtime_ns = time.time_ns()

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read what is written so far."""
        return os.preadv(self._fd, [buffer], offset)

    # What is pushed

    def snapshot(self) -> Snapshot:
        """Hash the bytes as they are now.

        :raises OSError: when a write had failed before
        """
        if self._broken is not None:
            raise OSError(self._broken.errno, f"not published, a write failed: {self._broken.strerror}")
        with self._lock:
            self._is_growing = False
            if self._hashed is None:
                self._hasher, self._hashed = hashlib.sha256(), 0
            while self._hashed < self.size:
                chunk = os.pread(self._fd, min(_COPY_BYTES, self.size - self._hashed), self._hashed)
                self._hasher.update(chunk)
                self._hashed += len(chunk)
            digest = "sha256:" + self._hasher.hexdigest()
            return Snapshot(digest, self.size, self._version, self.body(self.size))

    def is_still(self, snapshot: Snapshot) -> bool:
        """Whether nothing was changed since *snapshot*."""
        return snapshot.version == self._version

    def in_order(self) -> InOrder | None:
        """How far it is written in order; None when it is not a new file, or was not written so."""
        size, rewrites = self._hashed, self.rewrites
        return InOrder(size, rewrites) if self._is_growing and size is not None else None

    def body(self, size: int) -> Piece:
        """The first *size* bytes, to be sent."""
        return Piece(self._fd, 0, size, self._send)

    def _send(self, position: int) -> None:
        self.sent = position

    # Its end

    def clean(self, snapshot: Snapshot) -> None:
        """Note that the registry has the bytes of *snapshot* under its name."""
        with self._lock:
            if snapshot.version < self._pushed:
                return  # somebody else's push, of what was written since, was quicker
            self._pushed, self.digest = snapshot.version, snapshot.digest
            if not self.is_dirty:
                self._entry.strike_out()

    def close(self, adopt: Callable[[str, Path], None] | None = None) -> None:
        """Let go of the file. What the registry does not have stays in the journal, but for what was not all written.

        :param adopt: takes a file over whose bytes the registry has
        """
        if not self.is_dirty or self.is_broken:
            if adopt is not None and self.digest is not None and not self.is_broken:
                adopt(self.digest, self._entry.data)
            self._entry.remove()
        os.close(self._fd)

    def discard(self) -> None:
        """Drop the file: nobody wants its bytes."""
        with self._lock:
            self._pushed, self.digest = self._version, None
        self._entry.remove()
