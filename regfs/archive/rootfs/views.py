"""Roots that are made of one archive: a layer as it is, an archive unpacked, a directory that was packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regfs.archive.entry import Kind, Path, parts
from regfs.archive.errors import CorruptArchive
from regfs.archive.limits import DEFAULT_LIMITS, Limits
from regfs.archive.rootfs.merge import Root

if TYPE_CHECKING:
    from regfs.archive.archive import Archive
    from regfs.archive.listing import Listing


def unpacked(archive: Archive, digest: str, number: int = 1, limits: Limits = DEFAULT_LIMITS) -> Root:
    """Return an archive unpacked, or one layer with its markers as the files that they are.

    A hard link whose target is in another layer is an empty file that cannot be opened.

    :param number: of the layer
    :raises ArchiveError: when the entries make no tree
    """
    root = Root([digest], limits, has_markers=False, first=number)
    root.add(number, archive)
    return root


def packed_directory(archive: Archive, digest: str, title: str, limits: Limits = DEFAULT_LIMITS) -> Root:
    """Return a directory that oras packed: what lies under its title in the archive.

    :param title: of the layer
    :raises CorruptArchive: when an entry lies outside of the directory
    """
    prefix = packed_prefix(archive.listing, title)
    root = Root([digest], limits, has_markers=False, prefix=prefix)
    root.add(1, archive)
    return root


def packed_prefix(listing: Listing, title: str) -> Path:
    """Return the path that all entries of a packed directory begin with.

    oras names the entries by the title, oras-py by the title's last component.

    :raises CorruptArchive: when neither is so: to unpack such an archive would write outside of the directory
    """
    path = parts(title)
    for prefix in (path, path[-1:]):
        if prefix and all(_is_inside(listing, number, prefix) for number in range(len(listing))):
            return prefix
    raise CorruptArchive(f"{title!r}: the packed directory has entries outside of it")


def _is_inside(listing: Listing, number: int, prefix: Path) -> bool:
    """Whether an entry is below a directory, is it, or is one of those above it."""
    path, is_directory = parts(listing.name(number)), listing.kind(number) is Kind.DIRECTORY
    if len(path) > len(prefix):
        return path[: len(prefix)] == prefix
    return is_directory and path == prefix[: len(path)]
