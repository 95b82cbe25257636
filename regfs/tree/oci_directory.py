"""``.oci`` of a tag: what the registry says of it, as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.images import may_be_image
from regfs.oci.manifest import Index, Manifest
from regfs.tree.blobs import Blob
from regfs.tree.documents import Document
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.layers import LayersDirectory
from regfs.tree.node import Node
from regfs.tree.rootfs import rootfs
from regfs.tree.tag_blobs import TagBlobs
from regfs.tree.unpacked import UnpackedDirectory

_NAMES = ("manifest.json", "config.json", "blobs", "rootfs", "layers", "unpacked")


@dataclass(frozen=True, eq=False)
class OciDirectory(HiddenDirectory):
    """``manifest.json``, ``config.json`` where there is one, ``blobs``, and the ways to look into archives."""

    manifest: Manifest | Index

    def lookup(self, name: str) -> Node | None:
        if name == "manifest.json":
            return Document(self.context, self.manifest.content)
        owned = self.manifest if isinstance(self.manifest, Manifest) else None
        if name == "blobs":
            return TagBlobs(self.context, self.repository, () if owned is None else owned.blobs)
        if name == "config.json" and owned is not None and owned.config is not None:
            return Blob(self.context, self.repository, owned.config)
        return None if owned is None else self._inside(name, owned)

    def _inside(self, name: str, manifest: Manifest) -> Node | None:
        """What looks into the archives of a manifest."""
        if name == "unpacked":
            return UnpackedDirectory(self.context, self.repository, manifest)
        if name not in ("rootfs", "layers") or not may_be_image(manifest):
            return None
        config = self.context.archives.image_config(self.repository, manifest)
        if config is None:
            return None
        if name == "layers":
            return LayersDirectory(self.context, self.repository, manifest, config)
        return rootfs(self.context, self.repository, manifest, config)

    def children(self) -> Iterator[tuple[str, Node]]:
        for name in _NAMES:
            child = self.lookup(name)
            if child is not None:
                yield name, child
