"""A file whose bytes are known: the manifest itself."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from regfs.cache.fetcher import Reader
from regfs.oci.manifest import Index, Manifest
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.context import Context
from regfs.tree.node import ContentId, File


@dataclass(frozen=True, eq=False)
class Document(File):
    """What the registry says. Read-only."""

    context: Context
    manifest: Manifest | Index

    def attributes(self) -> Attributes:
        return Attributes(Kind.FILE, len(self.manifest.content), self.context.started_ns, content=self.content_id)

    def open(self) -> Reader:
        return BytesReader(self.manifest.content)

    @property
    def content_id(self) -> ContentId:
        return f"document {self.manifest.content_digest}"

    def require_overwritable(self) -> None:
        raise OSError(errno.EPERM, "what the registry says cannot be written over")


class BytesReader:
    """A reader of bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)
        self.backing: int | None = None

    def read_into(self, buffer: memoryview, offset: int) -> int:
        piece = self._content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Nothing is held."""
