"""Which processes use a mount: from /proc alone, without touching the mount, which may hang."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LINKS = ("cwd", "root", "exe")


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


def users(directory: Path) -> Iterator[User]:
    """The processes that use something in *directory*, as far as this user may know."""
    for process in Path("/proc").glob("[0-9]*"):
        path = next((path for path in _used(process) if _is_in(path, os.fspath(directory))), None)
        if path is not None:
            with suppress(OSError):
                yield User(int(process.name), (process / "comm").read_text(errors="replace").strip(), path)


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
