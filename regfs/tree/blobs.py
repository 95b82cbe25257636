"""A file whose bytes are a blob."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from regfs.cache.fetcher import Reader
from regfs.oci.manifest import CREATED, Descriptor, Manifest
from regfs.oci.producers import file_metadata
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.tree.attributes import Attributes, Kind, seconds_of, stamped, xattrs_of_blob
from regfs.tree.context import Context
from regfs.tree.node import ContentId, File, Stored, TagName, not_permitted


@dataclass(frozen=True, eq=False)
class Blob(File):
    """A blob by its title, or by its digest.

    :param tag: the one that names it; None in the hidden directories
    :param title: its path inside the tag
    """

    context: Context
    repository: str
    descriptor: Descriptor
    tag: TagName | None = None
    manifest: Manifest | None = None
    title: Path = ()

    def attributes(self) -> Attributes:
        started_ns, digest = self.context.started_ns, self.descriptor.digest
        # Where bytes that were not the blob's have been dropped, other bytes come: they have another time, too.
        mtime_ns = stamped(self._created, digest, started_ns) + self.context.fetcher.generation(digest)
        size, mode = self._sized().size, file_metadata(self.descriptor).mode
        return Attributes(Kind.FILE, size, mtime_ns, self._is_changeable, mode=mode, content=self.content_id)

    @property
    def _created(self) -> str | None:
        own = self.descriptor.annotations.get(CREATED) or file_metadata(self.descriptor).mtime
        return self.manifest.annotations.get(CREATED) if own is None and self.manifest is not None else own

    @property
    def _is_changeable(self) -> bool:
        """Whether there is a tag in which the blob could be another one, or none."""
        return self.tag is not None and not self.tag.pinned and (self.manifest is None or self.manifest.writable)

    def _sized(self) -> Descriptor:
        """The descriptor with its size, which a schema 1 manifest does not give."""
        found = self.context.catalog.sized(self.repository, self.descriptor)
        if found is None:
            raise OSError(errno.EIO, f"{self.descriptor.digest} is not in {self.repository}")
        return found

    def xattrs(self) -> Mapping[str, bytes]:
        return xattrs_of_blob(self.descriptor)

    def open(self) -> Reader:
        return self.context.fetcher.open(self.repository, self._sized())

    @property
    def content_id(self) -> ContentId:
        return f"blob {self.descriptor.digest} {self.context.fetcher.generation(self.descriptor.digest)}"

    @property
    def stored(self) -> Stored | None:
        return Stored(self.repository, self.descriptor)

    @property
    def created(self) -> int | None:
        return seconds_of(self._created)

    def refresh(self) -> None:
        if self.tag is not None and self.manifest is not None and not self.tag.pinned:
            self.context.catalog.current(self.tag.repository, self.tag.name)

    def removable(self) -> Target:
        if self.tag is None:
            raise not_permitted("is named by no alias; copy it to one to change it")
        if not self._is_changeable:
            raise OSError(errno.EROFS, f"{self.tag} is read-only")
        return Target(self.tag.repository, self.tag.name, self.title)

    def require_overwritable(self) -> None:
        if self.removable().title == (self.descriptor.digest,):
            raise not_permitted("has no name to be published by; copy it under a name instead")
