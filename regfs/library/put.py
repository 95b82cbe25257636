"""Local files → a tag: blobs pushed several at a time, then one manifest that names them all.

The tag stays as it was until every blob is there.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from regfs.library.artifacts import NotPossible, require_alias
from regfs.oci.edits import NewBytes, editable, rfc3339
from regfs.oci.manifest import MAX_BYTES, Descriptor, Manifest
from regfs.oci.reference import Reference
from regfs.oci.titles import Files, Path, files_of, title_path
from regfs.registry.api import RegistryError
from regfs.session import Graph
from regfs.util.jobs import finished
from regfs.write.content import Piece, Snapshot

_BLOBS_AT_ONCE = 8
_AT_ONCE = 1 << 20  # bytes of a file that is read once, and sent from memory
_LEAST = 200  # bytes of a layer in a manifest, beside its title

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Pushed:
    """An alias after files were put into it.

    :param digest: of its manifest
    :param files: the files that were put, by their titles
    """

    digest: str
    files: Mapping[Path, Descriptor]


def find(sources: Sequence[str], title: str | None = None) -> dict[Path, str]:
    """The files to push, by the titles they get: a file its name, those of a directory its name and theirs in it.

    A directory written with ``.`` at its end, as in ``cp -r DIR/. …``, leaves its own name out. Links to files are
    followed.

    :param title: what the one source is called instead; ``.`` for a directory leaves its own name out
    :raises NotPossible: for what cannot be a file of an alias; the text says which, and why
    """
    found: dict[Path, str] = {}
    for source in sources:
        base = _base(source) if title is None else tuple(part for part in title.split("/") if part != ".")
        for path, local in _walk(source, base, follow=True):
            if found.setdefault(path, local) != local:
                raise NotPossible(f"{found[path]} and {local} would both be {'/'.join(path)}")
    if not found:
        raise NotPossible(f"there is no file in {', '.join(sources)}; a registry keeps no empty directories")
    named = Files()
    for path in found:
        if not named.add(path, Descriptor("", 0)):
            raise NotPossible(f"{'/'.join(path)} would be a file and a directory")
    return found


def size_of(files: Mapping[Path, str]) -> int:
    """Bytes of all files together, as far as that can be told now."""
    total = 0
    for local in files.values():
        with suppress(OSError):
            total += os.stat(local).st_size
    return total


def _base(source: str) -> Path:
    last = source.rstrip("/").rpartition("/")[2]
    return () if last in ("", ".", "..") else (last,)


def _walk(local: str, path: Path, follow: bool = False) -> Iterator[tuple[Path, str]]:
    """The files at and below a path.

    :param follow: whether it may be a link to a directory
    """
    with _told(local):
        status = os.stat(local)
        if stat.S_ISDIR(status.st_mode):
            if not follow and stat.S_ISLNK(os.lstat(local).st_mode):
                raise NotPossible(f"{local} is a link to a directory; to put that, name it")
            names = sorted(os.listdir(local))
        elif not stat.S_ISREG(status.st_mode):
            raise NotPossible(f"{local} is neither a file nor a directory")
    if path or not stat.S_ISDIR(status.st_mode):
        _require_title(local, path)
    if not stat.S_ISDIR(status.st_mode):
        yield path, local
        return
    for name in names:
        yield from _walk(os.path.join(local, name), (*path, name))


def _require_title(local: str, path: Path) -> None:
    if title_path("/".join(path)) != path:
        raise NotPossible(f"{local}: a file in a registry cannot be called {'/'.join(path)!r}")


@contextmanager
def _told(local: str) -> Iterator[None]:
    """Name the local file in what goes wrong with it."""
    try:
        yield
    except OSError as error:
        raise NotPossible(f"{local}: {error.strerror}") from None


def push(graph: Graph, reference: Reference, files: Mapping[Path, str], progress: Progress) -> Pushed:
    """Put local files into an alias, which is made when it does not exist; files of the same titles are replaced.

    :param files: what :func:`find` found
    :param progress: called with a number of bytes when they are sent, or need not be
    :raises NotPossible: for a file that cannot be read, or changes meanwhile; for an alias that cannot have it
    :raises Refused: for an alias that is multi-platform, signed, or would be too large
    :raises RegistryError: when the registry did not take it
    """
    require_alias(reference)
    repository, alias = reference.repository or "", reference.alias or ""
    graph.remote.expect_push(repository)
    old = editable(f"{repository}:{alias}", graph.catalog.current(repository, alias))
    present = files_of(old) if old is not None else Files()
    _require_room(reference, present, files)
    graph.blobs.seen(repository, old.layers if old is not None else ())
    digest = graph.publisher.files(repository, alias, lambda: _push_all(graph, repository, files, progress))
    manifest = graph.catalog.manifest(repository, digest)
    named = files_of(manifest).blobs if isinstance(manifest, Manifest) else {}
    return Pushed(digest, {path: named[path] for path in files})


def _require_room(reference: Reference, present: Files, files: Mapping[Path, str]) -> None:
    """Refuse what the manifest could not name, before anything is sent."""
    size = 0
    for path in files:
        above = next((path[:length] for length in range(1, len(path)) if path[:length] in present.blobs), None)
        if above is not None:
            raise NotPossible(f"{reference} has a file {'/'.join(above)}, which would have to be a directory")
        if path in present.folders or path in present.packed:
            raise NotPossible(f"{reference} has a directory {'/'.join(path)}; a file cannot be called that")
        size += len("/".join(path).encode()) + _LEAST
    if size > MAX_BYTES:
        raise NotPossible(
            f"{len(files)} files are too many for one alias: its manifest would be over {MAX_BYTES} bytes"
        )


def _push_all(graph: Graph, repository: str, files: Mapping[Path, str], progress: Progress) -> dict[Path, NewBytes]:
    """Push the blobs of files; returns their bytes, in the order of the files.

    :raises: the first error of any of them
    """
    pool = ThreadPoolExecutor(_BLOBS_AT_ONCE, "regfs-put")
    try:
        jobs = [pool.submit(_push, graph, repository, local, progress) for local in files.values()]
        finished(jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return dict(zip(files, (job.result() for job in jobs), strict=True))


def _push(graph: Graph, repository: str, local: str, progress: Progress) -> NewBytes:
    with _told(local):
        file = LocalFile(local)
    try:
        snapshot = graph.blobs.push(repository, file)
    except RegistryError:
        file.require_unchanged()  # a registry refuses bytes that are not those that were hashed
        raise
    finally:
        file.close()
    progress(file.size)
    return NewBytes(snapshot.digest, snapshot.size, rfc3339(file.mtime_ns))


class LocalFile:
    """A file that is to stay as it is while it is read.

    :raises OSError: when it cannot be opened
    :raises NotPossible: when it is none
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._status = os.fstat(self._fd)
        self.size = self._status.st_size
        self.mtime_ns = self._status.st_mtime_ns
        if not stat.S_ISREG(self._status.st_mode):
            self.close()
            raise NotPossible(f"{path} is not a file any more")

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def snapshot(self) -> Snapshot:
        """Hash the bytes; those of a small file are kept, those of a large one are read again to be sent.

        :raises NotPossible: when it cannot be read, or changed meanwhile
        """
        hasher = hashlib.sha256()
        content, kept = _Steady(self, self._fd, 0, self.size), []
        with _told(self._path):
            for chunk in content:
                hasher.update(chunk)
                if self.size <= _AT_ONCE:
                    kept.append(chunk)
        self.require_unchanged()
        body = content if self.size > _AT_ONCE else b"".join(kept)
        return Snapshot("sha256:" + hasher.hexdigest(), self.size, 0, body)

    def is_still(self, snapshot: Snapshot) -> bool:
        """Whether nothing was changed: a file that was is not put at all."""
        return True

    def require_unchanged(self) -> None:
        """Make sure that it is the file that was opened.

        :raises NotPossible: when it has changed
        """
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise NotPossible(f"{self._path} changed while it was read; nothing was put")


class _Steady(Piece):
    """The bytes of a file that must not become shorter."""

    def __init__(self, file: LocalFile, fd: int, start: int, end: int) -> None:
        super().__init__(fd, start, end)
        self._file = file

    def cut_short(self) -> None:
        self._file.require_unchanged()

    def piece(self, start: int, end: int) -> _Steady:
        return _Steady(self._file, self._fd, self._start + start, self._start + end)
