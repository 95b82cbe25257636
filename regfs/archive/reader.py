"""Bytes at offsets: what this room asks of a blob, and readers made of other readers. Knows no format."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Protocol

from regfs.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1 << 20


class Reader(Protocol):
    """Bytes of known number that can be read at any offset, by several threads at a time."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is."""


class BytesReader:
    """A reader of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class DescriptorReader:
    """A reader of an open file, which stays the caller's to close."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


def read_exactly(reader: Reader, offset: int, length: int, subject: str) -> bytes:
    """Return *length* bytes from *offset* on.

    :param subject: what is read, for the error's text
    :raises CorruptArchive: when the reader ends before
    """
    data = reader.read(offset, length) if offset >= 0 and length >= 0 else b""
    if len(data) != length or offset < 0:
        raise CorruptArchive(f"{subject}: {length} bytes at {offset} are beyond the end")
    return data


def pieces(reader: Reader, start: int = 0, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield all bytes from *start* on, in order.

    :raises CorruptArchive: when the reader ends before its size
    """
    for offset in range(start, reader.size, piece_bytes):
        yield read_exactly(reader, offset, min(piece_bytes, reader.size - offset), "blob")


class NegativeSeek(OSError):
    """A seek before the first byte; libraries expect the error that a real file has then."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, os.strerror(errno.EINVAL))


class ReaderFile(io.RawIOBase):
    """A seekable file object over a reader, for libraries that want one.

    :param read_limit: bytes of one read at most, so that a hostile header cannot make a library ask for more
    """

    def __init__(self, reader: Reader, read_limit: int) -> None:
        super().__init__()
        self._reader = reader
        self._limit = read_limit
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._reader.size}[whence]
        if base + offset < 0:
            raise NegativeSeek
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return up to *size* bytes, all that are left when it is negative.

        :raises CorruptArchive: when that is more than the limit
        """
        left = max(self._reader.size - self._position, 0)
        length = left if size is None or size < 0 else min(size, left)
        if length > self._limit:
            raise CorruptArchive(f"a header asks for {length} bytes at once")
        data = self._reader.read(self._position, length)
        self._position += len(data)
        return data
