"""The adapter between fusepy and :class:`regfs.fs.filesystem.Filesystem`: one short body per verb, no decisions.

The only module, beside :mod:`regfs.mount.life`, that knows the binding.
"""

from __future__ import annotations

import codecs
import ctypes
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fuse

from regfs.fs.errnos import errors_as_errno
from regfs.fs.filesystem import Filesystem
from regfs.mount.closing import closes_first
from regfs.mount.ownership import Ownership
from regfs.mount.removing import removed_trees
from regfs.tree.attributes import Attributes
from regfs.write.open_files import Writing

FILE_NAMES = "regfs_file_names"  # the encoding of names: UTF-8, where other bytes survive as halves of surrogates
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # linux/stat.h; they come in the place of nanoseconds
_USER = "user."
_PATHS = 100_000  # whose pages are known


def _names(name: str) -> codecs.CodecInfo | None:
    if name != FILE_NAMES:
        return None
    return codecs.CodecInfo(
        lambda text, errors="": codecs.utf_8_encode(text, "surrogateescape"),
        lambda data, errors="": codecs.utf_8_decode(data, "surrogateescape", True),
        name=FILE_NAMES,
    )


codecs.register(_names)


@dataclass(eq=False)
class _PastThePages:
    """A handle on a file being written that bypasses the kernel's pages: equal to no bytes in them."""

    writing: Writing


class PageCache:
    """Which bytes the kernel's pages of a file are of. It has one set of them for a path, whoever has it open.

    A handle on other bytes than those that another handle reads through the pages bypasses them; so do, as long as one
    that bypasses them can change the bytes, all that are opened after it. So does who opens a file being written that
    is open by another path, whose pages are others. The pages are kept from one open to the next as long as the bytes
    are the same. Everything may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, object] = {}
        self._open: dict[str, dict[int, object]] = {}

    def opened(self, path: str, handle: int, content: object) -> tuple[bool, bool]:
        """Note an open; returns whether it has to bypass the pages, and whether they are of its bytes.

        :param content: equal for two handles only when they read the same bytes
        """
        with self._lock:
            others = self._open.setdefault(path, {})
            if any(other != content for other in others.values()) or self._is_open_elsewhere(path, content):
                if isinstance(content, Writing):
                    others[handle] = _PastThePages(content)
                    self._forget(content)
                return True, False
            others[handle] = content
            known = self._pages.get(path) == content
            if len(self._pages) >= _PATHS:
                self._pages.clear()
            self._pages[path] = content
            return False, known

    def _is_open_elsewhere(self, path: str, content: object) -> bool:
        return isinstance(content, Writing) and any(
            content in (other, getattr(other, "writing", None))
            for there, others in self._open.items()
            for other in others.values()
            if there != path
        )

    def _forget(self, content: Writing) -> None:
        """Pages of a file that is changed past them are not kept."""
        for path in [path for path, known in self._pages.items() if known is content]:
            del self._pages[path]

    def released(self, handle: int) -> None:
        """Note a close."""
        with self._lock:
            for path, handles in list(self._open.items()):
                handles.pop(handle, None)
                if not handles:
                    del self._open[path]

    @contextmanager
    def reading(self, handle: int) -> Iterator[None]:
        """When a read fails, what was read before it is not kept."""
        try:
            yield
        except Exception:
            with self._lock:
                for path in [path for path, handles in self._open.items() if handle in handles]:
                    self._pages.pop(path, None)
            raise

    def renamed(self, old: str, new: str) -> None:
        """The kernel's pages go along with a file, and with all in a directory."""
        with self._lock:
            self._pages.clear()
            for path in [path for path in self._open if path == old or path.startswith(f"{old}/")]:
                self._open[new + path[len(old) :]] = self._open.pop(path)


class Operations(fuse.Operations):  # type: ignore[misc]
    """What fusepy calls.

    :param filesystem: does the work
    :param ready: called when the mount is about to answer
    """

    use_ns = True
    flag_utime_omit_ok = True  # without it, a time that is set alone is not set: tar does that
    flag_nullpath_ok = True  # a file can be removed while it is open; it is known by its handle then
    access = releasedir = fsyncdir = mknod = None  # not registered: libfuse's own answers are right

    def __init__(self, filesystem: Filesystem, ownership: Ownership, ready: Callable[[], None]) -> None:
        self._filesystem = filesystem
        self._ownership = ownership
        self._ready = ready
        self._cache = PageCache()

    def _stat(self, attributes: Attributes) -> dict[str, int]:
        """The attributes as fusepy takes them."""
        found = self._ownership.stat(attributes)
        return {
            "st_mode": found.mode,
            "st_nlink": found.links,
            "st_size": attributes.size,
            "st_blocks": -(-attributes.size // 512),
            "st_uid": found.uid,
            "st_gid": found.gid,
            "st_ino": attributes.inode or 0,
            "st_rdev": found.device,
            "st_mtime": attributes.mtime_ns,
            "st_ctime": found.changed_ns,
            "st_atime": attributes.mtime_ns,
        }

    def init(self, path: str) -> None:
        self._ready()

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, int]:
        with errors_as_errno("stat", path):
            if path is None or fh is not None:
                return self._stat(self._filesystem.getattr_open(fh or 0))
            return self._stat(self._filesystem.getattr(path))

    def readlink(self, path: str) -> str:
        with errors_as_errno("readlink", path):
            return self._filesystem.readlink(path)

    def opendir(self, path: str) -> int:
        with errors_as_errno("list", path):
            self._filesystem.opendir(path)
        return 0

    def readdir(self, path: str | None, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        if path is None:
            raise OSError(errno.ENOENT, "the directory is gone")
        with errors_as_errno("list", path):
            here = self._stat(self._filesystem.getattr(path))
            yield from ((name, here, 0) for name in (".", ".."))
            for name, attributes in self._filesystem.readdir(path):
                yield name, self._stat(attributes), 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """What lies in an archive can have any; else only those of ``user.`` can be there.

        Told so of others, coreutils asks once for a device; told that a file has no such one, it asks for each file.
        """
        with errors_as_errno("getxattr", path):
            value = self._filesystem.xattrs(path).get(name)
            if value is not None:
                return value
            if name.startswith(_USER):
                raise OSError(errno.ENODATA, name)
        raise OSError(errno.EOPNOTSUPP, name)

    def listxattr(self, path: str) -> list[str]:
        with errors_as_errno("listxattr", path):
            return list(self._filesystem.xattrs(path))

    def open(self, path: str, flags: int, process: int) -> int:
        """Open what the kernel has looked up; when it has gone since, ESTALE makes the kernel look it up again."""
        try:
            with errors_as_errno("open", path):
                return self._filesystem.open(path, flags, bool(flags & os.O_TRUNC) and closes_first(process))
        except FileNotFoundError as error:
            raise OSError(errno.ESTALE, error.strerror) from None

    def create(self, path: str, process: int) -> int:
        with errors_as_errno("create", path):
            return self._filesystem.create(path, closes_first(process))

    def caching(self, path: str, fh: int) -> tuple[bool, bool]:
        """Whether a handle has to bypass the kernel's pages, and whether it can keep them."""
        return self._cache.opened(path, fh, self._filesystem.bytes_of(fh))

    def read_into(self, path: str | None, buffer: memoryview, offset: int, fh: int) -> int:
        with errors_as_errno("read", path), self._cache.reading(fh):
            return self._filesystem.read_into(fh, buffer, offset)

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        with errors_as_errno("write", path):
            return self._filesystem.write(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        with errors_as_errno("truncate", path):
            self._filesystem.truncate(path, length, fh)

    def flush(self, path: str | None, fh: int) -> None:
        with errors_as_errno("close", path):
            self._filesystem.flush(fh)

    def fsync(self, path: str | None, datasync: int, fh: int) -> None:
        with errors_as_errno("fsync", path):
            self._filesystem.flush(fh)

    def release(self, path: str | None, fh: int) -> None:
        self._cache.released(fh)
        with errors_as_errno("release", path):
            self._filesystem.release(fh)

    def mkdir(self, path: str, mode: int) -> None:
        with errors_as_errno("mkdir", path):
            self._filesystem.mkdir(path)

    def rmdir(self, path: str, process: int) -> None:
        with errors_as_errno("rmdir", path):
            self._filesystem.rmdir(path, removed_trees(process))

    def unlink(self, path: str, process: int) -> None:
        with errors_as_errno("unlink", path):
            self._filesystem.unlink(path, removed_trees(process))

    def rename(self, old: str, new: str) -> None:
        with errors_as_errno("rename", f"{old} to {new}"):
            self._filesystem.rename(old, new)
        self._cache.renamed(old, new)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        with errors_as_errno("utimens", path):
            mtime_ns = times[1] if times else _UTIME_NOW
            if mtime_ns != _UTIME_OMIT:
                self._filesystem.utimens(path, time.time_ns() if mtime_ns == _UTIME_NOW else mtime_ns)

    def chmod(self, path: str, mode: int) -> None:
        """A registry keeps no modes; ``cp -p`` and ``tar`` are not stopped for that."""
        with errors_as_errno("chmod", path):
            self._filesystem.require_settable(path)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """A registry keeps no owners; ``cp -p`` and ``tar`` are not stopped for that."""
        with errors_as_errno("chown", path):
            self._filesystem.require_settable(path)

    def link(self, target: str, source: str) -> None:
        raise OSError(errno.EPERM, "a registry has no links")

    def symlink(self, target: str, source: str) -> None:
        raise OSError(errno.EPERM, "a registry has no links")

    def statfs(self, path: str) -> dict[str, int]:
        with errors_as_errno("statfs", path):
            room = self._filesystem.free_space()
        return {
            "f_bsize": room.f_bsize,
            "f_frsize": room.f_frsize,
            "f_blocks": room.f_blocks,
            "f_bfree": room.f_bfree,
            "f_bavail": room.f_bavail,
            "f_namemax": 255,
        }


class DirectReads(fuse.FUSE):  # type: ignore[misc]
    """fusepy, but a read goes straight into libfuse's buffer, and each open says what the kernel's pages are worth."""

    def open(self, path: bytes, fip: Any) -> int:
        self._opened(
            fip.contents, path, self.operations.open(path.decode(self.encoding), fip.contents.flags, self._process())
        )
        return 0

    def create(self, path: bytes, mode: int, fip: Any) -> int:
        self._opened(fip.contents, path, self.operations.create(path.decode(self.encoding), self._process()))
        return 0

    def unlink(self, path: bytes) -> int:
        self.operations.unlink(path.decode(self.encoding), self._process())
        return 0

    def rmdir(self, path: bytes) -> int:
        self.operations.rmdir(path.decode(self.encoding), self._process())
        return 0

    @staticmethod
    def _process() -> int:
        number: int = fuse.fuse_get_context()[2]
        return number

    def _opened(self, info: Any, path: bytes, handle: int) -> None:
        info.fh = handle
        info.direct_io, info.keep_cache = self.operations.caching(path.decode(self.encoding), handle)

    def read(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        buffer = memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buf.contents))).cast("B")
        count: int = self.operations.read_into(self._decode_optional_path(path), buffer, offset, fip.contents.fh)
        return count
