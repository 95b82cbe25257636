"""Open files as Python knows them: one that is read, one that is written. Knows no paths and no fsspec.

Reading is lazy and verified, through the cache. Closing a written file pushes it; what the push failed with is raised,
and the bytes stay in the journal then.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12

    from regfs.cache.fetcher import Reader
    from regfs.write.staging import Staged

# What is read ahead for a program that reads lines or few bytes at a time. A read of more goes to the cache at once.
_BUFFER_BYTES = 16 << 10


class RawReader(io.RawIOBase):
    """The bytes of one file at one moment.

    A fork reads the same bytes through a session of its own: the threads that fetch are not in it.

    :param open_reader: opens a reader of those bytes in this process
    :param path: for messages
    :param digest: of the bytes, where they are a blob
    """

    def __init__(self, open_reader: Callable[[], Reader], path: str, digest: str | None = None) -> None:
        self.digest = digest
        self._open_reader = open_reader
        self._reader = open_reader()
        self._pid = os.getpid()
        self._offset = 0
        self._path = path
        self.size = self._reader.size
        self.on_close: Callable[[], object] = lambda: None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it.

        :raises ValueError: before the start
        """
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("seek before the start of the file")
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return the place."""
        return self._offset

    def readinto(self, buffer: Buffer) -> int:
        """Fill *buffer*; returns how many bytes, fewer only at the end.

        :raises OSError: when they could not be fetched, or are not those of the digest
        """
        count = self.read_at(memoryview(buffer).cast("B"), self._offset)
        self._offset += count
        return count

    def read_at(self, buffer: memoryview, offset: int) -> int:
        """As :meth:`readinto` from *offset* on. May be called from several threads at once."""
        from regfs.library.errors import raising_os_errors

        with raising_os_errors(self._path):
            if self._pid != os.getpid():
                self._reader, self._pid = self._open_reader(), os.getpid()
            return self._reader.read_into(buffer, offset)

    def close(self) -> None:
        """Let go of the bytes."""
        if self.closed:
            return
        super().close()
        if self._pid == os.getpid():
            self._reader.close()
        self.on_close()


class ReadStream(io.BufferedReader):
    """A file that is read.

    :ivar size: bytes
    """

    raw: RawReader

    def __init__(self, raw: RawReader) -> None:
        super().__init__(raw, _BUFFER_BYTES)
        self.size = raw.size


class WriteStream(io.RawIOBase):
    """A file that is written, in any order; it is in the registry when it has been closed without an error.

    :param publish: pushes the bytes and names them
    :param let_go: called when it is closed, published or not
    :param path: for messages
    :param deferred: whether *publish* only pushes the bytes, and :meth:`end` follows when they have their name
    """

    def __init__(
        self,
        staged: Staged,
        publish: Callable[[Staged], None],
        let_go: Callable[[Staged], None],
        path: str,
        deferred: bool = False,
    ) -> None:
        self.staged = staged
        self.path = path
        self.deferred = deferred
        self.on_close: Callable[[], object] = lambda: None
        self._publish = publish
        self._let_go = let_go
        self._pid = os.getpid()
        self._offset = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self.staged.size

    def readable(self) -> bool:
        """Return True: of what is written so far."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it.

        :raises ValueError: before the start
        """
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("seek before the start of the file")
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return the place."""
        return self._offset

    def readinto(self, buffer: Buffer) -> int:
        """Fill *buffer* with what is written so far; returns how many bytes."""
        count = self.staged.read_into(memoryview(buffer).cast("B"), self._offset)
        self._offset += count
        return count

    def write(self, data: Buffer) -> int:
        """Write all bytes; returns how many.

        :raises OSError: when the disk of the journal is full
        """
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        count = self.staged.write(memoryview(data).cast("B"), self._offset)
        self._offset += count
        return count

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, or lengthen it with zeros; returns its size."""
        self.staged.truncate(self._offset if size is None else size)
        return self.size

    def close(self) -> None:
        """Push the bytes and name them.

        :raises OSError: when the registry did not take them; they stay in the journal
        """
        if self.closed:
            return
        super().close()
        if self._pid != os.getpid():
            return  # a fork has a copy of the stream; the file is its parent's
        from regfs.library.errors import raising_os_errors

        try:
            with raising_os_errors(self.path):
                self._publish(self.staged)
        finally:
            if not self.deferred:
                self.end(keep=True)

    def end(self, keep: bool) -> None:
        """Let go of the bytes. The stream is closed then.

        :param keep: whether those that the registry does not have stay in the journal
        """
        super().close()
        if not keep:
            self.staged.discard()
        self._let_go(self.staged)
        self.on_close()
