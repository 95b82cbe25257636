"""``.oci/unpacked``: each blob of a tag that is an archive, as a directory by its title or its digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.manifest import Descriptor, Manifest
from regfs.oci.producers import ARCHIVE_SUFFIXES
from regfs.tree.archived import ArchiveView
from regfs.tree.hidden import HiddenDirectory
from regfs.tree.node import Node

_ARCHIVE_TYPES = ("tar", "tar+gzip", "tar+zstd", "tar.gzip", "zip", "gzip", "x-tar", "x-gzip", "x-zip-compressed")


@dataclass(frozen=True, eq=False)
class UnpackedDirectory(HiddenDirectory):
    """Lists the blobs whose type or title is an archive's; any other blob can be named."""

    manifest: Manifest

    @property
    def is_bare(self) -> bool:
        """Whether it lists nothing: no blob says that it is an archive."""
        return not any(map(is_archive, self.manifest.layers))

    def lookup(self, name: str) -> Node | None:
        found = next((blob for blob in self.manifest.layers if name in (blob.digest, _name(blob))), None)
        return None if found is None else self._archive(found)

    def children(self) -> Iterator[tuple[str, Node]]:
        names = {_name(blob): blob for blob in self.manifest.layers if is_archive(blob)}
        for name, blob in names.items():
            yield name, self._archive(blob)

    def _archive(self, blob: Descriptor) -> Node:
        archives, repository = self.context.archives, self.repository
        view = ArchiveView(
            f"unpacked {blob.digest}",
            lambda question: question(archives.unpacked(repository, blob)),
            self.context.started_ns,
        )
        return view.root()


def is_archive(blob: Descriptor) -> bool:
    """Tell by media type and title whether a blob is an archive."""
    subtype = blob.media_type.partition("/")[2]
    by_type = any(subtype == kind or subtype.endswith((f".{kind}", f"+{kind}")) for kind in _ARCHIVE_TYPES)
    return by_type or (blob.title or "").endswith(ARCHIVE_SUFFIXES)


def _name(blob: Descriptor) -> str:
    """The title in one component, else the digest."""
    title = blob.title
    return blob.digest if not title or "/" in title or title in (".", "..") or "\0" in title else title
