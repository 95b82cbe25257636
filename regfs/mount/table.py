"""Which mounts are alive: one file for each, locked by the process that serves it for as long as it lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from regfs.mount.processes import Mount, mounts
from regfs.util.private import OTHERWISE, private_directory, private_opener

_POLL = 0.02  # seconds


@dataclass(frozen=True)
class Mounted:
    """A mount.

    :param since: seconds since the epoch
    :param left: files that were not pushed when it ended; None while it lives, or when it was killed
    """

    pid: int
    reference: str
    host: str
    directory: str
    since: float
    left: int | None = None


class Register:
    """The files of a user's mounts.

    :param directory: made when missing, for the user alone
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextmanager
    def entered(self, reference: str, host: str, directory: Path) -> Iterator[list[int]]:
        """Be registered; yields a list to append the number of files to that were not pushed in the end."""
        private_directory(self.directory, OTHERWISE)
        mounted = Mounted(os.getpid(), reference, host, os.fspath(directory), time.time())
        path = self.directory / f"{mounted.pid}.json"
        left: list[int] = []
        with open(path, "w", encoding="utf-8", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write(file.fileno(), mounted)
            try:
                yield left
            finally:
                if sum(left):
                    _write(file.fileno(), Mounted(**{**asdict(mounted), "left": sum(left)}))
                else:
                    path.unlink(missing_ok=True)

    def alive(self) -> Iterator[Mounted]:
        """The mounts that are served."""
        for path in sorted(self.directory.glob("*.json")):
            mounted = _read(path)
            if mounted is not None and _is_locked(path):
                yield mounted

    def dead(self) -> Iterator[Mounted]:
        """The mounts whose process is gone, while something is still mounted there; what others left is removed."""
        alive = {mounted.directory for mounted in self.alive()}
        for path in sorted(self.directory.glob("*.json")):
            mounted = _read(path)
            if _is_locked(path) or (mounted is not None and mounted.left is not None):
                continue
            if mounted is not None and mounted.directory not in alive and is_mounted(Path(mounted.directory)):
                yield mounted
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".sock").unlink(missing_ok=True)

    def on(self, directory: Path) -> Mounted | None:
        """The mount that is served on *directory*."""
        return next((mounted for mounted in self.alive() if mounted.directory == os.fspath(directory)), None)

    def wait(self, mounted: Mounted, seconds: float) -> int | None:
        """Wait for a mount to end.

        :returns: how many files it left behind that were not pushed; None when it lives on after that time
        """
        path = self.directory / f"{mounted.pid}.json"
        end = time.monotonic() + seconds
        while _is_locked(path):
            if time.monotonic() > end:
                return None
            time.sleep(_POLL)
        ended = _read(path)
        path.unlink(missing_ok=True)
        return ended.left or 0 if ended is not None else 0


def without_touching(directory: str) -> Path:
    """Where *directory* is, with no links in it, without asking what is mounted there, which may hang."""
    absolute = Path(os.path.abspath(directory))
    named = Path(os.path.realpath(absolute.parent), absolute.name)
    return named if is_mounted(named) else Path(os.path.realpath(named))


def is_mounted(directory: Path) -> bool:
    """Whether what is to be seen on *directory*, which has no links in it, is a mount of regfs, alive or dead."""
    return mount_on(directory) is not None


def mount_on(directory: Path) -> Mount | None:
    """The mount of regfs, alive or dead, that is to be seen on *directory*, which has no links in it."""
    there = [mount for mount in mounts() if mount.directory == directory][-1:]
    return next((mount for mount in there if mount.kind == "fuse.regfs"), None)


def _write(fd: int, mounted: Mounted) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(asdict(mounted)).encode(), 0)


def _read(path: Path) -> Mounted | None:
    try:
        return Mounted(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _is_locked(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
