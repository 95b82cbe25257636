"""A directory of a tag that a client packed into one layer: its files are shown, and it can be removed as a whole."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from regfs.archive.rootfs.node import implicit_directory
from regfs.oci.manifest import CREATED, Descriptor, Manifest
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.tree.archived import ArchivedRoot, ArchiveView
from regfs.tree.attributes import seconds_of, stamped, xattrs_of_blob
from regfs.tree.context import Context
from regfs.tree.node import Node, Stored, TagName


@dataclass(frozen=True, eq=False)
class PackedDirectory(ArchivedRoot):
    """Read-only, as all that lies in an archive."""

    tag: TagName
    layer: Descriptor
    manifest: Manifest
    title: Path

    def xattrs(self) -> Mapping[str, bytes]:
        return xattrs_of_blob(self.layer)

    @property
    def stored(self) -> Stored | None:
        return Stored(self.tag.repository, self.layer)

    @property
    def created(self) -> int | None:
        return seconds_of(_created(self.layer, self.manifest))

    def packed_at(self) -> Target | None:
        if self.tag.pinned or not self.manifest.writable:
            raise OSError(errno.EROFS, f"{self.tag} is read-only")
        return Target(self.tag.repository, self.tag.name, self.title)

    @property
    def is_packed(self) -> bool:
        return True


def packed_directory(context: Context, tag: TagName, manifest: Manifest, layer: Descriptor, title: Path) -> Node:
    """Return the node of a layer that is a directory. The layer is read when it is looked into."""
    archives, name = context.archives, "/".join(title)
    view = ArchiveView(
        f"packed {name} {layer.digest}",
        lambda question: question(archives.directory(tag.repository, layer, name)),
        stamped(_created(layer, manifest), layer.digest, context.started_ns),
    )
    return PackedDirectory(view, (), implicit_directory(0, 0, ""), tag, layer, manifest, title)


def _created(layer: Descriptor, manifest: Manifest) -> str | None:
    return layer.annotations.get(CREATED) or manifest.annotations.get(CREATED)
