"""What a mount is, in memory: the executable specification of one repository.

A path is (alias, part...). The registry has aliases, each with files by their titles; the mount beside that has
directories that were made and hold nothing yet, and files that are being written. An operation returns what a program
sees, or raises OSError. Numbers are those of docs/SEMANTICS.md, where a mount is not what POSIX says.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

Path = tuple[str, ...]
_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(eq=False)
class Written:
    """A file being written: the same for all its handles (5.4)."""

    path: Path
    content: bytearray
    dirty: bool = False
    fresh: bool = True  # nothing of it was pushed yet
    gone: bool = False  # removed, or replaced, while it is open


@dataclass(eq=False)
class Handle:
    """An open file: one that is being written, or the bytes that it was opened with (3.1)."""

    path: Path  # () when it was removed
    reads: bool
    writes: bool
    written: Written | None
    pinned: bytes = b""


@dataclass
class Model:
    """The registry's repository, and what the mount knows beside it."""

    aliases: dict[str, dict[Path, bytes]] = field(default_factory=dict)
    made: set[Path] = field(default_factory=set)
    handles: list[Handle] = field(default_factory=list)

    # What is there

    def written(self, path: Path) -> Written | None:
        """The file being written at *path*."""
        found = (handle.written for handle in self.handles if handle.written is not None)
        return next((written for written in found if written.path == path and not written.gone), None)

    def is_directory(self, path: Path) -> bool:
        if not path:
            return True
        if not self.is_directory(path[:-1]):
            return False
        titles = self.aliases.get(path[0])
        starts = () if titles is None else [title[: len(path) - 1] for title in titles if len(title) >= len(path)]
        return path in self.made or path[1:] in starts or (len(path) == 1 and titles is not None)

    def file(self, path: Path) -> bytes | None:
        """The bytes at *path*: those being written (5.4), else the registry's."""
        if len(path) < 2 or not self.is_directory(path[:-1]):
            return None
        written = self.written(path)
        return self.aliases.get(path[0], {}).get(path[1:]) if written is None else bytes(written.content)

    def names(self, path: Path) -> set[str]:
        titles = self.aliases.get(path[0], {}) if path else {}
        every = {(alias,) for alias in self.aliases} | {path[:1] + title for title in titles} | self.made
        every |= {handle.written.path for handle in self.handles if handle.written and not handle.written.gone}
        below = {other[: len(path) + 1] for other in every if len(other) > len(path) and other[: len(path)] == path}
        return {other[-1] for other in below if self.is_directory(other) or self.file(other) is not None}

    def _require(self, path: Path) -> None:
        """Above *path* there are directories only."""
        for length in range(1, len(path)):
            if self.file(path[:length]) is not None:
                raise _error(errno.ENOTDIR)
            if not self.is_directory(path[:length]):
                raise _error(errno.ENOENT)

    def _file(self, path: Path) -> bytes:
        self._require(path)
        if self.is_directory(path):
            raise _error(errno.EISDIR)
        content = self.file(path)
        if content is None:
            raise _error(errno.ENOENT)
        return content

    def stat(self, path: Path) -> str | int:
        self._require(path)
        return "directory" if self.is_directory(path) else len(self._file(path))

    def list(self, path: Path) -> tuple[str, ...]:
        if self.stat(path) != "directory":
            raise _error(errno.ENOTDIR)
        return tuple(sorted(self.names(path)))

    def get(self, path: Path) -> bytes:
        return self._file(path)

    # Open files

    def open(self, path: Path, flags: int) -> Handle:
        self._require(path)
        exists = self.is_directory(path) or self.file(path) is not None
        if exists and flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        if self.is_directory(path):
            raise _error(errno.EISDIR)
        if not exists and not flags & os.O_CREAT:
            raise _error(errno.ENOENT)
        if len(path) == 1:
            raise _error(errno.EPERM)  # 8: a file belongs to an alias
        content, written = self.file(path) or b"", self.written(path)
        if flags & _WRITES and written is None:
            written = Written(path, bytearray(content), dirty=not exists)
        handle = Handle(path, not flags & os.O_WRONLY, bool(flags & _WRITES), written, content)
        self.handles.append(handle)
        if flags & os.O_TRUNC and exists:
            self.ftruncate(handle, 0)
        return handle

    def pread(self, handle: Handle, offset: int, count: int) -> set[bytes]:
        """One of these: a file that was closed a moment ago may still be the one being written."""
        if not handle.reads:
            raise _error(errno.EBADF)
        return {content[offset : offset + count] for content in self._seen(handle)}

    def fstat(self, handle: Handle) -> set[object]:
        if not handle.path or self.file(handle.path) is None:
            return {"ENOENT"} | {len(content) for content in self._seen(handle)}  # 7.6
        return {len(content) for content in self._seen(handle)}

    def _seen(self, handle: Handle) -> set[bytes]:
        """The bytes that a handle may have: those of its opening, or those being written at its path (3.1, 5.4)."""
        if handle.written is not None and handle.writes:
            return {bytes(handle.written.content)}
        now = self.file(handle.path) if handle.written is None else bytes(handle.written.content)
        return {handle.pinned} | (set() if now is None else {now})

    def pwrite(self, handle: Handle, offset: int, data: bytes) -> int:
        written = self._writable(handle)
        if data:
            _resize(written.content, max(len(written.content), offset + len(data)))
            written.content[offset : offset + len(data)] = data
            written.dirty = True
        return len(data)

    def ftruncate(self, handle: Handle, size: int) -> None:
        written = self._writable(handle, errno.EINVAL)
        _resize(written.content, size)
        written.dirty = True

    def _writable(self, handle: Handle, otherwise: int = errno.EBADF) -> Written:
        if not handle.writes or handle.written is None:
            raise _error(otherwise)
        return handle.written

    def fsync(self, handle: Handle) -> None:
        if handle.writes:
            self._push(handle.written)

    def close(self, handle: Handle) -> None:
        self.handles.remove(handle)
        written = handle.written
        if written is None or not handle.writes:
            return
        elsewhere = any(other.path == written.path for other in self.handles)
        if written.content or not written.fresh or not elsewhere:  # 5.5: else it is pushed by the last close
            self._push(written)

    def _push(self, written: Written | None) -> None:
        if written is None or not written.dirty or written.gone:
            return
        path, written.dirty, written.fresh = written.path, False, False
        self.aliases.setdefault(path[0], {})[path[1:]] = bytes(written.content)
        self.made -= {path[:length] for length in range(1, len(path))}

    def put(self, path: Path, data: bytes) -> None:
        handle = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.pwrite(handle, 0, data)
        self.close(handle)

    def truncate(self, path: Path, size: int) -> None:
        content, written = self._file(path), self.written(path)
        handle = self.open(path, os.O_WRONLY)
        self.ftruncate(handle, size)
        if written is None or content is None:
            self.close(handle)  # at once, when nobody else has it open for writing
        self.handles = [other for other in self.handles if other is not handle]

    # Names

    def mkdir(self, path: Path) -> None:
        self._require(path)
        if self.is_directory(path) or self.file(path) is not None:
            raise _error(errno.EEXIST)
        self.made.add(path)

    def rmdir(self, path: Path) -> None:
        if self.list(path):
            raise _error(errno.ENOTEMPTY)
        if len(path) == 1:
            self.aliases.pop(path[0], None)
        self.made = {made for made in self.made if made[: len(path)] != path}

    def unlink(self, path: Path) -> None:
        self._file(path)
        self._keep(path)
        self.aliases.get(path[0], {}).pop(path[1:], None)
        self._replace(path)

    def _replace(self, path: Path) -> None:
        """Whoever has the file open keeps it; nobody else sees it."""
        written = self.written(path)
        if written is not None:
            written.gone = True
        for handle in self.handles:
            if handle.path == path:
                handle.path = ()

    def _keep(self, path: Path) -> None:
        """The directories in the alias stay when their last file goes (6.3, 6.9)."""
        if path[1:] in self.aliases.get(path[0], {}) or self.is_directory(path):
            self.made |= {path[:length] for length in range(2, len(path))}

    def rename(self, old: Path, new: Path) -> None:
        self._require(old)
        self._require(new)
        source, goal = self.stat(old), self._kind(new)
        if new[: len(old)] == old and new != old:
            raise _error(errno.EINVAL)
        if old[: len(new)] == new and new != old:
            raise _error(errno.ENOTEMPTY)
        if old == new:
            return
        if source == "directory":
            self._rename_directory(old, new, goal)
        elif goal == "directory":
            raise _error(errno.EISDIR)
        elif len(new) == 1:
            raise _error(errno.EPERM)  # 8: a file belongs to an alias
        else:
            self._rename_file(old, new)

    def _kind(self, path: Path) -> str | int | None:
        try:
            return self.stat(path)
        except FileNotFoundError:
            return None

    def _rename_file(self, old: Path, new: Path) -> None:
        written, content = self.written(old), self.aliases.get(old[0], {}).get(old[1:])
        self._keep(old)
        self._replace(new)
        if content is not None:
            del self.aliases[old[0]][old[1:]]
            self.aliases.setdefault(new[0], {})[new[1:]] = content
            self.made -= {new[:length] for length in range(1, len(new))}
        self._moved(old, new, written)

    def _moved(self, old: Path, new: Path, *moved: Written | None) -> None:
        for written in moved:
            if written is not None:
                written.path = new + written.path[len(old) :]
        for handle in self.handles:
            if handle.path[: len(old)] == old:
                handle.path = new + handle.path[len(old) :]

    def _rename_directory(self, old: Path, new: Path, goal: str | int | None) -> None:
        if goal not in (None, "directory"):
            raise _error(errno.ENOTDIR)
        if goal == "directory" and self.names(new):
            raise _error(errno.ENOTEMPTY)
        titles = self.aliases.get(old[0])
        if titles is not None and (len(old) == 1) != (len(new) == 1):
            raise _error(errno.EXDEV)  # 8: moved file by file
        if titles is not None and len(old) > 1 and old[0] != new[0]:
            raise _error(errno.EXDEV)
        within = {handle.written for handle in self.handles if handle.written and not handle.written.gone}
        inside = [written for written in within if written.path[: len(old)] == old]
        self._retitle(old, new)
        below = {made for made in self.made if made[: len(old)] == old}
        self.made = (self.made - below) | {new + made[len(old) :] for made in below}
        if not self.is_directory(new):
            self.made.add(new)
        self._moved(old, new, *inside)

    def _retitle(self, old: Path, new: Path) -> None:
        if len(old) == 1:
            if old[0] in self.aliases:
                self.aliases[new[0]] = self.aliases.pop(old[0])
            return
        titles = self.aliases.get(old[0])
        if titles is None:
            return
        self._keep(old)
        for title in [title for title in titles if title[: len(old) - 1] == old[1:]]:
            titles[new[1:] + title[len(old) - 1 :]] = titles.pop(title)

    # What another client does

    def push(self, alias: str, files: dict[Path, bytes]) -> None:
        self.aliases[alias] = dict(files)

    def retag(self, alias: str, other: str) -> None:
        self.aliases[other] = dict(self.aliases[alias])

    def delete(self, alias: str) -> None:
        del self.aliases[alias]


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
