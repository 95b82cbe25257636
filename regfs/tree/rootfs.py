"""``.oci/rootfs``: the merged root of an image, as podman and docker would mount it."""

from __future__ import annotations

from collections.abc import Callable

from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.node import Node as Entry
from regfs.oci.images import ImageConfig
from regfs.oci.manifest import Manifest
from regfs.tree.archived import ArchiveView
from regfs.tree.context import Context
from regfs.tree.node import Node


def rootfs(context: Context, repository: str, manifest: Manifest, config: ImageConfig) -> Node:
    """Return the root directory of an image. Its layers are opened when it is looked into."""

    archives, layers, diff_ids = context.archives, manifest.layers, config.diff_ids

    def peek(question: Callable[[Root], Entry | None]) -> Entry | None:
        image = archives.open_image(layers, diff_ids)
        return None if image is None else image.peek(question)

    view = ArchiveView(
        f"rootfs {manifest.digest}",
        lambda question: archives.image(repository, layers, diff_ids).ask(question),
        context.started_ns,
        config.created_by,
        peek,
    )
    return view.root()
