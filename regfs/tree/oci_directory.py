"""``.oci`` of a tag: what the registry says of it, as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from regfs.oci.manifest import Index, Manifest
from regfs.tree.blobs import Blob
from regfs.tree.documents import Document
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.layers import LayersDirectory
from regfs.tree.node import Node
from regfs.tree.rootfs import image_of, rootfs
from regfs.tree.tag_blobs import TagBlobs
from regfs.tree.unpacked import UnpackedDirectory


@dataclass(frozen=True, eq=False)
class OciDirectory(HiddenDirectory):
    """Has what a tag has of :data:`_ENTRIES`."""

    manifest: Manifest | Index

    def lookup(self, name: str) -> Node | None:
        entry = _ENTRIES.get(name)
        return None if entry is None else entry(self)

    def children(self) -> Iterator[tuple[str, Node]]:
        for name, entry in _ENTRIES.items():
            child = entry(self)
            if child is not None and not (isinstance(child, UnpackedDirectory) and child.is_bare):
                yield name, child


def _manifest(directory: OciDirectory) -> Node:
    return Document(directory.context, directory.manifest)


def _config(directory: OciDirectory) -> Node | None:
    manifest = directory.manifest
    if isinstance(manifest, Index) or manifest.config is None:
        return None
    return Blob(directory.context, directory.repository, manifest.config)


def _blobs(directory: OciDirectory) -> Node:
    manifest = directory.manifest
    blobs = () if isinstance(manifest, Index) else manifest.blobs
    return TagBlobs(directory.context, directory.repository, blobs)


def _rootfs(directory: OciDirectory) -> Node | None:
    image = image_of(directory.context, directory.repository, directory.manifest)
    return None if image is None else rootfs(directory.context, directory.repository, *image)


def _layers(directory: OciDirectory) -> Node | None:
    image = image_of(directory.context, directory.repository, directory.manifest)
    return None if image is None else LayersDirectory(directory.context, directory.repository, *image)


def _unpacked(directory: OciDirectory) -> Node | None:
    manifest = directory.manifest
    if isinstance(manifest, Index):
        return None
    return UnpackedDirectory(directory.context, directory.repository, manifest)


# What is in it, in the order of a listing. An entry returns None for a tag that does not have it.
_ENTRIES: dict[str, Callable[[OciDirectory], Node | None]] = {
    "manifest.json": _manifest,
    "config.json": _config,
    "blobs": _blobs,
    "rootfs": _rootfs,
    "layers": _layers,
    "unpacked": _unpacked,
}
