"""Directories for the user alone, whatever the umask is and whoever else can write beside them. Knows no contents."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERWISE = "set XDG_STATE_HOME to another"


class NotPrivate(OSError):
    """A directory is not safe to use; the text says why and what to do."""


def private_directory(path: Path, otherwise: str) -> None:
    """Make a directory, and those above it that are missing, for the user alone; or make sure that it is such a one.

    :param otherwise: what the user can do to have another directory
    :raises NotPrivate: when it belongs to somebody else, is a link, or others may enter it
    """
    try:
        make_directory(path)
    except OSError as error:
        raise NotPrivate(error.errno, f"{path}: {error.strerror}; {otherwise}") from None
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise NotPrivate(errno.ELOOP, f"{path} is a link; {otherwise}")
    if not stat.S_ISDIR(status.st_mode):
        raise NotPrivate(errno.ENOTDIR, f"{path} is not a directory; {otherwise}")
    if status.st_uid != os.geteuid():
        raise NotPrivate(errno.EACCES, f"{path} belongs to another user; {otherwise}")
    if status.st_mode & 0o077:
        raise NotPrivate(errno.EACCES, f"{path} is open to other users; run: chmod 700 {path}")


def private_state(path: Path) -> None:
    """As :func:`private_directory`, for the directory of the user's state; one that others could look into, not
    write to, is closed.

    :raises NotPrivate: as there
    """
    with suppress(OSError):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            path.chmod(0o700)
    private_directory(path, OTHERWISE)


def private_opener(path: str, flags: int) -> int:
    """For ``open``: a file that is made is the user's alone, and a link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def make_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, for the user alone."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker; whose it is, is looked at
            directory.mkdir(mode=0o700)
