"""``regfs://`` for fsspec: pandas, pyarrow, Dask, zarr and others read and write a registry without a mount.

Adapts :class:`regfs.library.files.Files`, and decides nothing about registries. fsspec belongs to this file.

What fsspec calls a path is ``HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]/PATH`` here: the tree of a mount, below the host.
"""

from __future__ import annotations

import io
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

try:
    from fsspec import AbstractFileSystem
    from fsspec.callbacks import DEFAULT_CALLBACK
    from fsspec.transaction import Transaction
    from fsspec.utils import stringify_path
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("regfs.fsspec needs fsspec: pip install 'regfs[fsspec]'", name=error.name) from None

from regfs.library.access import SECRETS, Access
from regfs.library.sessions import PROTOCOL, Session, split_location
from regfs.library.streams import RawReader, ReadStream, WriteStream

if TYPE_CHECKING:
    from regfs.library.changes import Changes
    from regfs.library.files import Entry, Files

_RANGES_AT_ONCE = 16  # the cache limits the requests among them
_OF_FSSPEC = frozenset(
    {"use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop", "batch_size"}
)
Info = dict[str, Any]


class RegistryTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """Writes that become one manifest for each tag, when all of them are closed and pushed."""

    fs: RegistryFileSystem
    files: deque[WriteStream]

    def complete(self, commit: bool = True) -> None:
        """Name everything that was written, or drop it.

        :raises OSError: when the registry did not take it; the bytes stay in the journal
        """
        files, self.files = list(self.files), deque()
        filesystem = self.fs
        filesystem._intrans, filesystem._transaction = False, None
        try:
            if commit:
                for file in files:
                    file.close()
                filesystem.publish(files)
        finally:
            for file in files:
                file.end(keep=commit)


class RegistryFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Container registries as an fsspec file system.

    :param storage_options: the fields of :class:`regfs.Access`: ``username``, ``password``, ``token``, ``anon``,
        ``insecure``, ``ssl_verify``, ``ca_file``, ``cache_dir``, ``ttl`` and others
    :raises TypeError: for an option that is none
    """

    protocol = PROTOCOL
    transaction_type = RegistryTransaction
    root_marker = ""
    _sessions: ClassVar[weakref.WeakValueDictionary[tuple[str, Access], Session]] = weakref.WeakValueDictionary()
    _sessions_lock: ClassVar[Lock] = Lock()

    def __init__(self, **storage_options: Any) -> None:
        unknown = storage_options.keys() - Access.names() - _OF_FSSPEC
        if unknown:
            raise TypeError(f"unknown storage options {sorted(unknown)}; there are {sorted(Access.names())}")
        super().__init__(**storage_options)
        given = {name: value for name, value in storage_options.items() if name in Access.names()}
        for name in ("mirrors", "repositories"):
            if name in given:
                given[name] = tuple(given[name])
        self._access = Access(**given)
        self._own: dict[str, Session] = {}

    def __reduce__(self) -> Any:
        """Pickle no secret: where it is unpickled, the logins of that machine count."""
        function, (kind, arguments, options) = super().__reduce__()
        return function, (kind, arguments, {name: value for name, value in options.items() if name not in SECRETS})

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return what describes the file system, for ``to_json``.

        :param include_password: whether with its secrets
        """
        described: dict[str, Any] = super().to_dict(include_password=include_password)
        return described if include_password else {k: v for k, v in described.items() if k not in SECRETS}

    @property
    def fsid(self) -> str:
        """A name for all registries."""
        return PROTOCOL

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        stripped = stringify_path(path).removeprefix(f"{PROTOCOL}://").removeprefix(f"{PROTOCOL}::")
        return stripped.strip("/")

    @classmethod
    def _parent(cls, path: Any) -> str:
        return str(cls._strip_protocol(path)).rpartition("/")[0]

    def session(self, path: str) -> Session:
        """Return the session with the registry of a path; file systems with the same options share it."""
        host = split_location(self._strip_protocol(path))[0]
        if not host:
            raise FileNotFoundError(2, "a path begins with the registry: regfs://HOST[:PORT]/REPOSITORY:TAG/PATH", path)
        session = self._own.get(host)
        if session is None:
            with self._sessions_lock:
                session = self._sessions.setdefault((host, self._access), Session(host, self._access))
            self._own[host] = session
        return session

    def close(self) -> None:
        """Close the connections of all registries; the next use connects again."""
        for session in self._own.values():
            session.close()

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[Files, tuple[str, ...]]]:
        """Yield the files of a path's registry, and the path in it."""
        from regfs.library.errors import raising_os_errors

        session = self.session(path)
        with raising_os_errors(path):
            yield session.files, split_location(path)[1]

    # Looking

    def info(self, path: str, **kwargs: Any) -> Info:
        """Return name, size, type, mtime; where there are any, digest, media_type, annotations.

        :raises FileNotFoundError: when nothing is there
        """
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        with self._at(path) as (files, parts):
            return _info(path, files.entry(parts))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Info] | list[str]:
        """Return what is in a directory, or the file itself.

        :raises FileNotFoundError: when nothing is there
        """
        path = self._strip_protocol(path)
        if not path:
            found = [{"name": host, "size": 0, "type": "directory"} for host in self._own]
        else:
            found = self._listed(path)
        return found if detail else [str(item["name"]) for item in found]

    def _listed(self, path: str) -> list[Info]:
        with self._at(path) as (files, parts):
            try:
                return [_info(f"{path}/{name}", entry) for name, entry in files.list(parts)]
            except NotADirectoryError:
                return [_info(path, files.entry(parts))]

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether anything is there. Unlike other implementations this raises when the registry does not answer."""
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def checksum(self, path: str) -> Any:
        """Return the digest: of a file, or of the manifest of a tag."""
        return self.ukey(path)

    def ukey(self, path: str) -> str:
        """Return the digest: of a file, or of the manifest of a tag."""
        return str(self.info(path).get("digest") or super().ukey(path))

    def modified(self, path: str) -> datetime:
        """Return the time of modification."""
        return datetime.fromtimestamp(self.info(path)["mtime"], timezone.utc)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Ask the registry what the tag of *path* is now. Without a path nothing is done: ``ttl`` limits the age."""
        super().invalidate_cache(path)
        if path is not None and not self._intrans:
            with self._at(self._strip_protocol(path)) as (files, parts):
                files.refresh(parts)

    # Reading

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **kwargs: Any) -> Any:
        if mode == "rb":
            return RegistryReader(self, path, self._raw(path))
        with self._at(path) as (files, parts):
            return files.write(parts, mode, path, deferred=not autocommit)

    def _raw(self, path: str) -> RawReader:
        with self._at(path) as (files, parts):
            return files.read(parts, path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the bytes of a file, or some of them; negative places count from the end."""
        with self._raw(self._strip_protocol(path)) as raw:
            return _read(raw, start, end)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Return ranges of files, read in parallel; a file that is named often is opened once.

        :param max_gap: makes no difference: ranges that are near each other are in one chunk of the cache
        :param on_error: with ``return`` an error is in the place of the bytes
        """
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        if len(starts) != len(paths) or len(ends) != len(paths):
            raise ValueError("paths, starts and ends have different lengths")
        ranges = [(self._strip_protocol(path), *place) for path, *place in zip(paths, starts, ends, strict=True)]
        return self._read_ranges(ranges, on_error)

    def _read_ranges(self, ranges: list[tuple[str, int | None, int | None]], on_error: str) -> list[Any]:
        # What is opened comes first: no reading waits for a file that waits for a free thread. In the order of the
        # places, as the cache fetches what is next to each other at once.
        order = sorted(range(len(ranges)), key=lambda number: (ranges[number][0], ranges[number][1] or 0))
        with ThreadPoolExecutor(_RANGES_AT_ONCE, "regfs-ranges") as pool:
            opened = {path: pool.submit(self._raw, path) for path in dict.fromkeys(path for path, _, _ in ranges)}
            try:
                jobs = {number: pool.submit(_read_opened, opened[ranges[number][0]], *ranges[number][1:])
                        for number in order}  # fmt: skip
                return [_result(jobs[number], on_error) for number in range(len(ranges))]
            finally:
                pool.shutdown(cancel_futures=True)
                for raw in opened.values():
                    if not raw.cancelled() and raw.exception() is None:
                        raw.result().close()

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Return the bytes of a file, or of several by their paths, read in parallel."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and not isinstance(path, list) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0], **kwargs)
        if recursive:
            paths = [one for one in paths if not self.isdir(one)]
        found = self._read_ranges([(one, None, None) for one in paths], "raise" if on_error == "raise" else "return")
        pairs = zip(paths, found, strict=True)
        return {one: got for one, got in pairs if on_error != "omit" or not isinstance(got, Exception)}

    # Writing

    @contextmanager
    def _changing(
        self, path: str, changes: dict[str, Changes] | None
    ) -> Iterator[tuple[Files, tuple[str, ...], Changes]]:
        """Yield where to note changes: with those of a larger operation, else they are made at the end.

        :param changes: of the larger operation, by registry
        """
        with self._at(path) as (files, parts):
            if changes is None:
                own = files.changes()
                yield files, parts, own
                own.commit()
                return
            host = split_location(path)[0]
            if host not in changes:
                changes[host] = files.changes()
            yield files, parts, changes[host]

    @contextmanager
    def _together(self) -> Iterator[dict[str, Changes]]:
        """Yield changes of several files by registry; at the end each tag gets one manifest."""
        from regfs.library.errors import raising_os_errors

        changes: dict[str, Changes] = {}
        yield changes
        for host, made in changes.items():
            with raising_os_errors(host):
                made.commit()

    def publish(self, writers: list[WriteStream]) -> None:
        """Name what was written, in one manifest for each tag. Called by transactions."""
        with self._together() as changes:
            for writer in writers:
                with self._changing(writer.path, changes) as (files, parts, made):
                    files.put_staged(made, parts, writer.staged)

    def pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        changes: dict[str, Changes] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a file."""
        path = self._strip_protocol(path)
        if mode == "create" and self.exists(path):
            raise FileExistsError(17, "exists", path)
        if self._intrans:
            with self.open(path, "wb") as file:
                file.write(value)
            return
        with self._changing(path, changes) as (files, parts, made):
            files.put(made, parts, bytes(value))

    def pipe(self, path: Any, value: bytes | None = None, **kwargs: Any) -> None:
        """Write a file, or several, by one manifest for each tag."""
        if not isinstance(path, dict):
            super().pipe(path, value, **kwargs)
            return
        with self._together() as changes:
            for one, content in path.items():
                self.pipe_file(one, content, changes=changes, **kwargs)

    def put_file(self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite",
                 changes: dict[str, Changes] | None = None, **kwargs: Any) -> None:  # fmt: skip
        """Write a local file, or make a directory."""
        rpath = self._strip_protocol(rpath)
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(17, "exists", rpath)
        local = Path(lpath)
        if local.is_dir():
            self.makedirs(rpath, exist_ok=True)
        elif self._intrans:
            super().put_file(lpath, rpath, callback, mode, **kwargs)
        else:
            size = local.stat().st_size
            callback.set_size(size)
            with self._changing(rpath, changes) as (files, parts, made):
                files.put_local(made, parts, str(local))
            callback.relative_update(size)

    def put(self, lpath: Any, rpath: Any, recursive: bool = False, **kwargs: Any) -> None:
        """Write local files: several are pushed in parallel, and named by one manifest for each tag."""
        with self._together() as changes:
            super().put(lpath, rpath, recursive=recursive, changes=changes, **kwargs)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file; an existing one is emptied, unless *truncate* is false."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")

    def cp_file(self, path1: str, path2: str, changes: dict[str, Changes] | None = None, **kwargs: Any) -> None:
        """Give a file a second path. No bytes move inside of a registry that mounts blobs."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if split_location(path1)[0] != split_location(path2)[0]:
            self._copy_to_other_registry(path1, path2)
            return
        with self._at(path1) as (_, source), self._changing(path2, changes) as (files, goal, made):
            files.copy(made, source, goal)

    def _copy_to_other_registry(self, path1: str, path2: str) -> None:
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        with self.open(path1, "rb") as source, self.open(path2, "wb", autocommit=True) as goal:
            while data := source.read(self.blocksize):
                goal.write(data)

    def copy(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> None:
        """Copy files, by one manifest for each tag."""
        with self._together() as changes:
            super().copy(path1, path2, recursive=recursive, changes=changes, **kwargs)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move files. No bytes move inside of a registry that mounts blobs; a tag is retagged."""
        if not self._renamed(path1, path2, recursive, maxdepth):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def _renamed(self, path1: Any, path2: Any, recursive: bool, maxdepth: int | None) -> bool:
        """Rename a file, or a directory to what does not exist; returns whether that was asked for, and possible."""
        if not isinstance(path1, str) or not isinstance(path2, str) or maxdepth is not None:
            return False
        old, new = self._strip_protocol(path1), self._strip_protocol(path2)
        if old == new or path2.endswith("/") or split_location(old)[0] != split_location(new)[0] or self.isdir(new):
            return False
        if not self.isfile(old) and not (recursive and self.isdir(old)):
            return False
        with self._at(old) as (files, source):
            return files.rename(source, split_location(new)[1])

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self.rm(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, by one manifest for each tag. With *recursive* a directory, or a tag as a whole."""
        deep = recursive and maxdepth is None
        paths = self.expand_path(path) if deep else self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        with self._together() as changes:
            for one in paths:
                if deep or not (recursive and self.isdir(one)):
                    with self._changing(one, changes) as (files, parts, made):
                        files.remove(made, parts, recursive)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a directory. A registry keeps no empty ones: it is in this process until a file lands in it.

        :raises FileExistsError: when it exists
        """
        path = self._strip_protocol(path)
        if not create_parents and not self.isdir(self._parent(path)):
            raise FileNotFoundError(2, "no such directory", self._parent(path))
        self.makedirs(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory and those above it.

        :raises FileExistsError: when it exists, unless *exist_ok*
        """
        path = self._strip_protocol(path)
        if not path:
            return
        with self._at(path) as (files, parts):
            if not files.make_directories(parts) and not exist_ok:
                raise FileExistsError(17, "exists", path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; of a tag without files, the tag."""
        with self._at(self._strip_protocol(path)) as (files, parts):
            files.remove_directory(parts)


class RegistryReader(ReadStream):
    """An open file of a registry, as fsspec has them."""

    mode = "rb"

    def __init__(self, fs: RegistryFileSystem, path: str, raw: RawReader) -> None:
        super().__init__(raw)
        self.fs = fs
        self.path = path
        self.blocksize = fs.blocksize

    def __reduce__(self) -> Any:
        """Pickle where it is: what is unpickled is opened anew."""
        return _reopened, (self.fs, self.path, self.tell())

    @property
    def full_name(self) -> str:
        """The path with its protocol."""
        return f"{PROTOCOL}://{self.path}"

    @property
    def details(self) -> Info:
        """What is at the path now."""
        return self.fs.info(self.path)

    def info(self) -> Info:
        """Return what is at the path now."""
        return self.details

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        """Return the bytes up to, and with, the next *char*."""
        found = bytearray()
        while part := self.read(1 << 12):
            found += part
            at = found.find(char)
            if at >= 0:
                self.seek(at + len(char) - len(found), io.SEEK_CUR)
                return bytes(found[: at + len(char)])
        return bytes(found)


def _reopened(fs: RegistryFileSystem, path: str, place: int) -> RegistryReader:
    file = RegistryReader(fs, path, fs._raw(path))
    file.seek(place)
    return file


def _info(path: str, entry: Entry) -> Info:
    """Return what fsspec knows of a path."""
    known = {
        "digest": entry.digest,
        "media_type": entry.media_type,
        "annotations": dict(entry.annotations),
        "destination": entry.destination,
    }
    found: Info = {"name": path, "size": entry.size, "type": entry.kind, "mtime": entry.mtime}
    return found | {name: value for name, value in known.items() if value}


def _read(raw: RawReader, start: int | None, end: int | None) -> bytes:
    """Return bytes of a file; negative places count from the end."""
    first, last, _ = slice(start, end).indices(raw.size)
    buffer = bytearray(max(0, last - first))
    return bytes(memoryview(buffer)[: raw.read_at(memoryview(buffer), first)])


def _read_opened(opened: Future[RawReader], start: int | None, end: int | None) -> bytes:
    return _read(opened.result(), start, end)


def _result(job: Future[bytes], on_error: str) -> Any:
    error = job.exception()
    if error is None:
        return job.result()
    if on_error == "raise" or not isinstance(error, Exception):
        raise error
    return error
