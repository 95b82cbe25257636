"""A blob on its way to being whole: some of its chunks, on disk or, when that is full, in memory. Knows no registry.

On disk it is two files: the data, sparse, and a map with a header and one byte for each chunk. What holds it together
between processes is the kernel's, so that it ends with a process however that ends: a shared ``flock`` on the data says
that somebody reads it and it stays; an open-file-description lock on a byte of the map says that somebody fetches that
chunk. A chunk's byte is set after its bytes are written, so that a kill between the two costs the chunk and no more.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cachetools import LRUCache

from regfs.util.private import make_directory

CHUNK = 1 << 20  # bytes; random ranges cost the same for 4 KiB as for 1 MiB
MEMORY = 32 << 20  # bytes of one blob that are kept in memory when the disk is full
SMALL = 8 << 20  # bytes; up to here a blob is fetched whole and verified before its first byte is served
_HEADER = struct.Struct("<8sQI12x")  # magic, size, chunk size; byte 0 is also the publisher's lock
_MAGIC = b"regfsmap"
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class SparseBlob:
    """A blob of which some chunks are there, on its way to being whole. Shared with other processes.

    ``claim`` keeps other processes from fetching the same chunks; between threads of one process the download does.

    :param path: of the data; its map is beside it
    :param final: where the whole blob is published
    :param size: bytes
    :param grown: told how many bytes each chunk adds to the disk
    :raises OSError: when there is no room for it
    """

    def __init__(self, path: Path, final: Path, digest: str, size: int, grown: Callable[[int], None]) -> None:
        self.digest = digest
        self.size = size
        self.chunks = -(-size // CHUNK)
        self._path = path
        self._final = final
        self._grown = grown
        self._map_path = path.with_name(path.name + ".map")
        while not self._opened():
            pass

    def _opened(self) -> bool:
        """Open both files; False when somebody removed, or published, them in between."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH)
            self._map_fd = os.open(self._map_path, flags, 0o600)
        except OSError:
            os.close(self.fd)
            raise
        try:
            if self._prepared():
                return True
        except OSError:
            self._close_files()
            raise
        self._close_files()
        return False

    def _prepared(self) -> bool:
        """Give new files their form; False when the names lead to other files now.

        A publisher renames the data before it removes the map, holding the map's lock: whoever opened the old data
        and a new map therefore sees here that the data's name is gone, and leaves the published bytes alone. Files
        that do not fit together, or are of another version, may be in use: they lose their names, not their bytes.
        """
        with self._map_locked():
            if not self._is_ours():
                return False
            header = _HEADER.pack(_MAGIC, self.size, CHUNK)
            length = _HEADER.size + self.chunks
            found = os.pread(self._map_fd, _HEADER.size, 0)
            if found != header and (found or os.fstat(self.fd).st_size):
                self._unlink()
                return False
            if self.size > SMALL:
                os.ftruncate(self.fd, self.size)
            os.posix_fallocate(self._map_fd, 0, length)  # a hole written through mmap on a full disk is a SIGBUS
            os.pwrite(self._map_fd, header, 0)
            self._map = mmap.mmap(self._map_fd, length)
            self._unmark_holes()
            return True

    def _unmark_holes(self) -> None:
        """Take back the marks of chunks that have no bytes: a power cut kept the mark alone, or a kill left the map of
        data that was published."""
        marks = self._map[_HEADER.size :]  # from before looking: others go on writing, bytes first
        chunk = marks.find(1)
        while chunk >= 0:
            hole = self._hole_after(chunk * CHUNK)
            if hole < min((chunk + 1) * CHUNK, self.size):
                self._map[_HEADER.size + chunk] = 0
            chunk = marks.find(1, max(chunk + 1, hole // CHUNK))

    def _hole_after(self, offset: int) -> int:
        try:
            return os.lseek(self.fd, offset, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # past the end of the file
                raise
            return offset

    def _is_ours(self) -> bool:
        """Whether the names still lead to the files that are open here. Asked under the map's lock."""
        return leads_to(self._path, self.fd) and leads_to(self._map_path, self._map_fd)

    def _unlink(self) -> None:
        self._path.unlink(missing_ok=True)
        self._map_path.unlink(missing_ok=True)

    def has(self, chunk: int) -> bool:
        """Whether the chunk is there."""
        return self._map[_HEADER.size + chunk] == 1

    def missing(self, first: int, last: int) -> int | None:
        """The first chunk from *first* up to and with *last* that is not there."""
        found = self._map.find(b"\0", _HEADER.size + first, _HEADER.size + last + 1)
        return None if found < 0 else found - _HEADER.size

    def mark(self, chunk: int) -> None:
        """Say that the chunk's bytes are written."""
        self._map[_HEADER.size + chunk] = 1
        self._grown(min(CHUNK, self.size - chunk * CHUNK))

    def arrived(self) -> int:
        """How many chunks are there."""
        return self._map[_HEADER.size :].count(1)

    def claim(self, chunk: int) -> bool:
        """Keep other processes from fetching a chunk; False while one of them does."""
        return self._locked(fcntl.F_WRLCK, _HEADER.size + chunk, False)

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes in their place.

        :raises OSError: when there is no room
        """
        while data:
            written = os.pwrite(self.fd, data, offset)
            data, offset = data[written:], offset + written

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes that are there; returns how many.

        :raises OSError: EIO when they are not: somebody cut the file short
        """
        count = os.preadv(self.fd, [buffer], offset)
        if count < len(buffer):
            raise OSError(errno.EIO, f"{self._path.name} in the cache was cut short")
        return count

    def release(self, chunk: int) -> None:
        """Give a claim back."""
        self._locked(fcntl.F_UNLCK, _HEADER.size + chunk, False)

    def release_all(self) -> None:
        """Give every claim back."""
        self._locked(fcntl.F_UNLCK, _HEADER.size, False, self.chunks)

    def _locked(self, kind: int, start: int, wait: bool, length: int = 1) -> bool:
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(self._map_fd, command, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    @contextmanager
    def _map_locked(self) -> Iterator[None]:
        """Be the only one who makes, publishes or discards these files. Nothing slow happens in here."""
        self._locked(fcntl.F_WRLCK, 0, True)
        try:
            yield
        finally:
            self._locked(fcntl.F_UNLCK, 0, False)

    def publish(self) -> None:
        """Let the whole, verified blob join the cache, unless another process has done so. Its descriptor goes on
        serving."""
        if self.size > SMALL:
            os.fdatasync(self.fd)  # it has its final size from the start: only this puts its bytes first
        make_directory(self._final.parent)
        with self._map_locked():
            if self._is_ours():
                os.replace(self._path, self._final)
                self._map_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget every byte: they are not the blob's."""
        with self._map_locked():
            self._map[_HEADER.size :] = bytes(self.chunks)
            if self._is_ours():
                self._unlink()
        self._final.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files; what is there stays."""
        self._map.close()
        self._close_files()

    def _close_files(self) -> None:
        os.close(self._map_fd)
        os.close(self.fd)


class MemoryBlob:
    """What :class:`SparseBlob` is, for a disk that is full: the last few chunks, in memory, published nowhere."""

    def __init__(self, digest: str, size: int, keep: int = MEMORY // CHUNK) -> None:
        self.digest = digest
        self.size = size
        self.chunks = -(-size // CHUNK)
        self._kept: LRUCache[int, bytearray] = LRUCache(keep)  # each from its chunk's start, as far as it came
        self._lock = threading.Lock()

    @property
    def holds_all(self) -> bool:
        """Whether it never lets go of a chunk to keep another."""
        return self.chunks <= self._kept.maxsize

    def has(self, chunk: int) -> bool:
        """Whether the chunk is there."""
        with self._lock:
            return chunk in self._kept and len(self._kept[chunk]) == min(CHUNK, self.size - chunk * CHUNK)

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

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes of one chunk in their place; without those before them they are of no use."""
        chunk, start = divmod(offset, CHUNK)
        with self._lock:
            kept = self._kept[chunk] if chunk in self._kept else bytearray()
            if start <= len(kept):
                kept[start : start + len(data)] = data
                self._kept[chunk] = kept

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes that are still there; returns how many."""
        done = 0
        while done < len(buffer):
            chunk, start = divmod(offset + done, CHUNK)
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


def leads_to(path: Path, fd: int) -> bool:
    """Whether a name still leads to the file that is open as *fd*."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
