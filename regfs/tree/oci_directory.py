"""``.oci`` of a tag: what the registry says of it, as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.manifest import Index, Manifest
from regfs.tree.blobs import Blob
from regfs.tree.documents import Document
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.node import Node
from regfs.tree.tag_blobs import TagBlobs

_NAMES = ("manifest.json", "config.json", "blobs")


@dataclass(frozen=True, eq=False)
class OciDirectory(HiddenDirectory):
    """``manifest.json``, ``config.json`` where there is one, and ``blobs``."""

    manifest: Manifest | Index

    def lookup(self, name: str) -> Node | None:
        if name == "manifest.json":
            return Document(self.context, self.manifest.content)
        owned = self.manifest if isinstance(self.manifest, Manifest) else None
        if name == "blobs":
            return TagBlobs(self.context, self.repository, () if owned is None else owned.blobs)
        if name == "config.json" and owned is not None and owned.config is not None:
            return Blob(self.context, self.repository, owned.config)
        return None

    def children(self) -> Iterator[tuple[str, Node]]:
        for name in _NAMES:
            child = self.lookup(name)
            if child is not None:
                yield name, child
