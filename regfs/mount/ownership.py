"""Whose the files of a mount are, and which permissions they have. Knows no adapter."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass

from regfs.tree.attributes import Attributes


@dataclass(frozen=True)
class Stat:
    """What stat(2) says of a file, apart from its size and the time of its bytes.

    :param mode: type and permissions
    :param changed_ns: nanoseconds since the epoch
    """

    mode: int
    links: int
    changed_ns: int


class Ownership:
    """Whose the files are, and what of their modes is masked.

    :param umask: permission bits to take away
    """

    def __init__(self, uid: int, gid: int, umask: int, read_only: bool) -> None:
        self.uid = uid
        self.gid = gid
        self._umask = umask
        self._read_only = read_only
        self._started_ns = time.time_ns()

    def stat(self, attributes: Attributes) -> Stat:
        """Describe a file by its attributes."""
        writable = attributes.writable and not self._read_only
        if attributes.is_directory:
            # A tag's time is known once it was looked into: to tar, that is no change.
            return Stat((stat.S_IFDIR | (0o755 if writable else 0o555)) & ~self._umask, 2, self._started_ns)
        return Stat((stat.S_IFREG | (0o644 if writable else 0o444)) & ~self._umask, 1, attributes.mtime_ns)
