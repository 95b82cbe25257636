"""Files that are about to be written: from the bytes that a name stood for to the file that is written over them.

A node's bytes never change, so a file that is written over them is another node. Opening for writing the node that the
kernel knows therefore makes that file, holds it, and answers ESTALE: the kernel looks the path up again, finds the new
node, and opens that; the handle that was held is its handle. Whoever has the old node open keeps its bytes and size.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass

from regfs.fs.errnos import errors_as_errno
from regfs.fs.filesystem import Filesystem
from regfs.mount.kernel.nodes import Node
from regfs.mount.kernel.protocol import Changes
from regfs.mount.kernel.verbs import stale

log = logging.getLogger(__name__)

_HELD_SECONDS = 5.0  # the kernel comes back at once, unless its program was killed


@dataclass(frozen=True)
class _Held:
    handle: int
    timer: threading.Timer


class Writers:
    """Handles for writing that were opened, and wait for the kernel to come back by another node."""

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], _Held] = {}

    def hold(self, path: str, process: int, handle: int) -> None:
        """Keep a handle for a process that will ask for it once more; without that, for a short time."""
        timer = threading.Timer(_HELD_SECONDS, self._expired, (path, process, handle))
        timer.daemon = True
        with self._lock:
            before = self._held.pop((path, process), None)
            self._held[(path, process)] = _Held(handle, timer)
        timer.start()
        if before is not None:
            before.timer.cancel()
            self._release(path, before.handle)

    def claim(self, path: str, process: int) -> int | None:
        """The handle that was held for a process, if there is one; it is the caller's now."""
        if not self._held:
            return None
        with self._lock:
            held = self._held.pop((path, process), None)
        if held is None:
            return None
        held.timer.cancel()
        return held.handle

    def _expired(self, path: str, process: int, handle: int) -> None:
        with self._lock:
            held = self._held.get((path, process))
            if held is None or held.handle != handle:
                return
            del self._held[(path, process)]
        self._release(path, handle)

    def _release(self, path: str, handle: int) -> None:
        try:
            with errors_as_errno("release", path):
                self._filesystem.release(handle)
        except OSError as error:  # it was logged, and nobody waits for it
            log.debug("%s: %s", path, error)

    def truncate(self, node: Node, process: int, wanted: Changes) -> None:
        """Cut or lengthen a file. When nobody has it open for writing it is pushed at once.

        :raises OSError: ESTALE when the file that is written over the node's bytes is another node
        """
        path = node.path
        if wanted.handle is not None:
            self._filesystem.truncate(path, wanted.size, wanted.handle)
            return
        held = self.claim(path, process)
        if held is None and node.is_immutable:
            self.hold(path, process, self._filesystem.open(path, os.O_WRONLY))
            raise stale(path)
        if held is None:
            if self._filesystem.getattr(path).content != node.content:
                raise stale(path)
            self._filesystem.truncate(path, wanted.size)
            return
        try:
            self._filesystem.truncate(path, wanted.size, held)
            self._filesystem.flush(held)
        finally:
            self._filesystem.release(held)
