"""The half of the file system that changes nothing: sessions, looking, reading."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec import AbstractFileSystem
from fsspec.utils import stringify_path

from regfs.fsspec.reader import Info, RegistryReader, read_range
from regfs.library.access import SECRETS, Access
from regfs.library.sessions import PROTOCOL, Session, split_location
from regfs.library.streams import RawReader

if TYPE_CHECKING:
    from regfs.library.files import Entry, Files

_RANGES_AT_ONCE = 16  # the cache limits the requests among them
_OF_FSSPEC = frozenset(  # options of every file system, without a meaning here
    {"use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop", "batch_size"}
)


class ReadingFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Sessions with registries; looking and reading.

    :param storage_options: the fields of :class:`regfs.Access`: ``username``, ``password``, ``token``, ``anon``,
        ``insecure``, ``ssl_verify``, ``ca_file``, ``cache_dir``, ``ttl`` and others
    :raises TypeError: for an option that is none
    """

    protocol = PROTOCOL
    root_marker = ""
    _sessions: ClassVar[weakref.WeakValueDictionary[tuple[str, Access], Session]] = weakref.WeakValueDictionary()

    def __init__(self, **storage_options: Any) -> None:
        unknown = storage_options.keys() - Access.names() - _OF_FSSPEC
        if unknown:
            raise TypeError(f"unknown storage options {sorted(unknown)}; there are {sorted(Access.names())}")
        super().__init__(**storage_options)
        self._access = Access(**{name: value for name, value in storage_options.items() if name in Access.names()})
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
        return RegistryReader(self, path, self._raw(path))

    def _raw(self, path: str) -> RawReader:
        with self._at(path) as (files, parts):
            return files.read(parts, path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the bytes of a file, or some of them; negative places count from the end."""
        with self._raw(self._strip_protocol(path)) as raw:
            return read_range(raw, start, end)

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


def _read_opened(opened: Future[RawReader], start: int | None, end: int | None) -> bytes:
    return read_range(opened.result(), start, end)


def _result(job: Future[bytes], on_error: str) -> Any:
    error = job.exception()
    if error is None:
        return job.result()
    if on_error == "raise" or not isinstance(error, Exception):
        raise error
    return error
