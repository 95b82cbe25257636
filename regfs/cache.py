"""Verified blobs on disk, by digest, shared by every mount and process of one user. Knows no registry.

::

    blobs/sha256/ab/abcdef…           whole and verified; appears by rename only
    partial/sha256-abcdef…-SIZE       sparse: some chunks are there
    partial/sha256-abcdef…-SIZE.map   which: a header, then one byte for each chunk
    partial/adding-…                  a whole blob on its way in

What holds it together between processes is the kernel's, so that it ends with a process however that ends: a shared
``flock`` on a data file says that somebody reads it and it stays; an open-file-description lock on a byte of a map
says that somebody fetches that chunk. A chunk's byte is set after its bytes are written, so that a kill between the
two costs the chunk and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import mmap
import os
import shutil
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cachetools import LRUCache

from regfs.registry.exceptions import DXFDigestMismatchError
from regfs.registry.reference import is_digest

log = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes; random ranges cost the same for 4 KiB as for 1 MiB
MEMORY = 32 << 20  # bytes of one blob that are kept in memory when the disk is full
SMALL = 8 << 20  # bytes; up to here a blob is fetched whole and verified before its first byte is served
_COPY = 1 << 20
_ASK_EVERY = 16 << 20  # bytes added between two looks at the disk's free space
_HEADER = struct.Struct("<8sQI12x")  # magic, size, chunk size; byte 0 is also the publisher's lock
_MAGIC = b"regfsmap"
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_KEEP_FREE = 0.05  # of the file system, whatever the limit
_KEEP_FREE_MOST = 1 << 30  # bytes; on a large disk that is nearly full there is still a cache
_LOW_WATER = 0.9  # of the limit, that eviction goes down to


class CacheUnusable(OSError):
    """The cache directory is not safe to use; the text says why and what to do."""


@dataclass(frozen=True)
class Usage:
    """What a cache holds.

    :param blobs: number of whole blobs
    :param partial: number of blobs of which some chunks are there
    :param size: bytes on disk
    :param limit: bytes that it is kept below
    """

    blobs: int
    partial: int
    size: int
    limit: int


class BlobCache:
    """A directory of verified blobs, kept below a limit, the least recently used out first.

    :param directory: where; made when missing, for the user alone
    :param limit: bytes on disk; by default half of what is free or already the cache's
    :raises CacheUnusable: when the directory belongs to, or is open to, somebody else
    """

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        self.directory = directory
        _private_directory(directory)
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        _private_directory(self._blobs)
        _private_directory(self._partial)
        self._lock = threading.Lock()  # of the three numbers below
        self._used = self._measured()
        self._added = 0
        self._unasked = 0  # bytes added since the disk was asked for its free space
        self.limit = (self._free() + self._used) // 2 if limit is None else limit
        self._remove_abandoned()

    def path(self, digest: str) -> Path:
        """Where the whole blob *digest* is, or would be."""
        algorithm, encoded = _split(digest)
        return self._blobs / algorithm / encoded[:2] / encoded

    def open(self, digest: str, size: int | None = None) -> int | None:
        """A descriptor to read the whole blob from, and a mark that it was used; None when it is not here.

        :param size: its size in bytes, where known; a file of another size (a power cut) is not the blob and goes
        """
        path = self.path(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        if size is not None and size >= 0 and os.fstat(fd).st_size != size:
            os.close(fd)
            path.unlink(missing_ok=True)
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(fd)
        return fd

    def read(self, digest: str) -> bytes | None:
        """The content of a small blob, such as a manifest; None when it is not here."""
        fd = self.open(digest)
        if fd is None:
            return None
        with open(fd, "rb") as file:
            return file.read()

    def add(self, digest: str, content: bytes) -> None:
        """Keep a small blob. A disk that is full, or broken, only means that it is not kept."""
        try:
            with self.adding(digest) as file:
                file.write(content)
        except OSError as error:
            log.warning("cache: %s is not kept: %s", digest, error.strerror)

    @contextmanager
    def adding(self, digest: str) -> Iterator[IO[bytes]]:
        """Yield a file to fill; it joins the cache only if its bytes hash to *digest*.

        :raises DXFDigestMismatchError: when they do not; nothing stays behind
        """
        with tempfile.NamedTemporaryFile(dir=self._partial, prefix="adding-", delete=False) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            path = Path(file.name)
            try:
                yield file
                file.flush()
                require_digest(file.fileno(), digest)
                self._publish(path, digest)
            finally:
                path.unlink(missing_ok=True)

    def adopt(self, digest: str, path: Path) -> None:
        """Take over a file whose bytes are those of *digest*. On another file system it is left where it is."""
        try:
            self._publish(path, digest)
        except OSError as error:
            log.debug("cache: %s is not taken over: %s", digest, error.strerror)

    def _publish(self, path: Path, digest: str) -> None:
        final = self.path(digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = os.stat(path).st_blocks * 512
        os.replace(path, final)
        self.grown(size)

    def sparse(self, digest: str, size: int) -> SparseBlob:
        """The blob *digest* of *size* bytes, chunk by chunk.

        :raises OSError: when there is no room for it
        """
        algorithm, encoded = _split(digest)
        return SparseBlob(self, self._partial / f"{algorithm}-{encoded}-{size}", digest, size)

    def remove(self, digest: str) -> None:
        """Forget the blob *digest*."""
        self.path(digest).unlink(missing_ok=True)

    def grown(self, size: int) -> None:
        """Note that *size* bytes were added, and make room when that was too much."""
        with self._lock:
            self._used += size
            self._added += size
            self._unasked += size
            too_much = self._used > self.limit or self._added > self.limit // 20
            if self._unasked >= _ASK_EVERY:  # not at each chunk: it is a system call
                self._unasked = 0
                too_much = too_much or self._free() < self._reserve()
            if too_much:
                self._added = 0
        if too_much:
            self.make_room()

    def make_room(self, target: int | None = None) -> None:
        """Remove the least recently used blobs that nobody reads, until *target* bytes are left.

        :param target: bytes; by default what the limit and the disk's free space call for
        """
        files = sorted(self._files(), key=lambda item: item[1].st_mtime_ns)
        used = sum(status.st_blocks * 512 for _, status in files)
        if target is None:
            target = self._target(used)
        for path, status in files:
            if used <= target:
                break
            if _remove_unused(path):
                used -= status.st_blocks * 512
        with self._lock:
            self._used = used

    def _target(self, used: int) -> int:
        limit = int(self.limit * _LOW_WATER) if used > self.limit else self.limit
        return max(0, min(limit, used + self._free() - self._reserve()))

    def usage(self) -> Usage:
        """What the cache holds now."""
        files = list(self._files())
        size = sum(status.st_blocks * 512 for _, status in files)
        partial = sum(path.parent == self._partial for path, _ in files)
        return Usage(len(files) - partial, partial, size, self.limit)

    def check(self) -> Iterator[str]:
        """Read everything again; remove, and name, each blob whose bytes are not those of its digest."""
        for path in sorted(self._blobs.glob("*/*/*")):
            digest = f"{path.parent.parent.name}:{path.name}"
            try:
                with open(path, "rb") as file:
                    require_digest(file.fileno(), digest)
            except FileNotFoundError:
                continue
            except (DXFDigestMismatchError, ValueError, OSError):
                path.unlink(missing_ok=True)
                yield digest

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for pattern, directory in (("*/*/*", self._blobs), ("*", self._partial)):
            for path in directory.glob(pattern):
                if path.suffix != ".map":
                    with suppress(FileNotFoundError):
                        yield path, path.lstat()

    def _measured(self) -> int:
        return sum(status.st_blocks * 512 for _, status in self._files())

    def _free(self) -> int:
        return shutil.disk_usage(self.directory).free

    def _reserve(self) -> int:
        return min(int(shutil.disk_usage(self.directory).total * _KEEP_FREE), _KEEP_FREE_MOST)

    def _remove_abandoned(self) -> None:
        """Remove what a killed process left on its way in; nobody goes on with it."""
        for path in self._partial.glob("adding-*"):
            _remove_unused(path)
        for path in self._partial.glob("*.map"):
            if not path.with_suffix("").exists():
                path.unlink(missing_ok=True)


class SparseBlob:
    """A blob of which some chunks are there, on its way to being whole. Shared with other processes.

    ``claim`` keeps other processes from fetching the same chunks; between threads of one process the fetcher does.
    """

    def __init__(self, cache: BlobCache, path: Path, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.chunks = -(-size // CHUNK)
        self._cache = cache
        self._path = path
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
        return _leads_to(self._path, self.fd) and _leads_to(self._map_path, self._map_fd)

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
        self._cache.grown(min(CHUNK, self.size - chunk * CHUNK))

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
        final = self._cache.path(self.digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._map_locked():
            if self._is_ours():
                os.replace(self._path, final)
                self._map_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget every byte: they are not the blob's."""
        with self._map_locked():
            self._map[_HEADER.size :] = bytes(self.chunks)
            if self._is_ours():
                self._unlink()
        self._cache.remove(self.digest)

    def close(self) -> None:
        """Let go of the files; what is there stays."""
        self._map.close()
        self._close_files()

    def _close_files(self) -> None:
        os.close(self._map_fd)
        os.close(self.fd)


def _leads_to(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


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


def require_digest(fd: int, digest: str) -> None:
    """Read a file from its start and compare.

    :raises DXFDigestMismatchError: when its bytes are not those of *digest*
    """
    hasher = hashlib.new(_split(digest)[0])
    offset = 0
    while chunk := os.pread(fd, _COPY, offset):
        hasher.update(chunk)
        offset += len(chunk)
    got = f"{hasher.name}:{hasher.hexdigest()}"
    if got != digest:
        raise DXFDigestMismatchError(got, digest)


def _split(digest: str) -> tuple[str, str]:
    """Algorithm and encoded part; what is not a digest never becomes a path."""
    if not is_digest(digest):
        raise ValueError(f"not a digest: {digest!r}")
    algorithm, _, encoded = digest.partition(":")
    return algorithm, encoded


def _remove_unused(path: Path) -> bool:
    """Remove a data file, and its map, unless somebody has it open."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _leads_to(path, fd):
            return False
        path.with_name(path.name + ".map").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _private_directory(path: Path) -> None:
    """Make a directory for the user alone, or make sure that it is one.

    :raises CacheUnusable: when it belongs to somebody else, is a link, or others may enter it
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        log.debug("cache: %s is there", path)
    except OSError as error:
        raise CacheUnusable(error.errno, f"{path}: {error.strerror}; name another with --cache-dir") from None
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CacheUnusable(errno.ELOOP, f"{path} is a link; name where it leads to with --cache-dir")
    if not stat.S_ISDIR(status.st_mode):
        raise CacheUnusable(errno.ENOTDIR, f"{path} is not a directory; name another with --cache-dir")
    if status.st_uid != os.geteuid():
        raise CacheUnusable(errno.EACCES, f"{path} belongs to another user; name your own with --cache-dir")
    if status.st_mode & 0o077:
        raise CacheUnusable(errno.EACCES, f"{path} is open to other users; run: chmod 700 {path}")
