"""Turns of the writers of a tag: between the threads of a process, then between the user's processes.

A turn is held across the network: it is what orders the writers of one tag (:mod:`regfs.write`, "Locks").
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from regfs.oci.edits import Change
from regfs.oci.edits import Path as TitlePath
from regfs.util.private import OTHERWISE, private_directory, private_opener

Tag = tuple[str, str]  # repository and tag


@dataclass(eq=False)
class Edit:
    """One writer's changes, and how they ended.

    :param digest: of the manifest that has them
    """

    changes: dict[TitlePath, Change]
    done: bool = False
    error: BaseException | None = None
    digest: str = ""


@dataclass
class TagWriters:
    """The writers of one tag: the one whose turn it is holds *turn*."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Edit] = field(default_factory=list)


class Turns:
    """Who changes which tag. ``_lock`` is innermost.

    :param locks: a directory for files by which the user's processes on this machine take turns
    :param host: of the registry
    """

    def __init__(self, locks: Path, host: str) -> None:
        private_directory(locks, OTHERWISE)
        self._locks = locks
        self._host = host
        self._lock = threading.Lock()
        self._writers: dict[Tag, TagWriters] = {}

    def wait(self, tag: Tag, edit: Edit) -> TagWriters:
        """Let an edit wait for its turn, in which one writer does what all want who wait."""
        with self._lock:
            writers = self._writers.setdefault(tag, TagWriters())
            writers.waiting.append(edit)
            return writers

    def waiting(self, writers: TagWriters) -> list[Edit]:
        """The edits that wait; they wait no longer."""
        with self._lock:
            edits, writers.waiting = writers.waiting, []
            return edits

    @contextmanager
    def of(self, *tags: Tag) -> Iterator[None]:
        """Have the turn of some tags, taken in their order."""
        with ExitStack() as turns:
            for tag in sorted(set(tags)):
                with self._lock:
                    writers = self._writers.setdefault(tag, TagWriters())
                turns.enter_context(writers.turn)
                turns.enter_context(self.among_processes(tag))
            yield

    @contextmanager
    def among_processes(self, tag: Tag) -> Iterator[None]:
        """Take turns with the user's other processes. The kernel ends the turn of a process that dies."""
        name = hashlib.sha256(f"{self._host}/{tag[0]}:{tag[1]}".encode()).hexdigest()[:32]
        with open(self._locks / name, "wb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
