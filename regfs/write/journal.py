"""The journal: the files being written, and those that are not in the registry yet. Knows no registry.

::

    journal/ID/   one file, see :mod:`regfs.write.entries`
    journal.lock  held (flock) while a file is begun, and while it is looked for those that nobody writes
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from regfs.oci.target import Target
from regfs.util.private import OTHERWISE, private_directory, private_opener
from regfs.write.entries import Entry
from regfs.write.staging import Staged


@dataclass(frozen=True)
class Pending:
    """Bytes in the journal that did not reach the registry."""

    directory: Path
    host: str
    target: Target
    size: int
    mtime_ns: int

    @property
    def id(self) -> str:
        """What to call it."""
        return self.directory.name

    def drop(self) -> None:
        """Forget the bytes."""
        Entry(self.directory).remove()


class Journal:
    """The directory of files being written, and of those whose push failed.

    :param directory: made when missing, for the user alone
    :param host: the registry that they are written to
    """

    def __init__(self, directory: Path, host: str) -> None:
        private_directory(directory, OTHERWISE)
        self.directory = directory
        self._host = host
        self._remove_abandoned()

    def stage(self, target: Target) -> Staged:
        """A new, empty file.

        :raises OSError: when there is no room for it
        """
        with self._alone():
            entry = Entry(Path(tempfile.mkdtemp(dir=self.directory)))
            try:
                return Staged.new(entry, self._host, target)
            except OSError:
                entry.remove()
                raise

    def again(self, pending: Pending) -> Staged:
        """A file of the journal, to be pushed after all.

        :raises OSError: when it is gone, or another process has taken it up
        """
        with self._alone():
            return Staged.again(Entry(pending.directory), pending.host, pending.target)

    def superseded(self, target: Target) -> None:
        """Drop what was left here of earlier writes of *target*: the registry has a later one."""
        for pending in self.pending():
            if pending.host == self._host and pending.target == target:
                pending.drop()

    def pending(self) -> Iterator[Pending]:
        """The files that nobody writes any more and that the registry does not have, oldest first."""
        with self._alone():
            found = [_pending_in(directory) for directory in self.directory.iterdir()]
        return iter(sorted((item for item in found if item is not None), key=lambda item: item.mtime_ns))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else begins a file, or looks whether a file is somebody's, at the same time."""
        with open(self.directory.with_suffix(".lock"), "wb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_abandoned(self) -> None:
        """Remove what a killed mount left behind that the registry has."""
        with self._alone():
            for directory in self.directory.iterdir():
                entry = Entry(directory)
                with suppress(OSError):
                    if not entry.is_meant and not entry.is_locked():
                        entry.remove()


def _pending_in(directory: Path) -> Pending | None:
    """What a directory of the journal holds; None when somebody writes it, or it is not whole."""
    entry = Entry(directory)
    try:
        host, target = entry.meant()
        if entry.is_locked():
            return None
        status = entry.data.stat()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Pending(directory, host, target, status.st_size, status.st_mtime_ns)
