"""Who uses a mount, and where it is mounted: from /proc alone, without touching the mount, which may hang.

Reading /proc/PID can wait for that process: while it is in execve(2), its descriptors cannot be looked at, and execve
waits for the mount that has to answer the close of a file. So each process is looked at in a thread of its own, for a
limited time, and never from the process that serves a mount.
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
_LOOK_SECONDS = 2.0  # to look at all processes
Result = TypeVar("Result")
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # how mountinfo writes spaces and the like


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

    :param path: one of the files or directories of the mount that it uses
    """

    pid: int
    command: str
    path: str

    def __str__(self) -> str:
        return f"{self.command} ({self.pid}) uses {self.path}"


def mounts(process: str = "self") -> Iterator[Mount]:
    """What is mounted for a process, the last in a place is the one to be seen.

    :raises OSError: when that may not be known
    """
    with open(f"/proc/{process}/mountinfo", "rb") as lines:
        for line in lines:
            _, _, device, _, where, *more = line.split(b" ")
            directory = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), where)
            yield Mount(device.decode(), Path(os.fsdecode(directory)), more[more.index(b"-") + 1].decode())


def others(device: str) -> Iterator[str]:
    """Where a file system is mounted, and for whom: here, and in other mount namespaces, as far as may be known."""
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
    """Where a file system is mounted in the mount namespace of a process, in words."""
    whose = "" if process == "self" else f" for {_command(process)} ({process}), in a mount namespace of its own"
    return [f"on {mount.directory}{whose}" for mount in mounts(process) if mount.device == device]


def users(directory: Path) -> Iterator[User]:
    """The processes that use something in *directory*, as far as this user may know."""
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
    """Whether a path is a directory, or something below it; by name."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
