"""Who uses a mount, and where it is mounted: from /proc alone, without touching the mount, which may hang."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LINKS = ("cwd", "root", "exe")
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
    namespaces = set()
    for process in ("self", *(path.name for path in Path("/proc").glob("[0-9]*"))):
        with suppress(OSError):
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace not in namespaces:
                namespaces.add(namespace)
                directories = [mount.directory for mount in mounts(process) if mount.device == device]
                whose = (
                    ""
                    if process == "self"
                    else f" for {_command(process)} ({process}), in a mount namespace of its own"
                )
                yield from (f"on {directory}{whose}" for directory in directories)


def users(directory: Path) -> Iterator[User]:
    """The processes that use something in *directory*, as far as this user may know."""
    for process in Path("/proc").glob("[0-9]*"):
        path = next((path for path in _used(process) if _is_in(path, os.fspath(directory))), None)
        if path is not None:
            with suppress(OSError):
                yield User(int(process.name), _command(process.name), path)


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


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
