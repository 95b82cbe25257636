"""Sessions: one registry, as programs use it without a mount. The cache is the one of mounts.

Imports the object graph when it is first needed; a fork builds one of its own.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, TextIO, cast, overload

from regfs.library.access import Access

if TYPE_CHECKING:
    from regfs.cache.store import BlobStore
    from regfs.library.files import Files
    from regfs.library.streams import ReadStream, WriteStream
    from regfs.oci.reference import Reference
    from regfs.registry.api import Registry
    from regfs.session import Graph
    from regfs.write.tags import TagEditor

PROTOCOL = "regfs"
BinaryMode = Literal["rb", "wb", "xb", "ab", "r+b", "rb+", "w+b", "wb+"]
TextMode = Literal["r", "w", "x", "a", "rt", "wt", "xt", "at"]
_SCHEMES = ("http://", "https://")


def split_location(location: str) -> tuple[str, tuple[str, ...]]:
    """Split ``[regfs://][http://|https://]HOST[:PORT]/PATH`` into the registry and the names in the path."""
    rest = location.removeprefix(f"{PROTOCOL}://")
    scheme = next((known for known in _SCHEMES if rest.startswith(known)), "")
    host, _, path = rest.removeprefix(scheme).partition("/")
    return scheme + host, tuple(name for name in path.split("/") if name)


class Session:
    """A registry, the cache, its tags and its files. Thread-safe; connects when it is first used.

    :param registry: ``[http://|https://]HOST[:PORT]``
    :param access: login, TLS, cache
    :raises regfs.oci.reference.InvalidReference: a ValueError, when *registry* names no host
    """

    def __init__(self, registry: str, access: Access | None = None) -> None:
        self.access = access or Access()
        self.host = registry
        self._locks: dict[int, threading.Lock] = {}  # by process: a fork may be made while one is held
        self._graphs: dict[int, Graph] = {}
        self._closes: list[Callable[[], object]] = []

    @property
    def graph(self) -> Graph:
        """The object graph of this process. Not a part of the API.

        :raises ConnectionError: when the registry, or a directory of the user's, cannot be used
        """
        pid = os.getpid()
        graph = self._graphs.get(pid)
        if graph is not None:
            return graph
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._graphs:
                graph = self._connected()
                self._closes.append(weakref.finalize(self, _close, graph, pid))
                self._graphs[pid] = graph
            return self._graphs[pid]

    def _connected(self) -> Graph:
        from regfs.library.errors import in_words_of_the_library
        from regfs.session import Graph, Unusable

        try:
            return Graph(self.access.options(self._reference()))
        except Unusable as error:
            message = in_words_of_the_library(str(error))
            raise ConnectionError(errno.EHOSTUNREACH, message, self.host) from None

    def _reference(self) -> Reference:
        from regfs.oci.reference import InvalidReference, parse_reference

        reference = parse_reference(self.host)
        if reference.repository is not None:
            raise InvalidReference(f"{self.host!r} is more than a registry; a session is of HOST[:PORT]")
        return reference

    @property
    def registry(self) -> Registry:
        """The registry: repositories, tags, manifests, blobs, uploads, referrers."""
        return self.graph.remote

    @property
    def cache(self) -> BlobStore:
        """The cache, which all sessions and mounts of the user share."""
        return self.graph.cache

    @property
    def tags(self) -> TagEditor:
        """Changes tags: files added, renamed and removed, tags made and deleted."""
        return self.graph.tags

    @property
    def files(self) -> Files:
        """The files: look, list, read, write, copy, rename, remove."""
        from regfs.library.files import Files

        return Files(lambda: self.graph, self.access.read_only)

    @overload
    def open(self, path: str, mode: BinaryMode = "rb") -> BinaryIO: ...

    @overload
    def open(self, path: str, mode: TextMode) -> TextIO: ...

    def open(self, path: str, mode: str = "rb") -> BinaryIO | TextIO:
        """Open a file of the registry.

        :param path: ``REPOSITORY:TAG/PATH``
        :param mode: as of the built-in ``open``; closing a written file pushes it
        :raises OSError: FileNotFoundError, PermissionError, …
        """
        return _as_asked(self.stream(path, mode.replace("t", "")), mode)

    def stream(self, path: str, mode: str) -> ReadStream | WriteStream:
        """As :meth:`open`, of bytes. Not a part of the API."""
        from regfs.library.errors import raising_os_errors
        from regfs.library.streams import ReadStream

        name = f"{self.host}/{path.strip('/')}"
        parts = split_location(name)[1]
        if set(mode) - set("rwxab+") or sum(mode.count(way) for way in "rwxa") != 1:
            raise ValueError(f"invalid mode: {mode!r}")
        with raising_os_errors(name):
            if mode in ("r", "rb"):
                return ReadStream(self.files.read(parts, name))
            return self.files.write(parts, mode, name)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop transfers and close connections. The next use connects again."""
        self._graphs.pop(os.getpid(), None)
        closes, self._closes = self._closes, []
        for close in closes:
            close()


def _close(graph: Graph, pid: int) -> None:
    """Close a graph in the process that built it: a fork has but copies of its connections."""
    if os.getpid() == pid:
        graph.close()


@overload
def open(location: str, mode: BinaryMode = "rb", *, access: Access | None = None) -> BinaryIO: ...  # noqa: A001


@overload
def open(location: str, mode: TextMode, *, access: Access | None = None) -> TextIO: ...  # noqa: A001


def open(location: str, mode: str = "rb", *, access: Access | None = None) -> BinaryIO | TextIO:  # noqa: A001
    """Open one file of a registry: ``regfs.open("localhost:5000/team/model:v1/config.json")``.

    The session ends with the file; for several files use :class:`Session`, which remembers manifests.

    :param location: ``[regfs://][http://|https://]HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]/PATH``
    :param mode: as of the built-in ``open``; closing a written file pushes it
    :raises OSError: FileNotFoundError, PermissionError, …
    """
    registry, path = split_location(location)
    session = Session(registry, access)
    try:
        stream = session.stream("/".join(path), mode.replace("t", ""))
    except BaseException:
        session.close()
        raise
    closing = stream.raw if isinstance(stream, io.BufferedReader) else stream
    closing.on_close = session.close
    return _as_asked(stream, mode)


def _as_asked(stream: ReadStream | WriteStream, mode: str) -> BinaryIO | TextIO:
    """Return a stream of bytes, or of text in UTF-8, by its mode."""
    binary = cast(BinaryIO, stream)
    return binary if "b" in mode else io.TextIOWrapper(binary, encoding="utf-8")
