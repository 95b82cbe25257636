"""An open file that is read, as fsspec has them; ranges of files."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

from regfs.library.sessions import PROTOCOL
from regfs.library.streams import RawReader, ReadStream

if TYPE_CHECKING:
    from regfs.fsspec.reading import ReadingFileSystem

Info = dict[str, Any]


class RegistryReader(ReadStream):
    """An open file of a registry, as fsspec has them."""

    mode = "rb"

    def __init__(self, fs: ReadingFileSystem, path: str, raw: RawReader) -> None:
        super().__init__(raw)
        self.fs = fs
        self.path = path
        self.blocksize = fs.blocksize

    def __reduce__(self) -> Any:
        """Pickle where it is: what is unpickled is opened anew, and is of the same bytes."""
        return _reopened, (self.fs, self.path, self.tell(), self.raw.digest)

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


def _reopened(fs: ReadingFileSystem, path: str, place: int, digest: str | None) -> RegistryReader:
    """Open a file that was pickled.

    :raises OSError: ESTALE when it has other bytes now
    """
    file = RegistryReader(fs, path, fs._raw(path))
    if file.raw.digest != digest:
        file.close()
        raise OSError(errno.ESTALE, "the file has changed since it was pickled", path)
    file.seek(place)
    return file


def read_range(raw: RawReader, start: int | None, end: int | None) -> bytes:
    """Return bytes of a file; negative places count from the end."""
    first, last, _ = slice(start, end).indices(raw.size)
    buffer = bytearray(max(0, last - first))
    return bytes(memoryview(buffer)[: raw.read_at(memoryview(buffer), first)])
