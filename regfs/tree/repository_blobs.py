"""``.blobs`` of a repository: any blob that it has, by digest. A file that is created there is named by no tag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.manifest import Descriptor
from regfs.oci.reference import is_digest
from regfs.oci.target import Target
from regfs.tree.blobs import Blob
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.node import Node

BLOBS = ".blobs"


@dataclass(frozen=True, eq=False)
class RepositoryBlobs(HiddenDirectory):
    """Lists nothing: no registry tells which blobs it has."""

    def lookup(self, name: str) -> Node | None:
        size = self.context.catalog.blob_size(self.repository, name) if is_digest(name) else None
        return None if size is None else Blob(self.context, self.repository, Descriptor(name, size))

    def children(self) -> Iterator[tuple[str, Node]]:
        yield from ()

    def target(self, name: str) -> Target:
        return Target(self.repository, None, (name,))
