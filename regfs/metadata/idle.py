"""Readers that are kept for a moment after their use: the next read is likely to be near, and files are not held open.

Knows no archive. ``IdleReaders._lock`` is innermost; readers are opened and closed without it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

IDLE_SECONDS = 1.0


class Closable(Protocol):
    """A reader that has to be closed."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* from *offset* on; returns how many bytes, fewer only at the end."""

    def close(self) -> None:
        """Let go of it."""


class IdleReaders:
    """Keeps readers by a key until they are idle for :data:`IDLE_SECONDS`. Shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[float, str, Closable]] = OrderedDict()  # the longest idle first
        self._timer: threading.Timer | None = None
        self._closed = False

    def take(self, key: str, open_reader: Callable[[], Closable]) -> Closable:
        """Return a reader that nobody else uses; :meth:`put` it back."""
        with self._lock:
            for number, (_, known, reader) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[number]
                    return reader
        return open_reader()

    def put(self, key: str, reader: Closable) -> None:
        """Keep a reader for a moment."""
        with self._lock:
            if not self._closed:
                self._idle[id(reader)] = (time.monotonic(), key, reader)
                self._set_timer()
                return
        reader.close()

    def _set_timer(self) -> None:
        """With the lock held: look again when the first reader may be idle for long enough."""
        if self._timer is None and self._idle:
            self._timer = threading.Timer(IDLE_SECONDS, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        self._close(time.monotonic() - IDLE_SECONDS)

    def _close(self, before: float) -> None:
        with self._lock:
            self._timer = None
            expired = [number for number, (moment, _, _) in self._idle.items() if moment <= before]
            readers = [self._idle.pop(number)[2] for number in expired]
            self._set_timer()
        for reader in readers:
            reader.close()

    def close(self) -> None:
        """Close all of them, and keep none from now on."""
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
        self._close(time.monotonic())


class IdleBytes:
    """Bytes as :mod:`regfs.archive` reads them, by readers that are opened when they are needed.

    :param key: of the readers
    :param size: in bytes
    """

    def __init__(self, readers: IdleReaders, key: str, size: int, open_reader: Callable[[], Closable]) -> None:
        self._readers = readers
        self._key = key
        self._open = open_reader
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on, fewer only at the end."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        reader = self._readers.take(self._key, self._open)
        try:
            done = _fill(reader, memoryview(buffer), offset)
        except BaseException:
            reader.close()
            raise
        self._readers.put(self._key, reader)
        return bytes(buffer[:done])


def _fill(reader: Closable, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        count = reader.read_into(view[done:], offset + done)
        if count == 0:
            break
        done += count
    return done
