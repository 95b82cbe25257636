"""``.oci/rootfs``: the merged root of an image, as podman and docker would mount it."""

from __future__ import annotations

from regfs.archive.rootfs.node import implicit_directory
from regfs.metadata.archives import Image
from regfs.oci.images import ImageConfig
from regfs.oci.manifest import Manifest
from regfs.tree.archived import ArchivedDirectory, ArchiveView
from regfs.tree.context import Context
from regfs.tree.node import Node


def rootfs(context: Context, repository: str, manifest: Manifest, config: ImageConfig) -> Node:
    """Return the root directory of an image. Its layers are opened when it is looked into."""

    def image() -> Image:
        return context.archives.image(repository, manifest.layers, config.diff_ids)

    view = ArchiveView(f"rootfs {manifest.digest}", lambda question: image().ask(question), config.created_by)
    return root_directory(view)


def root_directory(view: ArchiveView) -> Node:
    """Return the root of a view, without looking into its archives: a listing of what is above costs nothing."""
    return ArchivedDirectory(view, (), implicit_directory(0, 0, ""))
