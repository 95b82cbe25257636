"""Where the indexes of archive blobs lie: a file for each blob, beside the cache, kept when the blob itself goes.

An index is about a hundredth of its blob and lets one file of the blob be read without the rest. So indexes have a
limit of their own, and eviction of blobs does not touch them. What is in a file is :mod:`regfs.archive.index_file`'s.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from regfs.oci.reference import is_digest
from regfs.util.private import private_directory

INDEXES_BYTES_MAX = 2 << 30
_LOW_WATER = 0.9  # of the limit, that eviction goes down to


class IndexFiles:
    """A directory of index files, shared by every process of one user. Files appear by rename only.

    :param cache_directory: of the cache; the directory is made when it is first used
    :param limit_bytes: of all index files together
    """

    def __init__(self, cache_directory: Path, limit_bytes: int = INDEXES_BYTES_MAX) -> None:
        self._directory = cache_directory / "indexes"
        self._limit = limit_bytes

    def path(self, digest: str) -> Path:
        """Return where the index of a blob is, or would be.

        :raises OSError: when there can be no such directory
        """
        if not is_digest(digest):
            raise ValueError(f"not a digest: {digest!r}")
        private_directory(self._directory, "name another with --cache-dir")
        return self._directory / digest.replace(":", "-")

    def used(self, digest: str) -> None:
        """Note that an index was used: it goes later than those that were not."""
        with suppress(OSError):
            os.utime(self.path(digest))

    def remove(self, digest: str) -> None:
        """Forget the index of a blob."""
        self.path(digest).unlink(missing_ok=True)

    def make_room(self) -> None:
        """Remove the least recently used indexes when all together are over the limit."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        size = sum(status.st_size for _, status in files)
        if size <= self._limit:
            return
        for path, status in files:
            if size <= self._limit * _LOW_WATER:
                return
            path.unlink(missing_ok=True)
            size -= status.st_size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):
                found.append((path, path.lstat()))
        return found
