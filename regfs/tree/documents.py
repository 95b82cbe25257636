"""A file whose bytes are known: the manifest itself."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from regfs.cache.fetcher import Reader
from regfs.oci.manifest import digest_of
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.context import Context
from regfs.tree.node import ContentId, File


@dataclass(frozen=True, eq=False)
class Document(File):
    """What the registry says. Read-only."""

    context: Context
    content: bytes

    def attributes(self) -> Attributes:
        return Attributes(Kind.FILE, len(self.content), self.context.started_ns)

    def open(self) -> Reader:
        return BytesReader(self.content)

    @property
    def content_id(self) -> ContentId:
        return ("document", digest_of(self.content))

    def require_overwritable(self) -> None:
        raise OSError(errno.EPERM, "what the registry says cannot be written over")


class BytesReader:
    """A reader of bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        piece = self._content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Nothing is held."""
