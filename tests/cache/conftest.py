"""Caches, small disks that fill up, and processes that share one."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regfs.cache.sparse import SparseBlob
from regfs.cache.storage import CHUNK_BYTES
from regfs.cache.store import BlobStore
from regfs.oci.manifest import digest_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a cache is."""
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> BlobStore:
    """An empty cache."""
    return BlobStore(directory)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many bytes; returns the directory that a cache can be in."""
    mounted = []

    def make(size: int) -> Path:
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "regfs-test", path], check=True)
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


def fill(directory: Path, leave: int = 0) -> Path:
    """Fill a disk up, but for so many bytes; returns the file that takes the room."""
    ballast = directory / "ballast"
    room = os.statvfs(directory)
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, room.f_bavail * room.f_bsize - leave))
    return ballast


def put_chunk(sparse: SparseBlob, content: bytes, chunk: int) -> None:
    """Write a chunk of *content* and say so."""
    start = chunk * CHUNK_BYTES
    sparse.write(memoryview(content)[start : start + CHUNK_BYTES], start)
    sparse.mark(chunk)


def keep(cache: BlobStore, content: bytes, used_at: float | None = None) -> str:
    """Add a blob; returns its digest.

    :param used_at: when it was last used, in seconds since the epoch
    """
    digest = digest_of(content)
    cache.add(digest, content)
    if used_at is not None:
        os.utime(cache.path(digest), (used_at, used_at))
    return digest


def digests(cache: BlobStore) -> set[str]:
    """The whole blobs that a cache has."""
    return {f"sha256:{path.name}" for path in (cache.directory / "blobs").glob("*/*/*")}


def leftovers(cache: BlobStore) -> list[str]:
    """Everything in a cache that is not a whole blob."""
    return sorted(path.name for path in (cache.directory / "partial").iterdir())


def sha256(content: bytes) -> str:
    """The digest as a worker prints it."""
    return hashlib.sha256(content).hexdigest()
