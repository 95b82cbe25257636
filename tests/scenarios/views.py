"""Two views of one registry with the same verbs: the filesystem itself, and a real mount in a process of its own.

Paths are relative to the view's root. Both raise OSError with the errno that a program would see.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import sysconfig
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytest

from regfs.fs.errnos import errors_as_errno
from regfs.fs.filesystem import Filesystem
from regfs.mount.table import Register
from regfs.oci.reference import parse_reference
from regfs.session import Graph, Options
from tests import leftovers
from tests.logs import LOGS

REGFS = os.path.join(sysconfig.get_path("scripts"), "regfs")
APART = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")  # no mount, and no process, outlives the command
ALONE = """awk '$3 == "fuse.regfs" {print $2}' /proc/self/mounts |
    while read -r other; do umount -i -l "$(printf %b "$other")" || true; done
"""  # in a mount namespace of one's own: mounts of other tests, which would go on as long as that does, are not in it
ADAPTERS = ("kernel", "fusepy")
ADAPTER = os.environ.get("TESTS_FUSE", ADAPTERS[0])  # through which mounts reach the kernel
TTL = 0  # seconds: names are asked for each time, unless a scenario is about remembering them
_THREADS = 100  # libfuse's ten, and those of the pools
_PATIENCE = 20.0  # seconds that a condition is waited for
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stat:
    """What a view says of a path."""

    is_directory: bool
    size: int
    mtime_ns: int
    mode: int


class Handle(ABC):
    """An open file."""

    @abstractmethod
    def read(self, size: int, offset: int) -> bytes: ...

    @abstractmethod
    def write(self, data: bytes, offset: int) -> None: ...

    @abstractmethod
    def truncate(self, size: int) -> None: ...

    @abstractmethod
    def sync(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class View(ABC):
    """A registry, one of its repositories or an alias, as files. ``state`` and ``cache`` are its directories."""

    state: Path
    cache: Path

    @abstractmethod
    def list(self, path: str = "") -> list[str]:
        """The names in a directory, sorted."""

    @abstractmethod
    def stat(self, path: str) -> Stat: ...

    @abstractmethod
    def xattrs(self, path: str) -> Mapping[str, str]: ...

    @abstractmethod
    def open(self, path: str, flags: int = os.O_RDONLY) -> Handle: ...

    @abstractmethod
    def truncate(self, path: str, size: int) -> None: ...

    @abstractmethod
    def mkdir(self, path: str) -> None: ...

    @abstractmethod
    def rmdir(self, path: str) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None: ...

    @abstractmethod
    def rename(self, old: str, new: str) -> None: ...

    @abstractmethod
    def utime(self, path: str, mtime_ns: int) -> None: ...

    @abstractmethod
    def log(self) -> str:
        """What was logged so far."""

    @abstractmethod
    def close(self) -> None: ...

    def exists(self, path: str) -> bool:
        """Whether anything is there."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def read_bytes(self, path: str) -> bytes:
        """The whole of a file."""
        with self.open(path) as handle:
            content = b""
            while piece := handle.read(1 << 17, len(content)):
                content += piece
            return content

    def write_bytes(self, path: str, content: bytes, flags: int = os.O_TRUNC) -> None:
        """Make, or overwrite, a file."""
        with self.open(path, os.O_WRONLY | os.O_CREAT | flags) as handle:
            handle.write(content, 0)

    def makedirs(self, path: str) -> None:
        """Make a directory and what is missing above it."""
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            above = "/".join(parts[:length])
            if not self.exists(above):
                self.mkdir(above)

    def remove_tree(self, path: str) -> None:
        """``rm -r``."""
        for name in self.list(path):
            child = f"{path}/{name}"
            if self.stat(child).is_directory:
                self.remove_tree(child)
            else:
                self.remove(child)
        self.rmdir(path)

    def journal(self) -> list[bytes]:
        """What is in the journal: the bytes of each file that did not reach the registry."""
        kept = []
        for path in present(self.state):
            if path.name == "meant.json":
                with suppress(FileNotFoundError):  # it was pushed just now
                    kept.append(path.with_name("data").read_bytes())
        return sorted(kept)

    def cached(self, digest: str) -> list[Path]:
        """The files of a digest in the cache, whole or in part."""
        return [path for path in present(self.cache) if digest.partition(":")[2] in path.name]


def present(directory: Path) -> Iterator[Path]:
    """Everything under a directory but what vanishes meanwhile: a mount lets go of a file some time after its close."""

    def vanished(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for above, directories, files in os.walk(directory, onerror=vanished):
        yield from (Path(above, name) for name in (*directories, *files))


def eventually(ask: Callable[[], Result], expected: object = True) -> None:
    """Wait until *ask* returns what is expected: names are remembered for a while."""
    end = time.monotonic() + _PATIENCE
    while (got := _asked(ask)) != expected and time.monotonic() < end:
        time.sleep(0.05)
    if isinstance(got, OSError):
        raise got
    assert got == expected


def _asked(ask: Callable[[], Result]) -> Result | OSError:
    try:
        return ask()
    except OSError as error:
        return error


@contextmanager
def refused(*errnos: int) -> Iterator[None]:
    """Expects an OSError with one of some errnos."""
    with pytest.raises(OSError) as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] in [errno.errorcode[number] for number in errnos]


class DirectHandle(Handle):
    """A handle of the filesystem itself."""

    def __init__(self, filesystem: Filesystem, path: str, handle: int) -> None:
        self._filesystem = filesystem
        self._path = path
        self._handle = handle
        self._size = -1

    def read(self, size: int, offset: int) -> bytes:
        buffer = bytearray(size)
        with errors_as_errno("read", self._path):
            count = self._filesystem.read_into(self._handle, memoryview(buffer), offset)
        return bytes(buffer[:count])

    def write(self, data: bytes, offset: int) -> None:
        with errors_as_errno("write", self._path):
            assert self._filesystem.write(self._handle, data, offset) == len(data)

    def truncate(self, size: int) -> None:
        with errors_as_errno("truncate", self._path):
            self._filesystem.truncate(self._path, size, self._handle)

    def sync(self) -> None:
        with errors_as_errno("fsync", self._path):
            self._filesystem.flush(self._handle)

    def close(self) -> None:
        try:
            with errors_as_errno("close", self._path):
                self._filesystem.flush(self._handle)
        finally:
            self._filesystem.release(self._handle)


class Direct(View):
    """The filesystem, called as the kernel would call it."""

    def __init__(self, directory: Path, reference: str, **options: Any) -> None:
        self.state, self.cache = directory / "state", Path(str(options.pop("cache_dir", directory / "cache")))
        given = {"ttl": TTL, **options}
        self._read_only = bool(given.get("read_only"))
        directories = {"cache_dir": self.cache, "state_dir": self.state}
        self._graph = Graph(Options(reference=parse_reference(reference), **directories, **given))
        self._filesystem = self._graph.filesystem

    def list(self, path: str = "") -> list[str]:
        with errors_as_errno("list", path):
            names = [name for name, _ in self._filesystem.readdir(f"/{path}")]
        assert len(set(names)) == len(names)
        return sorted(names)

    def stat(self, path: str) -> Stat:
        with errors_as_errno("stat", path):
            found = self._filesystem.getattr(f"/{path}")
        mode = 0o755 if found.is_directory else 0o644
        if not found.writable or self._read_only:
            mode &= 0o555
        return Stat(found.is_directory, found.size, found.mtime_ns, mode)

    def xattrs(self, path: str) -> Mapping[str, str]:
        with errors_as_errno("xattrs", path):
            return {name: value.decode() for name, value in self._filesystem.xattrs(f"/{path}").items()}

    def open(self, path: str, flags: int = os.O_RDONLY) -> Handle:
        with errors_as_errno("open", path):
            if flags & os.O_CREAT and not self.exists(path):
                handle = self._filesystem.create(f"/{path}")
            else:
                handle = self._filesystem.open(f"/{path}", flags)
        return DirectHandle(self._filesystem, f"/{path}", handle)

    def truncate(self, path: str, size: int) -> None:
        with errors_as_errno("truncate", path):
            self._filesystem.truncate(f"/{path}", size)

    def mkdir(self, path: str) -> None:
        with errors_as_errno("mkdir", path):
            self._filesystem.mkdir(f"/{path}")

    def rmdir(self, path: str) -> None:
        with errors_as_errno("rmdir", path):
            self._filesystem.rmdir(f"/{path}")

    def remove(self, path: str) -> None:
        with errors_as_errno("unlink", path):
            self._filesystem.unlink(f"/{path}")

    def rename(self, old: str, new: str) -> None:
        with errors_as_errno("rename", old):
            self._filesystem.rename(f"/{old}", f"/{new}")

    def utime(self, path: str, mtime_ns: int) -> None:
        with errors_as_errno("utimens", path):
            self._filesystem.utimens(f"/{path}", mtime_ns)

    def log(self) -> str:
        return ""  # the test process's own logging has it

    def close(self) -> None:
        self._graph.close()


class MountedHandle(Handle):
    """A file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def write(self, data: bytes, offset: int) -> None:
        while data:
            count = os.pwrite(self._fd, data, offset)
            data, offset = data[count:], offset + count

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class Mounted(View):
    """A mount in the background. ``directory`` is where it is mounted, ``environment`` that of its commands."""

    def __init__(self, directory: Path, reference: str, name: str = "mnt", **options: Any) -> None:
        self.environment = environment(directory)
        self.state, self.cache = directory / "state" / "regfs", directory / "cache" / "regfs"
        self.directory = directory / name
        with suppress(OSError):  # it exists, perhaps with a dead mount on it
            self.directory.mkdir(parents=True)
        given = _arguments({"ttl": TTL, **options})
        done = run("mount", *given, reference, str(self.directory), environment=self.environment)
        assert done.returncode == 0, done.stderr
        self._serving = self.pid
        self._files = leftovers.files(self._serving)

    @property
    def pid(self) -> int:
        """The process that serves the mount."""
        register = Register(self.state / "mounts")
        mounted = register.on(self.directory)
        assert mounted is not None
        return mounted.pid

    def path(self, path: str) -> str:
        """Where *path* is."""
        return os.path.join(self.directory, path)

    def list(self, path: str = "") -> list[str]:
        names = os.listdir(self.path(path))
        assert len(set(names)) == len(names)
        return sorted(names)

    def stat(self, path: str) -> Stat:
        found = os.stat(self.path(path))
        mode = stat.S_IMODE(found.st_mode)
        return Stat(stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime_ns, mode)

    def xattrs(self, path: str) -> Mapping[str, str]:
        there = self.path(path)
        return {name: os.getxattr(there, name).decode() for name in os.listxattr(there)}

    def open(self, path: str, flags: int = os.O_RDONLY) -> Handle:
        return MountedHandle(os.open(self.path(path), flags))

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.path(path), size)

    def mkdir(self, path: str) -> None:
        os.mkdir(self.path(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self.path(path))

    def remove(self, path: str) -> None:
        os.remove(self.path(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(self.path(old), self.path(new))

    def utime(self, path: str, mtime_ns: int) -> None:
        os.utime(self.path(path), ns=(mtime_ns, mtime_ns))

    def log(self) -> str:
        file = self.state / "log" / "mount.log"
        return file.read_text() if file.exists() else ""

    def left_open(self) -> list[str]:
        """The descriptors that the process that serves the mount has, and did not have at first. Connections are kept,
        and threads: no more than a pool has."""
        try:
            with open(f"/proc/{self._serving}/cmdline", "rb") as file:
                if os.fsencode(self.directory) not in file.read():
                    return []
            assert len(os.listdir(f"/proc/{self._serving}/task")) < _THREADS
            return leftovers.more(lambda: leftovers.files(self._serving), self._files)
        except (FileNotFoundError, ProcessLookupError):  # it was killed
            return []

    def close(self) -> None:
        left = self.left_open()
        done = run("umount", str(self.directory), environment=self.environment)
        if done.returncode:
            subprocess.run(["fusermount", "-u", "-z", self.directory], check=False, stderr=subprocess.DEVNULL)
        assert done.returncode == 0 or (self.journal() and "not pushed" in done.stderr), done.stderr
        assert not left, "the mount had " + ", ".join(left)


def _arguments(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            yield option
        elif value is not False and value is not None:
            yield from (option, str(value))


def environment(directory: Path) -> dict[str, str]:
    """The environment of commands whose cache and state are under *directory*; what mounts of them log is read."""
    LOGS.follow(directory / "state/regfs/log/mount.log")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGFS_", "XDG_", "DOCKER_"))}
    return {
        **kept,
        "REGFS_FUSE": ADAPTER,
        "HOME": str(directory),
        "XDG_CACHE_HOME": str(directory / "cache"),
        "XDG_STATE_HOME": str(directory / "state"),
    }


def run(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``regfs`` to its end."""
    return subprocess.run(
        [sys.executable, REGFS, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
