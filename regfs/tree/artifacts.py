"""A directory inside a tag: the tag itself, where it has one manifest, or the start of titles."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regfs.oci.manifest import CREATED, Manifest
from regfs.oci.reference import is_digest
from regfs.oci.target import Target
from regfs.oci.titles import OCI, Path
from regfs.tree.attributes import Attributes, Kind, seconds_of, stamped, xattrs_of_tag
from regfs.tree.blobs import Blob
from regfs.tree.growing import Growing
from regfs.tree.node import Node, Renaming, Stored, TagName, title
from regfs.tree.oci_directory import OciDirectory
from regfs.tree.packed import packed_directory


@dataclass(frozen=True, eq=False)
class ArtifactDirectory(Growing):
    """Lists the blobs of a manifest by their titles.

    :param manifest: None of a tag that the registry does not have yet
    :param prefix: the start of titles
    """

    tag: TagName
    manifest: Manifest | None
    prefix: Path = ()

    def attributes(self) -> Attributes:
        mtime_ns = self.context.started_ns
        if self.manifest is not None:
            mtime_ns = stamped(self.manifest.annotations.get(CREATED), self.manifest.digest, mtime_ns)
        return Attributes(Kind.DIRECTORY, 0, mtime_ns, True)

    def xattrs(self) -> Mapping[str, bytes]:
        return {} if self.manifest is None or self.prefix else xattrs_of_tag(self.manifest)

    @property
    def created(self) -> int | None:
        return None if self.manifest is None else seconds_of(self.manifest.annotations.get(CREATED))

    @property
    def vanishes_when_empty(self) -> bool:
        return bool(self.prefix)

    def held(self, name: str) -> Node | None:
        if self.manifest is None:
            return None
        inside = (*self.prefix, name)
        if inside == (OCI,):
            return OciDirectory(self.context, self.tag.repository, self.manifest)
        files = self.context.files.of(self.manifest)
        blob = files.blobs.get(inside)
        if blob is not None and inside in files.packed:
            return packed_directory(self.context, self.tag, self.manifest, blob, inside)
        if blob is not None:
            return Blob(self.context, self.tag.repository, blob, self.tag, self.manifest, inside)
        return self._below(name, self.manifest) if inside in files.folders else None

    def listed(self) -> Iterator[tuple[str, Node]]:
        if self.manifest is not None:
            for name in self.context.files.of(self.manifest).folders.get(self.prefix, ()):
                child = self.held(name)
                if child is not None:
                    yield name, child

    def made(self, name: str) -> Node:
        return self._below(name, self.manifest)

    def _below(self, name: str, manifest: Manifest | None) -> Node:
        return ArtifactDirectory(self.context, (*self.path, name), self.tag, manifest, (*self.prefix, name))

    def refresh(self) -> None:
        if self.manifest is not None and not self.tag.pinned:
            self.context.catalog.current(self.tag.repository, self.tag.name)

    def blobs(self) -> Iterator[Stored]:
        for blob in self.manifest.blobs if self.manifest is not None else ():
            yield Stored(self.tag.repository, blob)

    def target(self, name: str) -> Target:
        self._require_changeable()
        path = (*self.prefix, name)
        if path != (name,) or not is_digest(name):
            path = (*self.prefix, *title(name))
        return Target(self.tag.repository, self.tag.name, path)

    def _require_changeable(self) -> None:
        if self.tag.pinned or (self.manifest is not None and not self.manifest.writable):
            raise OSError(errno.EROFS, f"{self.tag} is read-only")

    def require_makeable(self, name: str) -> None:
        self._require_changeable()
        title(name)

    def removable_tag(self) -> TagName | None:
        if self.tag.pinned:
            raise OSError(errno.EROFS, "read-only")
        return None if self.manifest is None or self.prefix else self.tag

    def rename(self, way: Renaming) -> None:
        if self.manifest is None:
            way.make()
        elif self.prefix:
            way.retitle(self.tag, self.prefix, self.context.files.of(self.manifest))
        else:
            way.retag(self.tag)
