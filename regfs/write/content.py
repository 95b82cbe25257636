"""What can be pushed: bytes of known length that hash to a digest. Knows no registry, and not what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from regfs.oci.manifest import digest_of
from regfs.registry.api import RegistryError

_COPY_BYTES = 1 << 20


class CutShort(RegistryError):
    """There are fewer bytes than were to be sent. Nothing waits for them then, and nothing tries again."""


class Piece:
    """The bytes of an open file from *start* up to *end*, as a request's body; its position is its own.

    :param sent: told the place in the file up to which bytes were taken
    """

    def __init__(self, fd: int, start: int, end: int, sent: Callable[[int], object] = lambda position: None) -> None:
        self._sent = sent
        self._fd = fd
        self._start = start
        self._end = end
        self._offset = start

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def seek(self, offset: int) -> None:
        """Go to a place, counted from the start of the piece."""
        self._offset = self._start + offset

    def read(self, size: int = _COPY_BYTES) -> bytes:
        """The next bytes. A caller that asks for few at a time is given many: the syscalls are what costs."""
        chunk = os.pread(self._fd, min(max(size, _COPY_BYTES), self._end - self._offset), self._offset)
        self._offset += len(chunk)
        self._sent(self._offset)
        if not chunk and self._offset < self._end:
            self.cut_short()
        return chunk

    def cut_short(self) -> None:
        """The file ends before the piece does."""
        raise CutShort("the file was cut short while it was sent")

    def piece(self, start: int, end: int) -> Piece:
        """The bytes from *start* up to *end*, counted from the start of this piece."""
        return Piece(self._fd, self._start + start, self._start + end, self._sent)


@dataclass(frozen=True)
class Snapshot:
    """The bytes of a content at one moment.

    :param size: in bytes
    :param version: counts the changes of the content up to then
    :param body: where the bytes are read; of a file that is written meanwhile it may give others
    """

    digest: str
    size: int
    version: int
    body: Piece | bytes


class Content(Protocol):
    """What can be pushed."""

    def snapshot(self) -> Snapshot:
        """Hash the bytes as they are now.

        :raises OSError: when they cannot be read, or are not to be pushed
        """

    def is_still(self, snapshot: Snapshot) -> bool:
        """Whether nothing was changed since *snapshot*."""


@dataclass(frozen=True)
class Fixed:
    """Bytes that are in memory."""

    content: bytes

    def snapshot(self) -> Snapshot:
        """Hash them."""
        return Snapshot(digest_of(self.content), len(self.content), 0, self.content)

    def is_still(self, snapshot: Snapshot) -> bool:
        """Whether nothing was changed: always."""
        return True


@dataclass(frozen=True)
class InOrder:
    """How far a file was written in order, from its start.

    :param size: in bytes; those bytes stay as they are as long as *rewrites* does
    :param rewrites: counts how often bytes that had been written were changed or cut off
    """

    size: int
    rewrites: int


class Growing(Content, Protocol):
    """A content that can be sent while it is being written."""

    @property
    def rewrites(self) -> int:
        """How often bytes that had been written were changed or cut off."""

    def in_order(self) -> InOrder | None:
        """How far it is written in order; None when it is not a new file, or was not written so."""

    def body(self, size: int) -> Piece:
        """The first *size* bytes, to be sent."""
