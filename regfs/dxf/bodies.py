"""The bodies of requests and responses that the client core hands on: told of as they go, verified as they come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from regfs.exceptions import DXFDigestMismatchError
from regfs.registry.http.transport import Response, super_len

_PIECE = 8192  # bytes


class VerifiedChunks(Iterable[bytes]):
    """The body of a response, verified when it has been read to its end."""

    def __init__(self, response: Response, digest: str, chunk_size: int) -> None:
        self._response = response
        self._digest = digest
        self._chunk_size = chunk_size

    def __iter__(self) -> Iterator[bytes]:
        sha256 = hashlib.sha256()
        for chunk in self._response.iter_content(self._chunk_size):
            sha256.update(chunk)
            yield chunk
        got = "sha256:" + sha256.hexdigest()
        if got != self._digest:
            raise DXFDigestMismatchError(got, self._digest)


def body_of(digest: str, data: Iterable[bytes], progress: Callable[..., None] | None) -> object:
    """*data* as ``requests`` takes a body: it would make a form of a list."""
    if progress is None and (isinstance(data, bytes) or hasattr(data, "read")):
        return data
    return _Chunks(digest, (data,) if isinstance(data, bytes) else data, progress)


class _Chunks(Iterable[bytes]):
    """Chunks that tell what is taken of them. Can be sent twice when they can be iterated over twice."""

    def __init__(self, digest: str, chunks: Iterable[bytes], progress: Callable[..., None] | None) -> None:
        self._digest = digest
        self._chunks = chunks
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if chunk and self._progress:
                self._progress(self._digest, chunk)
            yield chunk


class ReportingFile:
    """A file that tells what is read of it. Has what ``requests`` looks at to know a file's length."""

    def __init__(self, digest: str, file: IO[bytes], progress: Callable[..., None]) -> None:
        self._digest = digest
        self._file = file
        self._progress = progress
        self._size = int(super_len(file))  # type: ignore[no-untyped-call]
        self.mode = "rb"
        progress(digest, b"", self._size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_PIECE), b"")

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()

    def tell(self) -> int:
        """The file's position."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the file's position."""
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Read, and tell so."""
        chunk = self._file.read(size)
        if chunk:
            self._progress(self._digest, chunk, self._size)
        return chunk
