"""The directories of one archive: its entries in order, the last one of a name winning.

A file is the number of its entry, so that two names with one number are hard links; only directories are objects. An
image of 100,000 files takes 20 MB this way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from regfs.archive.entry import Kind, Path, parts
from regfs.archive.errors import ArchiveLimit, CorruptArchive
from regfs.archive.rootfs import markers
from regfs.archive.rootfs.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regfs.archive.limits import Limits
    from regfs.archive.listing import Listing

log = logging.getLogger(__name__)

# Components that symbolic links may add to the paths of an archive, for each entry on average.
_DETOURS_PER_ENTRY = 16
_DETOURS_MIN = 100_000

Child = Union[int, "Directory"]


class Directory:
    """A directory of one archive.

    :ivar number: of its entry; when it has none, a number of its own, from the number of entries on
    :ivar children: by name: directories, and the numbers of entries that are something else
    :ivar removed: names that are gone in the layers below
    :ivar is_opaque: whether all children in the layers below are gone
    """

    __slots__ = ("children", "is_opaque", "number", "removed")

    def __init__(self, number: int) -> None:
        self.number = number
        self.children: dict[str, Child] = {}
        self.removed: set[str] | None = None
        self.is_opaque = False

    def remove(self, name: str) -> None:
        """Note that a name is gone in the layers below."""
        if self.removed is None:
            self.removed = set()
        self.removed.add(name)

    def removes(self, name: str) -> bool:
        """Whether a name is gone in the layers below."""
        return self.removed is not None and name in self.removed


@dataclass(frozen=True, slots=True)
class _Link:
    """A hard link whose target was not there before it."""

    number: int
    parent: Directory
    path: Path


class LayerTree:
    """The directories that a listing makes.

    :param has_markers: whether names that begin with ``.wh.`` remove names of the layers below, or are plain files
    :ivar names: paths of the entries that may have more than one
    :ivar foreign_links: by the number of a hard link: the path of its target, which is in a layer below
    :raises ArchiveLimit: when there are too many directories, or detours through symbolic links
    :raises CorruptArchive: when a path loops, or a hard link names a directory
    """

    def __init__(self, listing: Listing, limits: Limits, has_markers: bool) -> None:
        self.listing = listing
        self.root = Directory(len(listing))
        self.names: dict[int, set[Path]] = {}
        self.foreign_links: dict[int, Path] = {}
        self._limits = limits
        self._has_markers = has_markers
        self._implicit = self._nameless = 0
        self._detours = _DETOURS_PER_ENTRY * len(listing) + _DETOURS_MIN
        self._last_parent: tuple[Path, Directory, Path] | None = None
        self._early_links: list[_Link] = []
        for number in range(len(listing)):
            self._place(number)
        self._bind_early_links()
        if self._nameless:
            log.warning("layer: %d whiteouts have no name; they are ignored", self._nameless)

    def is_explicit(self, directory: Directory) -> bool:
        """Whether a directory has an entry."""
        return directory.number < len(self.listing)

    def _place(self, number: int) -> None:
        path, kind = parts(self.listing.name(number)), self.listing.kind(number)
        self._require_depth(path)
        if not path:
            self._place_root(number, kind)
        elif not (self._has_markers and self._mark(path)):
            parent, where = self._parent(path[:-1])
            if kind is Kind.HARDLINK:
                self._link(number, parent, (*where, path[-1]))
            elif kind is Kind.DIRECTORY:
                self._make_directory(parent, path[-1], number)
            else:
                self._put(parent, path[-1], number)

    def _require_depth(self, path: Sequence[str]) -> None:
        if len(path) > self._limits.depth:
            raise ArchiveLimit(f"a path of more than {self._limits.depth} components")

    def _place_root(self, number: int, kind: Kind) -> None:
        if kind is not Kind.DIRECTORY:
            raise CorruptArchive("the root of an archive is not a directory")
        self.root.number = number

    def _mark(self, path: Path) -> bool:
        """Take a marker; False when the name is none."""
        name = path[-1]
        if markers.is_nameless(name):
            self._nameless += 1
            return True
        removed = markers.removed_name(name)
        if removed is None and name != markers.OPAQUE:
            return False
        parent, _ = self._parent(path[:-1])
        if removed is None:
            parent.is_opaque = True
        else:
            parent.remove(removed)
        return True

    def _put(self, parent: Directory, name: str, child: Child) -> None:
        if name in parent.children:
            self._last_parent = None
        parent.children[name] = child

    def _make_directory(self, parent: Directory, name: str, number: int | None = None) -> Directory:
        """Return the directory of a name, made when it is not there, or in the place of what else is.

        :param number: of its entry, if it has one
        """
        child = parent.children.get(name)
        if isinstance(child, Directory):
            child.number = child.number if number is None else number
            return child
        if child is not None:
            # What stood here had removed the directory of the layers below already.
            parent.remove(name)
        made = Directory(self._implicit_number() if number is None else number)
        self._put(parent, name, made)
        return made

    def _implicit_number(self) -> int:
        self._implicit += 1
        if self._implicit > self._limits.entries:
            raise ArchiveLimit(f"an archive of more than {self._limits.entries} directories without an entry")
        return len(self.listing) + self._implicit

    def _parent(self, path: Path) -> tuple[Directory, Path]:
        """Return the directory at a path, and where it really is; make what is missing."""
        if self._last_parent is not None and self._last_parent[0] == path:
            return self._last_parent[1:]
        walk = Walk(self.root, path, self._look)
        while walk.step():
            if walk.missing is not None:
                walk.enter(self._make_directory(walk.here, walk.missing), walk.missing)
            self._require_depth(walk.trail)
        where = tuple(walk.trail)
        self._last_parent = (path, walk.here, where)
        return walk.here, where

    def _look(self, directory: Directory, name: str) -> Directory | str | None:
        """Return a child that a path can go through: a directory, or the text of a symbolic link."""
        child = directory.children.get(name)
        if not isinstance(child, int):
            return child
        if self.listing.kind(child) is not Kind.SYMLINK:
            return None
        link = self.listing.link(child)
        self._detours -= link.count("/") + 1
        if self._detours < 0:
            raise ArchiveLimit("an archive whose paths go through too many symbolic links")
        return link

    def _link(self, number: int, parent: Directory, path: Path) -> None:
        child, where = self._find(parts(self.listing.link(number)))
        if child is None:
            self._put(parent, path[-1], number)
            self._early_links.append(_Link(number, parent, path))
        else:
            self._bind(parent, path, child, where)

    def _bind(self, parent: Directory, path: Path, child: int, where: Path) -> None:
        if parent.children.get(path[-1]) != child:
            self._put(parent, path[-1], child)
        self.names.setdefault(child, set()).update((path, where))

    def _find(self, path: Path) -> tuple[int | None, Path]:
        """Return the number at a path, None when there is none; and the path without this archive's symbolic links.

        :raises CorruptArchive: when it is a directory
        """
        if not path:
            raise CorruptArchive("a hard link to the root")
        walk = Walk(self.root, path[:-1], self._look)
        while walk.step():
            if walk.missing is not None:
                return None, (*walk.trail, *walk.rest, path[-1])
        child = walk.here.children.get(path[-1])
        if isinstance(child, Directory):
            raise CorruptArchive(f"a hard link to the directory {'/'.join(path)!r}")
        return child, (*walk.trail, path[-1])

    def _bind_early_links(self) -> None:
        """Bind the links whose target came after them, or is in a layer below."""
        links = [link for link in self._early_links if link.parent.children.get(link.path[-1]) == link.number]
        found = {link.number: self._find(parts(self.listing.link(link.number))) for link in links}
        targets = _last_targets({number: child for number, (child, _) in found.items()})
        self._early_links = []
        for link in links:
            number = targets[link.number]
            if number in found:
                self.foreign_links[number] = found[number][1]
            where = link.path if link.number == number else found[link.number][1]
            self._bind(link.parent, link.path, number, where)


def _last_targets(targets: dict[int, int | None]) -> dict[int, int]:
    """Follow links that name links, each once.

    :param targets: of each link: another one, or a file; None when it is in a layer below
    :returns: of each link: the file, or the last link, which the layers below have to resolve; links in a circle all
        end at one of them
    """
    last: dict[int, int] = {}
    for link in targets:
        chain: dict[int, None] = {}
        here = link
        while here in targets and here not in last and here not in chain:
            chain[here] = None
            following = targets[here]
            if following is None:
                break
            here = following
        last.update(dict.fromkeys(chain, last.get(here, here)))
    return last
