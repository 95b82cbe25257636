"""A file being written, until its bytes are a blob in a repository; and the journal of those that are not yet.

::

    journal/ID/data        the bytes, locked (flock) by the mount that writes them
    journal/ID/meant.json  what they are meant to be; there as long as they are not what the registry has
    journal.lock           held (flock) while a file is begun, and while it is looked for those that nobody writes

Knows no aliases' manifests: what a blob is named is told to it only to be written down.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from regfs.exceptions import DXFError
from regfs.oci.target import Target as Target
from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import BAD_REQUEST, HTTPError, status_of
from regfs.registry.http.upload import AHEAD_PIECE, UploadAhead
from regfs.util.private import OTHERWISE, private_directory, private_opener

log = logging.getLogger(__name__)

_DATA = "data"
_MEANT = "meant.json"
_COPY = 1 << 20


@dataclass(frozen=True)
class Pending:
    """Bytes in the journal that did not reach the registry."""

    directory: Path
    host: str
    target: Target
    size: int
    mtime_ns: int

    @property
    def id(self) -> str:
        """What to call it."""
        return self.directory.name

    def drop(self) -> None:
        """Forget the bytes."""
        shutil.rmtree(self.directory, ignore_errors=True)


class Journal:
    """The directory of files being written, and of those whose push failed.

    :param directory: made when missing, for the user alone
    :param host: the registry that they are written to
    """

    def __init__(self, directory: Path, host: str) -> None:
        private_directory(directory, OTHERWISE)
        self.directory = directory
        self._host = host
        self._remove_abandoned()

    def stage(self, target: Target) -> Staged:
        """A new, empty file.

        :raises OSError: when there is no room for it
        """
        with self._alone():
            directory = Path(tempfile.mkdtemp(dir=self.directory))
            try:
                return Staged(directory, self._host, target)
            except OSError:
                shutil.rmtree(directory, ignore_errors=True)
                raise

    def again(self, pending: Pending) -> Staged:
        """A file of the journal, to be pushed after all.

        :raises OSError: when it is gone, or another process has taken it up
        """
        with self._alone():
            return Staged(pending.directory, pending.host, pending.target, pending)

    def superseded(self, target: Target) -> None:
        """Drop what was left here of earlier writes of *target*: the registry has a later one."""
        for pending in self.pending():
            if pending.host == self._host and pending.target == target:
                pending.drop()

    def pending(self) -> Iterator[Pending]:
        """The files that nobody writes any more and that the registry does not have, oldest first."""
        with self._alone():
            found = [_pending_in(directory) for directory in self.directory.iterdir()]
        return iter(sorted((item for item in found if item is not None), key=lambda item: item.mtime_ns))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else begins a file, or looks whether a file is somebody's, at the same time."""
        with open(self.directory.with_suffix(".lock"), "wb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_abandoned(self) -> None:
        """Remove what a killed mount left behind that the registry has."""
        with self._alone():
            for directory in self.directory.iterdir():
                with suppress(OSError):
                    if not (directory / _MEANT).exists() and not _is_locked(directory / _DATA):
                        shutil.rmtree(directory)


class Staged:
    """One file being written: any pattern of writes, hashed on the way where they come in order.

    Shared by the handles that have it open. Every method may be called from any thread.
    """

    def __init__(self, directory: Path, host: str, target: Target, again: Pending | None = None) -> None:
        self.target = target
        self._directory = directory
        self._host = host
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if again is None else 0)
        self._fd = _opened_alone(directory / _DATA, flags)
        self._broken: OSError | None = None  # why a write failed: what is here is not what the writer meant
        self._lock = threading.Lock()
        self._hasher = hashlib.sha256()
        self._hashed: int | None = 0  # bytes from the start that are hashed; None: they were written over since
        self._version = 0  # counts changes
        self._pushed = 0  # the version that the registry has
        self.size = 0
        self.digest: str | None = None  # of the version that the registry has
        self.mtime_ns = time.time_ns()
        self.sent = 0  # the place in the file up to which bytes went to the registry
        self._ahead: UploadAhead | None = None
        self._may_send_ahead = again is None  # a new file, written in order so far
        if again is not None:
            self.size, self.mtime_ns, self._version = again.size, again.mtime_ns, 1

    @property
    def is_dirty(self) -> bool:
        """Whether the registry does not have what is written here."""
        return self._version != self._pushed

    @property
    def is_broken(self) -> bool:
        """Whether a write failed: its program was told so then, and what is here is nothing to keep."""
        return self._broken is not None

    @property
    def version(self) -> int:
        """Counts the changes."""
        return self._version

    @property
    def is_untouched(self) -> bool:
        """Whether the file is as new: nothing written, nothing pushed."""
        return self.size == 0 and self.digest is None

    def sending_ahead(self, begin: Callable[[str], UploadAhead]) -> Callable[[], None] | None:
        """What to do, in another thread, to send a large file while it is being written; None when it is nothing.

        :param begin: starts the upload to a repository
        """
        written = self._hashed
        if not self._may_send_ahead or written is None or written < AHEAD_PIECE:
            return None
        with self._lock:
            if self._ahead is None:
                self._ahead = begin(self.target.repository)
            ahead = self._ahead
        if not ahead.claims(written):
            return None
        return lambda: ahead.send(Piece(self._fd, 0, written, self._send))

    def touch(self) -> None:
        """Count the file as changed: a new empty file is worth a push."""
        with self._lock:
            self._change()

    def aim(self, target: Target) -> None:
        """Change what the file is meant to be.

        :raises OSError: when that cannot be written down; it is meant to be what it was, then
        """
        with self._lock:
            if self.is_dirty and not self.is_broken:
                self._write_down(target)
            if target.repository != self.target.repository:
                self._may_send_ahead = False
            self.target = target

    def fill(self, read_into: Callable[[memoryview, int], int]) -> None:
        """Take over the bytes of an existing blob; this alone is no change.

        :param read_into: reads at an offset into a buffer and returns how many bytes
        """
        self._may_send_ahead = False  # it is there for a part of it to be written over
        buffer = memoryview(bytearray(_COPY))
        offset = 0
        while count := read_into(buffer, offset):
            with self._lock:
                self._put(buffer[:count], offset)
            offset += count

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write bytes; returns how many.

        :raises OSError: when the disk is full; what was written before stays
        """
        with self._lock:  # of both: a version is pushed with every byte that it counts
            self._change()
            self._put(memoryview(data), offset)
        return len(data)

    def _put(self, data: memoryview, offset: int) -> None:
        rest, position = data, offset
        while rest:
            try:
                written = os.pwrite(self._fd, rest, position)
            except OSError as error:
                self._broken = error
                (self._directory / _MEANT).unlink(missing_ok=True)  # it is never what was meant, from here on
                raise
            rest, position = rest[written:], position + written
            self.size = max(self.size, position)
        if self._hashed is not None and offset == self._hashed:
            self._hasher.update(data)
            self._hashed += len(data)
        elif self._hashed is not None and offset < self._hashed:
            self._hashed, self._may_send_ahead = None, False

    def truncate(self, size: int) -> None:
        """Cut the file, or lengthen it with zeros."""
        with self._lock:
            self._change()
            os.ftruncate(self._fd, size)
            self.size = size
            if self._hashed is not None and size < self._hashed and self._ahead is not None:
                self._may_send_ahead = False
            if size == 0:
                self._hasher, self._hashed = hashlib.sha256(), 0
                if self.is_broken:
                    self._write_down(self.target)
                    self._broken = None
            elif self._hashed is not None and size < self._hashed:
                self._hashed = None

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read what is written so far."""
        return os.preadv(self._fd, [buffer], offset)

    def push(self, remote: Remote, have: Callable[[str], bool]) -> tuple[str, int, int]:
        """Make the bytes a blob of the target's repository.

        :param have: whether the repository has, or could be made to have, a digest without an upload
        :returns: digest, size in bytes, and the version to call :meth:`clean` with once they have their name
        :raises requests.RequestException: when the push failed; the bytes stay in the journal
        :raises OSError: when a write had failed before
        """
        if self._broken is not None:
            raise OSError(self._broken.errno, f"not published, a write failed: {self._broken.strerror}")
        while True:
            digest, size, version = self._digest()
            try:
                if have(digest):
                    self._cancel_ahead()
                elif not self._finish_ahead(Piece(self._fd, 0, size, self._send), digest):
                    remote.push_blob(self.target.repository, Piece(self._fd, 0, size, self._send), digest)
            except (CutShort, HTTPError) as error:
                refused = isinstance(error, CutShort) or status_of(error) == BAD_REQUEST
                if not refused or version == self._version:
                    raise  # else it was for what somebody wrote meanwhile: the bytes were not the digest's any more
            if version == self._version:
                return digest, size, version

    def _send(self, position: int) -> None:
        self.sent = position

    def _finish_ahead(self, content: Piece, digest: str) -> bool:
        """Complete what was sent while the file was written; False when it has to be sent as a whole."""
        with self._lock:
            ahead, self._ahead = self._ahead, None
            in_order, self._may_send_ahead = self._may_send_ahead, False
        if ahead is None:
            return False
        if not in_order:
            ahead.cancel()
            return False
        return ahead.finish(content, digest)

    def _cancel_ahead(self) -> None:
        with self._lock:
            ahead, self._ahead, self._may_send_ahead = self._ahead, None, False
        if ahead is not None:
            ahead.cancel()

    def _digest(self) -> tuple[str, int, int]:
        with self._lock:
            if self._hashed is None:
                self._hasher, self._hashed = hashlib.sha256(), 0
            while self._hashed < self.size:
                chunk = os.pread(self._fd, min(_COPY, self.size - self._hashed), self._hashed)
                self._hasher.update(chunk)
                self._hashed += len(chunk)
            return "sha256:" + self._hasher.hexdigest(), self.size, self._version

    def clean(self, version: int, digest: str) -> None:
        """Note that the registry has *version*, of this *digest*, under its name."""
        with self._lock:
            if version < self._pushed:
                return  # somebody else's push, of what was written since, was quicker
            self._pushed, self.digest = version, digest
            if not self.is_dirty:
                (self._directory / _MEANT).unlink(missing_ok=True)

    def close(self, adopt: Callable[[str, Path], None] | None = None) -> None:
        """Let go of the file. What the registry does not have stays in the journal, but for what was not all written.

        :param adopt: takes a file over whose bytes the registry has
        """
        self._cancel_ahead()
        if not self.is_dirty or self.is_broken:
            if adopt is not None and self.digest is not None and not self.is_broken:
                adopt(self.digest, self._directory / _DATA)
            shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._fd)

    def discard(self) -> None:
        """Drop the file: nobody wants its bytes."""
        with self._lock:
            self._pushed, self.digest = self._version, None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _change(self) -> None:
        if not self.is_dirty and not self.is_broken:
            self._write_down(self.target)
        self._version += 1
        self.mtime_ns = time.time_ns()

    def _write_down(self, target: Target) -> None:
        meant = json.dumps({"host": self._host, **asdict(target)})
        fresh = self._directory / (_MEANT + ".new")
        with open(fresh, "w", encoding="ascii", opener=private_opener) as file:
            file.write(meant)
        os.replace(fresh, self._directory / _MEANT)


class CutShort(DXFError):
    """There are fewer bytes than were to be sent. Nothing waits for them then, and nothing tries again."""


class Piece:
    """The bytes of an open file from *start* up to *end*, as a request's body; its position is its own.

    :param sent: told the place in the file up to which bytes were taken
    """

    def __init__(self, fd: int, start: int, end: int, sent: Callable[[int], object] = lambda position: None) -> None:
        self._sent = sent
        self._fd = fd
        self._start = start
        self._end = end
        self._offset = start

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def seek(self, offset: int) -> None:
        """Go to a place, counted from the start of the piece."""
        self._offset = self._start + offset

    def read(self, size: int = _COPY) -> bytes:
        """The next bytes. A caller that asks for few at a time is given many: the syscalls are what costs."""
        chunk = os.pread(self._fd, min(max(size, _COPY), self._end - self._offset), self._offset)
        self._offset += len(chunk)
        self._sent(self._offset)
        if not chunk and self._offset < self._end:
            self.cut_short()
        return chunk

    def cut_short(self) -> None:
        """The file ends before the piece does."""
        raise CutShort("the file was cut short while it was sent")

    def piece(self, start: int, end: int) -> Piece:
        """The bytes from *start* up to *end*, counted from the start of this piece."""
        return Piece(self._fd, self._start + start, self._start + end, self._sent)


def _opened_alone(path: Path, flags: int) -> int:
    """Open a file as one's own.

    :raises BlockingIOError: when a process has done so
    """
    fd = os.open(path, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _pending_in(directory: Path) -> Pending | None:
    """What a directory of the journal holds; None when somebody writes it, or it is not whole."""
    try:
        meant = json.loads((directory / _MEANT).read_bytes())
        if _is_locked(directory / _DATA):
            return None
        target = Target(meant["repository"], meant["alias"], tuple(meant["title"]))
        status = (directory / _DATA).stat()
        return Pending(directory, meant["host"], target, status.st_size, status.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_locked(path: Path) -> bool:
    """Whether a process has the file open as its own."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
