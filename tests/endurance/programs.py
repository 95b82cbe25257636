"""Random programs of file operations, and what each does in a directory.

An operation is a name and its arguments; it opens, or works on, one of a few slots for descriptors. What it comes to is
what a program can see: bytes, sizes, names, or an errno.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Hashable
from itertools import chain
from typing import Any

from hypothesis import strategies as st

Operation = tuple[Any, ...]  # its name and its arguments
Outcome = Hashable

PATHS = ("a", "b", "d", "d/a", "d/f", "d/f/a", "e", "e/a")
SLOTS = 2
_FLAGS = (
    os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY | os.O_DIRECTORY,
)  # fmt: skip

_paths = st.sampled_from(PATHS)
_slots = st.integers(0, SLOTS - 1)
_places = st.sampled_from([0, 1, 5, 4096, 10_000])
_contents = st.builds(lambda byte, count: byte * count, st.sampled_from([b"x", b"y", b"\0"]), st.integers(0, 5000))
_on_a_slot = {
    "pread": (_places,), "pwrite": (_places, _contents), "write": (_contents,), "ftruncate": (_places,), "fsync": (),
    "fstat": (), "close": (),
}  # fmt: skip
_on_a_path = {
    "put": (_contents,), "get": (), "truncate": (_places,), "stat": (), "list": (), "mkdir": (), "rmdir": (),
    "unlink": (), "rename": (_paths,),
}  # fmt: skip
_open = st.tuples(st.just("open"), _slots, _paths, st.sampled_from(_FLAGS))
_slot = st.one_of([st.tuples(st.just(kind), _slots, *more) for kind, more in _on_a_slot.items()])
_path = st.one_of([st.tuples(st.just(kind), _paths, *more) for kind, more in _on_a_path.items()])
_rename = st.tuples(st.just("rename"), _paths, _paths)
operations: st.SearchStrategy[Operation] = st.one_of(_open, _slot, _path, _rename)
_there = st.sets(st.sampled_from(["d", "d/f", "e", "a", "d/a", "d/f/a"])).map(
    lambda paths: [("mkdir", path) if path[-1] in "def" else ("put", path, b"there") for path in sorted(paths)]
)
_parts = st.lists(operations, min_size=1, max_size=10)
programs = st.builds(
    lambda there, parts: [*there, *chain.from_iterable(parts)], _there, st.lists(_parts, min_size=1, max_size=8)
)


class Runner:
    """Does operations below a directory of the system's own."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.slots: list[int | None] = [None] * SLOTS

    def outcomes(self, operation: Operation) -> list[Outcome]:
        """Do an operation; returns what it may come to: here that is one thing."""
        kind, *arguments = operation
        try:
            return [getattr(self, kind)(*arguments)]
        except OSError as error:
            return [errno.errorcode[error.errno or 0]]

    def finish(self) -> dict[str, Outcome]:
        """Close what is open; returns all that is there."""
        for slot in range(SLOTS):
            self.outcomes(("close", slot))
        found: dict[str, Outcome] = {}
        for above, directories, files in os.walk(self.root):
            here = os.path.relpath(above, self.root)
            found |= {os.path.normpath(f"{here}/{name}"): "directory" for name in directories}
            for name in files:
                with open(os.path.join(above, name), "rb") as file:
                    found[os.path.normpath(f"{here}/{name}")] = file.read()
        return found

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)

    def _fd(self, slot: int) -> int:
        fd = self.slots[slot]
        if fd is None:
            raise OSError(errno.EBADF, "not open")
        return fd

    def open(self, slot: int, path: str, flags: int) -> Outcome:
        if self.slots[slot] is not None:
            self.close(slot)
        self.slots[slot] = os.open(self._path(path), flags, 0o644)
        return None

    def close(self, slot: int) -> Outcome:
        fd, self.slots[slot] = self._fd(slot), None
        os.close(fd)
        return None

    def pread(self, slot: int, offset: int) -> Outcome:
        return os.pread(self._fd(slot), 6000, offset)

    def pwrite(self, slot: int, offset: int, data: bytes) -> Outcome:
        return os.pwrite(self._fd(slot), data, offset)

    def write(self, slot: int, data: bytes) -> Outcome:
        return os.write(self._fd(slot), data)

    def ftruncate(self, slot: int, size: int) -> Outcome:
        return os.ftruncate(self._fd(slot), size)

    def fsync(self, slot: int) -> Outcome:
        return os.fsync(self._fd(slot))

    def fstat(self, slot: int) -> Outcome:
        return _seen(os.fstat(self._fd(slot)))

    def put(self, path: str, data: bytes) -> Outcome:
        with open(self._path(path), "wb") as file:
            return file.write(data)

    def get(self, path: str) -> Outcome:
        with open(self._path(path), "rb") as file:
            return file.read()

    def truncate(self, path: str, size: int) -> Outcome:
        return os.truncate(self._path(path), size)

    def stat(self, path: str) -> Outcome:
        return _seen(os.stat(self._path(path)))

    def list(self, path: str) -> Outcome:
        return tuple(sorted(os.listdir(self._path(path))))

    def mkdir(self, path: str) -> Outcome:
        return os.mkdir(self._path(path))

    def rmdir(self, path: str) -> Outcome:
        return os.rmdir(self._path(path))

    def unlink(self, path: str) -> Outcome:
        return os.unlink(self._path(path))

    def rename(self, old: str, new: str) -> Outcome:
        return os.rename(self._path(old), self._path(new))

    def chmod(self, path: str, mode: int) -> Outcome:
        return os.chmod(self._path(path), mode)

    def mode(self, path: str) -> Outcome:
        return stat.S_IMODE(os.stat(self._path(path)).st_mode)


def _seen(found: os.stat_result) -> Outcome:
    return "directory" if stat.S_ISDIR(found.st_mode) else found.st_size
