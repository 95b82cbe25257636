"""What stands at a path of a root, as a value. Knows no layers but by their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regfs.archive.entry import Kind

if TYPE_CHECKING:
    from regfs.archive.entry import Entry, Xattrs

_INODE_BITS = 40
# A directory without an entry, in any layer, belongs to root and is open to all.
IMPLICIT_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Node:
    """A file, directory, link or device.

    :param kind: never HARDLINK
    :param inode: the same for names of one file; unique within a root
    :param nlink: names of it in the root; 1 for any directory, as overlay says it
    :param link: the text of a symbolic link
    :param device: major and minor number
    :param layer: number of the layer that it comes from, the lowest one being 1
    :param number: of its entry in that layer's archive; None for a directory that has none
    """

    kind: Kind
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    link: str
    xattrs: Xattrs
    device: tuple[int, int]
    inode: int
    nlink: int
    layer: int
    layer_digest: str
    number: int | None

    @property
    def st_mode(self) -> int:
        """The mode with the bits of the file's type."""
        return self.kind.file_type | self.mode

    @property
    def is_directory(self) -> bool:
        return self.kind is Kind.DIRECTORY


def inode_of(layer: int, number: int) -> int:
    """Return the inode of an entry of a layer."""
    return layer << _INODE_BITS | number


def node_of(entry: Entry, number: int, inode: int, nlink: int, layer: int, layer_digest: str) -> Node:
    """Return the node of an entry. A hard link whose target is not known is an empty file."""
    return Node(
        kind=Kind.FILE if entry.kind is Kind.HARDLINK else entry.kind,
        size=entry.size,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime_ns=entry.mtime_ns,
        link=entry.link if entry.kind is Kind.SYMLINK else "",
        xattrs=entry.xattrs,
        device=entry.device,
        inode=inode,
        nlink=nlink,
        layer=layer,
        layer_digest=layer_digest,
        number=number,
    )


def implicit_directory(inode: int, layer: int, layer_digest: str) -> Node:
    """Return the node of a directory that exists only as a part of other paths."""
    return Node(Kind.DIRECTORY, 0, IMPLICIT_MODE, 0, 0, 0, "", (), (0, 0), inode, 1, layer, layer_digest, None)
