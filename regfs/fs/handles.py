"""The table of what is open. Its lock is innermost; nothing is called while it is held."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass

from regfs.tree.attributes import Attributes
from regfs.tree.node import ContentId, Stored
from regfs.write.open_files import Writing

ReadInto = Callable[[memoryview, int], int]


@dataclass(eq=False)
class Handle:
    """An open file: one that is only read, or one that is being written.

    :param read_into: fills a buffer from an offset on
    :param close: lets go of what is read
    :param attributes: at the open; None of a file being written, as they change
    :param content_id: equal for two handles only if they read the same bytes
    :param stored: what the registry has of it
    :param writing: the file being written
    :param writes: whether it was opened for writing
    :param closes_first: whether its program closes a descriptor, of which it has a duplicate, before it writes
    """

    read_into: ReadInto
    close: Callable[[], None] | None = None
    attributes: Attributes | None = None
    content_id: ContentId = ()
    stored: Stored | None = None
    writing: Writing | None = None
    writes: bool = False
    closes_first: bool = False


class HandleTable:
    """The open files by their numbers. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, Handle] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._open)

    def add(self, handle: Handle) -> int:
        """Return the number of a new handle."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._open[number] = handle
            return number

    def get(self, number: int) -> Handle:
        """Return an open handle.

        :raises OSError: EBADF
        """
        with self._lock:
            handle = self._open.get(number)
        if handle is None:
            raise OSError(errno.EBADF, "not an open handle")
        return handle

    def written(self, number: int) -> Writing:
        """Return the file that a handle writes.

        :raises OSError: EBADF
        """
        handle = self.get(number)
        if not handle.writes or handle.writing is None:
            raise OSError(errno.EBADF, "not open for writing")
        return handle.writing

    def remove(self, number: int) -> Handle:
        """Forget a handle and return it."""
        with self._lock:
            return self._open.pop(number)
