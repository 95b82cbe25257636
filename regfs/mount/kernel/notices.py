"""Telling the kernel that a name stands for something else now, when it was changed by another one of its names.

``REPOSITORY/TAG/FILE`` and ``REPOSITORY:TAG/FILE`` are one file. The kernel knows what happened to the name that was
used; the other one it would believe for as long as it may keep an entry. A notice can wait for a program that waits for
an answer, so a thread of its own sends them, after the answer.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator

from regfs.mount.kernel.answers import inval_entry
from regfs.mount.kernel.nodes import Node, Nodes

log = logging.getLogger(__name__)


class Notices:
    """Sends notices, one after the other.

    :param send: gives one to the kernel
    """

    def __init__(self, nodes: Nodes, send: Callable[[bytes], None]) -> None:
        self._nodes = nodes
        self._send = send
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin to send."""
        threading.Thread(target=self._work, name="regfs-notices", daemon=True).start()

    def changed(self, path: str) -> None:
        """Something was made, changed or removed at a path."""
        for other in other_names(path):
            for parent, name in self._known(other):
                self.entry(parent, name)

    def entry(self, parent: Node, name: str) -> None:
        """Let the kernel forget what a name stands for."""
        self._queue.put(inval_entry(parent.number, name.encode("utf-8", "surrogateescape")))

    def _known(self, path: str) -> Iterator[tuple[Node, str]]:
        """The name at the end of a path, or the first one above it of which the kernel knows no node."""
        above, _, name = path.rpartition("/")
        parent = self._nodes.at(above)
        if parent is not None:
            yield parent, name
        elif above:
            yield from self._known(above)

    def _work(self) -> None:
        while True:
            notice = self._queue.get()
            try:
                self._send(notice)
            except OSError as error:
                log.debug("a notice was not sent: %s", error)
                return


def other_names(path: str) -> Iterator[str]:
    """The other paths that a path of the mount can have: a tag is a directory, or stands behind a colon."""
    parts = [part for part in path.split("/") if part]
    for index, part in enumerate(parts):
        repository, colon, tag = part.partition(":")
        if colon and "@" not in part:
            yield "/" + "/".join([*parts[:index], repository, tag, *parts[index + 1 :]])
        elif index + 1 < len(parts) and ":" not in parts[index + 1]:
            yield "/" + "/".join([*parts[:index], f"{part}:{parts[index + 1]}", *parts[index + 2 :]])
