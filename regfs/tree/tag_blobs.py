"""``.oci/blobs`` of a tag: the blobs that its manifest names, by digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.manifest import Descriptor
from regfs.tree.blobs import Blob
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.node import Node


@dataclass(frozen=True, eq=False)
class TagBlobs(HiddenDirectory):
    """Lists each digest once. That of an index names no blob."""

    descriptors: tuple[Descriptor, ...]

    def lookup(self, name: str) -> Node | None:
        found = next((blob for blob in self.descriptors if blob.digest == name), None)
        return None if found is None else Blob(self.context, self.repository, found)

    def children(self) -> Iterator[tuple[str, Node]]:
        for digest, blob in {blob.digest: blob for blob in self.descriptors}.items():
            yield digest, Blob(self.context, self.repository, blob)
