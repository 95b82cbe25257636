"""Verified blobs on disk, by digest, shared by every mount and process of one user. Knows no registry.

::

    blobs/sha256/ab/abcdef…           whole and verified; appears by rename only
    partial/sha256-abcdef…-SIZE       sparse: some chunks are there
    partial/sha256-abcdef…-SIZE.map   which: a header, then one byte for each chunk
    partial/adding-…                  a whole blob on its way in

A shared ``flock`` on a data file says that somebody reads it, and it stays; the kernel takes it back when a process
ends, however that ends. What is in ``partial`` is :mod:`regfs.cache.sparse`'s.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from regfs.cache.sparse import SparseBlob, leads_to
from regfs.oci.reference import is_digest
from regfs.registry.api import DigestMismatch
from regfs.util.private import make_directory, private_directory

log = logging.getLogger(__name__)

_OTHERWISE = "name another with --cache-dir"
_COPY = 1 << 20
_ASK_EVERY = 16 << 20  # bytes added between two looks at the disk's free space
_KEEP_FREE = 0.05  # of the file system, whatever the limit
_KEEP_FREE_MOST = 1 << 30  # bytes; on a large disk that is nearly full there is still a cache
_LOW_WATER = 0.9  # of the limit, that eviction goes down to


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


class BlobStore:
    """A directory of verified blobs, kept below a limit, the least recently used out first.

    :param directory: where; made when missing, for the user alone
    :param limit: bytes on disk; by default half of what is free or already the cache's
    :raises NotPrivate: when the directory belongs to, or is open to, somebody else
    """

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        self.directory = directory
        private_directory(directory, _OTHERWISE)
        self._blobs = directory / "blobs"
        self._partial = directory / "partial"
        private_directory(self._blobs, _OTHERWISE)
        private_directory(self._partial, _OTHERWISE)
        self._limit = limit
        self._lock = threading.Lock()  # of the three numbers below
        self._used: int | None = None  # bytes on disk; None until something is added
        self._added = 0
        self._unasked = 0  # bytes added since the disk was asked for its free space
        self._remove_abandoned()

    @property
    def limit(self) -> int:
        """Bytes that it is kept below. The default is found out when it is needed: it means looking at every file."""
        if self._limit is None:
            self._limit = (self._free() + (self._measured() if self._used is None else self._used)) // 2
        return self._limit

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

        :raises DigestMismatch: when they do not; nothing stays behind
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
        make_directory(final.parent)
        size = os.stat(path).st_blocks * 512
        os.replace(path, final)
        self.grown(size)

    def sparse(self, digest: str, size: int) -> SparseBlob:
        """The blob *digest* of *size* bytes, chunk by chunk.

        :raises OSError: when there is no room for it
        """
        algorithm, encoded = _split(digest)
        return SparseBlob(self._partial / f"{algorithm}-{encoded}-{size}", self.path(digest), digest, size, self.grown)

    def remove(self, digest: str) -> None:
        """Forget the blob *digest*."""
        self.path(digest).unlink(missing_ok=True)

    def grown(self, size: int) -> None:
        """Note that *size* bytes were added, and make room when that was too much."""
        first = self._used is None
        if first:
            self._used = self._measured()  # with the bytes that were added
        limit = self.limit
        with self._lock:
            self._used = (self._used or 0) + (0 if first else size)
            self._added += size
            self._unasked += size
            too_much = self._used > limit or self._added > limit // 20
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
            except (DigestMismatch, ValueError, OSError):
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


def require_digest(fd: int, digest: str) -> None:
    """Read a file from its start and compare.

    :raises DigestMismatch: when its bytes are not those of *digest*
    """
    hasher = hashlib.new(_split(digest)[0])
    offset = 0
    while chunk := os.pread(fd, _COPY, offset):
        hasher.update(chunk)
        offset += len(chunk)
    got = f"{hasher.name}:{hasher.hexdigest()}"
    if got != digest:
        raise DigestMismatch(got, digest)


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
        if not leads_to(path, fd):
            return False
        path.with_name(path.name + ".map").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
