"""What a download needs of a registry: the bytes of one blob, in ranges."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Body(Protocol):
    """The bytes that an answer brings.

    :ivar start: offset in the blob of the first one
    :ivar end: offset after the last one
    """

    start: int
    end: int

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes; returns how many, 0 at the end, which may come too early."""


class BlobSource(Protocol):
    """Where a blob's bytes come from; :class:`regfs.registry.http.ranges.MirroredSource` is one."""

    def open(self, start: int, end: int, size: int) -> AbstractContextManager[Body]:
        """Ask for the bytes from *start* up to *end*; the answer may be of the whole blob instead."""

    def blame(self) -> bool:
        """Note that the bytes were not the blob's; returns whether they came from a mirror of the registry."""
