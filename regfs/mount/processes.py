"""The users of a mount and the places where it is mounted, read from /proc. Never touches the mount, which may hang.

Reading /proc/PID can wait for that process: nothing can read its descriptors during execve(2), and execve can wait for
the mount to answer the close of a file. So a thread of its own reads each process, for a limited time. The process that
serves a mount never reads /proc/PID.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from regfs.util.jobs import answered

_LINKS = ("cwd", "root", "exe")
_LOOK_SECONDS = 2.0  # to read all processes
Result = TypeVar("Result")
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # mountinfo escapes spaces and the like


@dataclass(frozen=True)
class Mount:
    """A place where a file system is mounted (proc_pid_mountinfo(5)).

    :param device: the number of the file system, the same in every place
    :param kind: such as ``fuse.regfs``
    """

    device: str
    directory: Path
    kind: str


@dataclass(frozen=True)
class User:
    """A process that uses a mount.

    :param path: one of the files or directories of the mount in use
    """

    pid: int
    command: str
    path: str

    def __str__(self) -> str:
        return f"{self.command} ({self.pid}) uses {self.path}"


def mounts(process: str = "self") -> Iterator[Mount]:
    """Yield the mounts of a process; of several in one place, the last one is visible.

    :raises OSError: if this user may not read them
    """
    with open(f"/proc/{process}/mountinfo", "rb") as lines:
        for line in lines:
            _, _, device, _, where, *more = line.split(b" ")
            directory = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), where)
            yield Mount(device.decode(), Path(os.fsdecode(directory)), more[more.index(b"-") + 1].decode())


def others(device: str) -> Iterator[str]:
    """Yield the places of a file system, in this and in other mount namespaces, as far as this user may read them."""
    namespaces: dict[str, str] = {}
    for process, namespace in answered(map(_calling(_namespace), ("self", *_processes())), _LOOK_SECONDS):
        namespaces.setdefault(namespace, process)
    for places in answered(map(_calling(partial(_places, device)), namespaces.values()), _LOOK_SECONDS):
        yield from places


def _calling(look: Callable[[str], Result]) -> Callable[[str], Callable[[], Result]]:
    """Make a call of *look* for each process."""
    return lambda process: partial(look, process)


def _processes() -> Iterator[str]:
    return (path.name for path in Path("/proc").glob("[0-9]*"))


def _namespace(process: str) -> tuple[str, str]:
    return process, os.readlink(f"/proc/{process}/ns/mnt")


def _places(device: str, process: str) -> list[str]:
    """Describe the places of a file system in the mount namespace of a process."""
    whose = "" if process == "self" else f" for {_command(process)} ({process}), in a mount namespace of its own"
    return [f"on {mount.directory}{whose}" for mount in mounts(process) if mount.device == device]


def users(directory: Path) -> Iterator[User]:
    """Yield the processes that use a file in *directory*, as far as this user may read them."""
    for user in answered(map(_calling(partial(_user, os.fspath(directory))), _processes()), _LOOK_SECONDS):
        if user is not None:
            yield user


def _user(directory: str, process: str) -> User | None:
    path = next((path for path in _used(Path("/proc", process)) if is_in(path, directory)), None)
    return None if path is None else User(int(process), _command(process), path)


def _command(process: str) -> str:
    return Path("/proc", process, "comm").read_text(errors="replace").strip()


def _used(process: Path) -> Iterator[str]:
    for name in _LINKS:
        with suppress(OSError):
            yield os.readlink(process / name)
    with suppress(OSError):
        for entry in os.listdir(process / "fd"):
            with suppress(OSError):
                yield os.readlink(process / "fd" / entry)
    with suppress(OSError), open(process / "maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            yield "/" + line.rstrip("\n").partition("/")[2]


def is_in(path: str, directory: str) -> bool:
    """Return whether *path* is *directory* or is below it, by name."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
