"""Files of an alias → files of a directory: several at a time, verified, each there whole or not at all.

Titles are hostile: a file lands below the directory, whatever it is called and whatever links are in there.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from regfs.cache.verifier import MirrorMismatch
from regfs.library.artifacts import File, NothingThere, sized
from regfs.oci.titles import Path as TitlePath
from regfs.registry.api import NotFound
from regfs.session import Graph
from regfs.util.jobs import finished

_FILES_AT_ONCE = 4
_COPY = 1 << 20
_CLEANING = 3.0  # seconds

Progress = Callable[[int], object]


class Destination:
    """A directory to put files into. No link in it is followed; it is made when it is missing.

    :raises OSError: when it cannot be had
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self._lock = threading.Lock()  # of the two below
        self._passing = 0  # files on their way in
        self._ended = False
        try:
            os.makedirs(directory, exist_ok=True)
            self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise OSError(error.errno, f"cannot write into {directory}: {error.strerror}") from None

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._root)

    def has(self, path: TitlePath) -> bool:
        """Whether there is something at *path*."""
        try:
            with self._directory(path[:-1]) as directory:
                os.stat(path[-1], dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def adding(self, path: TitlePath) -> Iterator[int]:
        """Yield a descriptor to write to; what was written is at *path* afterwards, unless an error came.

        :raises OSError: when there is no room, or something is in the way
        """
        with self._counted(), self._directory(path[:-1]) as directory:
            passing = f".{os.urandom(8).hex()}.regfs"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(passing, flags, 0o666, dir_fd=directory)
            try:
                try:
                    yield fd
                finally:
                    os.close(fd)
                os.replace(passing, path[-1], src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(passing, dir_fd=directory)
                raise

    def make_directory(self, path: TitlePath, mtime_ns: int) -> None:
        """Make a directory, unless it is there, and set its time.

        :raises OSError: when something is in the way
        """
        with self._counted(), self._directory(path) as directory:
            os.utime(directory, ns=(mtime_ns, mtime_ns))

    def add_link(self, path: TitlePath, target: str) -> None:
        """Put a symbolic link at *path*, in the place of a file or a link.

        :raises OSError: when something else is in the way
        """
        with self._counted(), self._directory(path[:-1]) as directory:
            passing = f".{os.urandom(8).hex()}.regfs"
            os.symlink(target, passing, dir_fd=directory)
            try:
                os.replace(passing, path[-1], src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                os.unlink(passing, dir_fd=directory)
                raise

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            if self._ended:
                raise OSError(errno.ECANCELED, "stopped")
            self._passing += 1
        try:
            yield
        finally:
            with self._lock:
                self._passing -= 1

    def end(self) -> None:
        """Take no more files; those that are on their way in come, or are removed, as it goes."""
        with self._lock:
            self._ended = True

    @property
    def is_filling(self) -> bool:
        """Whether files are on their way in."""
        return self._passing > 0

    @contextmanager
    def _directory(self, parts: TitlePath) -> Iterator[int]:
        """A descriptor of a directory below, which is made when it is missing."""
        fd = os.dup(self._root)
        try:
            for length, name in enumerate(parts, 1):
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
                inner = self._enter(fd, parts[:length])
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _enter(self, fd: int, parts: TitlePath) -> int:
        try:
            return os.open(parts[-1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            way = self.path.joinpath(*parts)
            raise OSError(errno.ENOTDIR, f"{way} is in the way: a file, or a link, which is not followed") from None


def pull(graph: Graph, files: Sequence[tuple[File, TitlePath]], goal: Destination, progress: Progress) -> None:
    """Put files into a directory.

    :param files: each with the path that it gets
    :param progress: called with a number of bytes when they are there
    :raises NothingThere: at the end, for files that the registry leaves to other hosts
    :raises: the first other error of any of them, an OSError with the file that could not be written; those that are
        whole stay, and nothing half is left
    """
    foreign: list[str] = []
    pool = ThreadPoolExecutor(_FILES_AT_ONCE, "regfs-get")
    try:
        jobs = [pool.submit(_pull, graph, file, goal, path, progress, foreign) for file, path in files]
        finished(jobs)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _stop(graph, goal)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if foreign:
        raise NothingThere(f"not in the registry: {', '.join(sorted(foreign))}; regfs does not ask other hosts")


def _stop(graph: Graph, goal: Destination) -> None:
    """Let those who wait for bytes stop and clean up; also those who only now begin to wait."""
    goal.end()
    until = monotonic() + _CLEANING
    while goal.is_filling and monotonic() < until:
        graph.fetcher.close()
        sleep(0.05)


def _pull(graph: Graph, file: File, goal: Destination, path: TitlePath, progress: Progress, foreign: list[str]) -> None:
    try:
        with goal.adding(path) as fd:
            copy(graph, file, fd, progress)
    except NotFound:
        hosts = [urlsplit(url).hostname or "" for url in file.blob.urls]
        if not hosts:
            raise
        foreign.append(f"{'/'.join(path)} (at {', '.join(dict.fromkeys(hosts))})")
    except IsADirectoryError:
        raise OSError(errno.EISDIR, f"{goal.path.joinpath(*path)} is a directory") from None
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(error.errno, f"cannot write {goal.path.joinpath(*path)}: {error.strerror}") from None


def copy(graph: Graph, file: File, fd: int, progress: Progress) -> None:
    """Write the bytes of a file to an open one. The end of a blob that is not its digest is never written.

    :raises DigestMismatch: when the registry's bytes are not the blob's
    :raises RegistryError: when they could not be fetched
    :raises OSError: when they could not be written
    """
    file = sized(graph, file)
    try:
        _copy(graph, file, fd, progress)
    except MirrorMismatch:
        os.lseek(fd, 0, os.SEEK_SET)
        os.ftruncate(fd, 0)
        _copy(graph, file, fd, progress)  # this time from the registry itself


def _copy(graph: Graph, file: File, fd: int, progress: Progress) -> None:
    reader = graph.fetcher.open(file.repository, file.blob)
    try:
        buffer = memoryview(bytearray(max(1, min(_COPY, file.blob.size))))
        offset = 0
        while count := reader.read_into(buffer, offset):
            _write(fd, buffer[:count])
            offset += count
            progress(count)
    finally:
        reader.close()
    if offset != file.blob.size:
        raise OSError(errno.EIO, f"{file.blob.digest} ends at byte {offset} of {file.blob.size}")


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
