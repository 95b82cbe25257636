"""Whose the files of a mount are, and which permissions they have. Knows no adapter."""

from __future__ import annotations

import time
from dataclasses import dataclass

from regfs.tree.attributes import Attributes


@dataclass(frozen=True)
class Stat:
    """What stat(2) says of a file, apart from its size and the time of its bytes.

    :param mode: type and permissions
    :param changed_ns: nanoseconds since the epoch
    :param device: number of the device that it is
    """

    mode: int
    links: int
    uid: int
    gid: int
    changed_ns: int
    device: int = 0


class Ownership:
    """Whose the files are, and what of their modes is masked.

    :param umask: permission bits to take away
    """

    def __init__(self, uid: int, gid: int, umask: int, read_only: bool) -> None:
        self._uid = uid
        self._gid = gid
        self._umask = umask
        self._read_only = read_only
        self._started_ns = time.time_ns()

    def stat(self, attributes: Attributes) -> Stat:
        """Describe a file by its attributes."""
        has_own = attributes.mode is not None
        # The time of a tag is known once it was looked into: to tar, that is no change of it.
        changed_ns = attributes.mtime_ns if has_own or not attributes.is_directory else self._started_ns
        return Stat(
            attributes.kind.value | self._permissions(attributes),
            attributes.nlink or (2 if attributes.is_directory else 1),
            self._uid if attributes.uid is None else attributes.uid,
            self._gid if attributes.gid is None else attributes.gid,
            changed_ns,
            attributes.rdev,
        )

    def _permissions(self, attributes: Attributes) -> int:
        """Those of its own, which no umask changes, else those of every file of the mount."""
        if attributes.mode is not None:
            return attributes.mode
        writable = attributes.writable and not self._read_only
        everybody, nobody = (0o755, 0o555) if attributes.is_directory else (0o644, 0o444)
        return (everybody if writable else nobody) & ~self._umask
