"""A large file's upload while it is still being written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from regfs.registry.api import AHEAD_PIECE, Content, RegistryError

log = logging.getLogger(__name__)


class Begun(Protocol):
    """An upload in pieces that has begun. For one thread at a time."""

    def send(self, content: Content, end: int, piece: int) -> None:
        """Send the bytes of *content* up to *end* that were not sent yet, so many at a time.

        :raises RegistryError: when it could not be done
        """

    def finish(self, content: Content, digest: str) -> None:
        """Send the rest, and make it all the blob *digest*.

        :raises RegistryError: when it could not be done
        """

    def cancel(self) -> None:
        """Let the registry forget what was sent."""


class Ahead:
    """A large file's upload while it is still being written, by a thread of its own. Thread-safe.

    Nothing waits for it but :meth:`finish`; when anything goes wrong with it, the file is pushed as if it had never
    begun.

    :param begin: starts the upload
    """

    def __init__(self, begin: Callable[[], Begun]) -> None:
        self._begin = begin
        self._upload: Begun | None = None
        self._changed = threading.Condition()
        self._busy = False
        self._sent = 0
        self._failed = False

    def claims(self, written: int) -> bool:
        """Whether there is something to send of a file of which so many bytes are written; :meth:`send` must follow."""
        if self._busy or self._failed or written - self._sent < AHEAD_PIECE:
            return False
        with self._changed:
            if self._busy:
                return False
            self._busy = True
            return True

    def send(self, content: Content) -> None:
        """Send the whole pieces of what is written."""
        end = len(content) // AHEAD_PIECE * AHEAD_PIECE
        try:
            if self._upload is None:
                self._upload = self._begin()
            self._upload.send(content, end, AHEAD_PIECE)
        except (RegistryError, KeyError) as error:
            log.info("an upload ahead of close failed: %s", type(error).__name__)
            self._failed = True
        finally:
            with self._changed:
                self._sent, self._busy = end, False
                self._changed.notify_all()

    def finish(self, content: Content, digest: str) -> bool:
        """Send the rest and make it all the blob *digest*; returns whether that was done."""
        self._wait()
        if self._upload is None or self._failed:
            return False
        try:
            self._upload.finish(content, digest)
        except (RegistryError, KeyError) as error:
            log.info("%s: an upload ahead of close failed at its end: %s", digest, type(error).__name__)
            self.cancel()
            return False
        return True

    def cancel(self) -> None:
        """Let the registry forget what was sent: it is not needed, or was written over since."""
        self._failed = True
        self._wait()
        if self._upload is not None:
            self._upload.cancel()

    def _wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
