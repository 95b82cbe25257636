"""The table of live mounts: one file for each mount, locked by its process as long as the process lives."""

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
    :param left: number of files not pushed when it ended; None while it lives, or if it was killed
    """

    pid: int
    reference: str
    host: str
    directory: str
    since: float
    left: int | None = None


class Register:
    """The files of a user's mounts.

    :param directory: created if missing, readable only by the user
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextmanager
    def entered(self, reference: str, host: str, directory: Path) -> Iterator[list[int]]:
        """Register this process; yield a list for the numbers of files that were not pushed in the end."""
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
        """Yield the mounts with a live process."""
        for path in sorted(self.directory.glob("*.json")):
            mounted = _read(path)
            if mounted is not None and _is_locked(path):
                yield mounted

    def dead(self) -> Iterator[Mounted]:
        """Yield the mounts whose process is gone and that are still mounted; remove the files of the others."""
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
        """Return the live mount on *directory*."""
        return next((mounted for mounted in self.alive() if mounted.directory == os.fspath(directory)), None)

    def wait(self, mounted: Mounted, seconds: float) -> int | None:
        """Wait for a mount to end.

        :returns: number of files that were not pushed; None if the mount is still alive after *seconds*
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
    """Resolve the links in *directory* without touching a mount on it, which may hang."""
    absolute = Path(os.path.abspath(directory))
    named = Path(os.path.realpath(absolute.parent), absolute.name)
    return named if is_mounted(named) else Path(os.path.realpath(named))


def is_mounted(directory: Path) -> bool:
    """Return whether a mount of regfs, alive or dead, is visible on *directory*, which has no links in it."""
    return mount_on(directory) is not None


def mount_on(directory: Path) -> Mount | None:
    """Return the mount of regfs, alive or dead, that is visible on *directory*, which has no links in it."""
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
