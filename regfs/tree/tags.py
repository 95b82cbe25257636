"""A tag, a manifest by its digest, or a platform of an index: what it stands for is looked up when that is needed."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regfs.oci.manifest import CREATED, Descriptor, Index, Manifest
from regfs.oci.platforms import platforms_of
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.tree.artifacts import ArtifactDirectory
from regfs.tree.attributes import Attributes, Kind, stamped
from regfs.tree.context import Context
from regfs.tree.indexes import PlatformIndex
from regfs.tree.node import Directory, Node, Renaming, Stored, TagName

_NESTED = 4  # indexes in each other; the entries of the last are empty


@dataclass(frozen=True, eq=False)
class Tag(Directory):
    """Costs no request before it is looked into: a listing of a repository has many.

    :param entry: of a platform, the entry of its index
    :param depth: how many indexes it is in
    """

    context: Context
    path: Path
    tag: TagName
    entry: Descriptor | None = None
    depth: int = 0

    @property
    def noun(self) -> str:
        return "alias" if self.entry is None else "platform"

    def contents(self) -> Node:
        """Return what it stands for, at the same path."""
        return self.showing(self.context.catalog.manifest(self.tag.repository, self.tag.name))

    def showing(self, manifest: Manifest | Index | None) -> Node:
        """Return what it is when it stands for *manifest*: files, or a directory for each platform."""
        if not isinstance(manifest, Index):
            return ArtifactDirectory(self.context, self.path, self.tag, manifest)
        chosen = platforms_of(manifest).get(self.context.platform or "")
        if self.depth >= _NESTED:
            return ArtifactDirectory(self.context, self.path, self.tag, None)
        if chosen is not None:
            return Tag(self.context, self.path, self._pinned(chosen), chosen, self.depth + 1).contents()
        return PlatformIndex(self.context, self.tag.repository, manifest, self._platform)

    def _platform(self, name: str, entry: Descriptor) -> Node:
        return Tag(self.context, (*self.path, name), self._pinned(entry), entry, self.depth + 1)

    def _pinned(self, entry: Descriptor) -> TagName:
        return TagName(self.tag.repository, entry.digest, pinned=True)

    def attributes(self) -> Attributes:
        """The time is that of its manifest once that is known."""
        mtime_ns = self.context.started_ns
        manifest = self.context.catalog.known(self.tag.repository, self.tag.name)
        if manifest is not None:
            mtime_ns = stamped(manifest.annotations.get(CREATED), manifest.digest, mtime_ns)
        return Attributes(Kind.DIRECTORY, 0, mtime_ns, not self.tag.pinned)

    def xattrs(self) -> Mapping[str, bytes]:
        return self.contents().xattrs()

    @property
    def stored(self) -> Stored | None:
        return None if self.entry is None else Stored(self.tag.repository, self.entry)

    def lookup(self, name: str) -> Node | None:
        return self.contents().lookup(name)

    def children(self) -> Iterator[tuple[str, Node]]:
        yield from self.contents().children()

    def blobs(self) -> Iterator[Stored]:
        yield from self.contents().blobs()

    def refresh(self) -> None:
        if not self.tag.pinned:
            self.context.catalog.current(self.tag.repository, self.tag.name)

    def require_complete(self) -> None:
        if self.context.catalog.manifest(self.tag.repository, self.tag.name) is None:
            raise OSError(errno.ENOENT, f"{self.tag.name} is not in {self.tag.repository}, though an index names it")

    def target(self, name: str) -> Target:
        return self.contents().target(name)

    def require_makeable(self, name: str) -> None:
        self.contents().require_makeable(name)

    def removable_tag(self) -> TagName | None:
        return self.contents().removable_tag()

    def rename(self, way: Renaming) -> None:
        if self.tag.pinned:
            super().rename(way)
        way.retag(self.tag)
