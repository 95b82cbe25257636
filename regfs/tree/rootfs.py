"""``.oci/rootfs``: the merged root of an image, as podman and docker would mount it."""

from __future__ import annotations

from collections.abc import Callable

from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.node import Node as Entry
from regfs.oci.images import ImageConfig, may_be_image
from regfs.oci.manifest import Index, Manifest
from regfs.oci.platforms import platforms_of, runnable
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


class NoImage(Exception):
    """A tag has no image whose root could be shown; the text says so in one line."""


def image_of(context: Context, repository: str, manifest: Manifest | Index) -> tuple[Manifest, ImageConfig] | None:
    """Return the image that a manifest is, and its configuration, which is a request the first time."""
    if isinstance(manifest, Index) or not may_be_image(manifest):
        return None
    config = context.archives.image_config(repository, manifest)
    return None if config is None else (manifest, config)


def image_root(context: Context, repository: str, reference: str) -> Node:
    """Return the root of the image that a tag, or a digest, stands for now. It stays that image's.

    Of a multi-platform tag it is the image of the context's platform, else of this machine's.

    :raises NoImage: when the registry has no such image
    :raises RegistryError: when it cannot be asked
    """
    manifest = context.catalog.manifest(repository, reference)
    if isinstance(manifest, Index):
        name = context.platform or runnable(manifest)
        entry = platforms_of(manifest).get(name or "")
        if entry is None:
            names = ", ".join(platforms_of(manifest))
            raise NoImage(f"choose one of its platforms with --platform: {names}")
        manifest = context.catalog.manifest(repository, entry.digest)
    image = None if manifest is None else image_of(context, repository, manifest)
    if image is None:
        raise NoImage("it is no image; mount it without --rootfs")
    return rootfs(context, repository, *image)
