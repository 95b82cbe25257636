"""The root of an image: its layers merged by path, and asked one by one from the top.

Nothing is merged ahead. So a name in the top layers is found while the lower ones are not indexed yet, and a layer
takes no more memory than its own directories.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regfs.archive.entry import Kind, Path
from regfs.archive.errors import ArchiveError, CorruptArchive, LayerPending
from regfs.archive.limits import DEFAULT_LIMITS, Limits
from regfs.archive.rootfs import markers
from regfs.archive.rootfs.layer import Directory, LayerTree
from regfs.archive.rootfs.node import Node, implicit_directory, inode_of, node_of
from regfs.archive.rootfs.place import Place
from regfs.archive.rootfs.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regfs.archive.archive import Archive
    from regfs.archive.reader import Reader

# Number of a layer, and of an entry in it: what an inode is made of.
_Identity = tuple[int, int]


@dataclass(eq=False)
class _Layer:
    """A layer: its archive and directories once it is indexed, until then the error that says so."""

    digest: str
    error: ArchiveError
    archive: Archive | None = None
    tree: LayerTree | None = None


class Root:
    """The merged root of layers, of which each is added when it is indexed. Shared by threads.

    Where an answer depends on a layer that is not indexed yet, LayerPending is raised and says which one; where it
    depends on one that failed, that one's error.

    :param digests: of the layers, the lowest one first; their numbers begin with *first*
    :param has_markers: False shows whiteouts as the files that they are
    :param prefix: path of the directory that is shown as the root
    """

    def __init__(
        self,
        digests: Sequence[str],
        limits: Limits = DEFAULT_LIMITS,
        has_markers: bool = True,
        first: int = 1,
        prefix: Path = (),
    ) -> None:
        self._limits = limits
        self._has_markers = has_markers
        self._prefix = prefix
        self._layers = {number: _Layer(digest, LayerPending(number)) for number, digest in enumerate(digests, first)}
        # Of entries with more than one name only; made anew when a layer is added.
        self._linked: dict[_Identity, set[Path]] | None = None
        self._link_counts: dict[_Identity, int] = {}

    @property
    def entry_count(self) -> int:
        """How many entries its layers have that are indexed."""
        return sum(len(layer.archive.listing) for layer in self._layers.values() if layer.archive)

    @property
    def pending(self) -> list[int]:
        """Numbers of the layers that are neither indexed nor failed."""
        return [
            number
            for number, layer in self._layers.items()
            if layer.tree is None and isinstance(layer.error, LayerPending)
        ]

    def add(self, number: int, archive: Archive) -> None:
        """Add a layer that is indexed.

        :raises ArchiveError: when its entries make no tree; the layer has failed then
        """
        layer = self._layers[number]
        try:
            tree = LayerTree(archive.listing, self._limits, self._has_markers)
        except ArchiveError as error:
            self.fail(number, error)
            raise
        layer.archive, layer.tree = archive, tree
        self._linked, self._link_counts = None, {}

    def fail(self, number: int, error: ArchiveError) -> None:
        """Say that a layer cannot be indexed: what depends on it raises the error from now on."""
        self._layers[number].error = error

    def error(self, number: int) -> ArchiveError | None:
        """Return why a layer is not there, None when it is."""
        layer = self._layers[number]
        return None if layer.tree else layer.error

    def lookup(self, path: Path) -> Node | None:
        """Return what stands at a path, None when nothing does. Symbolic links are not followed.

        :raises ArchiveError: when a layer that decides is not indexed yet, or failed
        """
        place = self._visible(path)
        return None if place is None else self._node(place)

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory; none when there is no directory.

        :raises ArchiveError: when a layer that has a part in it is not indexed yet, or failed
        """
        place = self._visible(path)
        return [] if place is None or not place.is_directory else self._names(place)

    def children(self, path: Path) -> Iterator[tuple[str, Node]]:
        """Yield the names in a directory and what they are; nothing when there is no directory.

        :raises ArchiveError: as :meth:`names`
        """
        place = self._visible(path)
        if place is None or not place.is_directory:
            return
        for name in self._names(place):
            child = place.child(name)
            if child is not None:
                yield name, self._node(child)

    def open(self, node: Node) -> Reader:
        """Return a reader of a file's bytes.

        :raises ArchiveError: when it is not a file, or its bytes cannot be read
        """
        layer = self._layers[node.layer]
        if layer.archive is None or node.number is None:
            raise CorruptArchive("not a file")
        return layer.archive.open(node.number)

    def _tree(self, number: int) -> LayerTree:
        layer = self._layers[number]
        if layer.tree is None:
            raise layer.error
        return layer.tree

    def _top(self, below: int | None = None) -> Place:
        """Return the root of the layers below a number, of all when it is None."""
        place = Place()
        for number in sorted(self._layers, reverse=True):
            if below is None or number < below:
                layer = self._layers[number]
                place.add(number, layer.tree.root if layer.tree else layer.error)
        return place

    def _visible(self, path: Path) -> Place | None:
        """Return what stands at a path below the prefix."""
        return self._at((*self._prefix, *path))

    def _at(self, path: Path) -> Place | None:
        """Return what stands at a path, None when nothing does or only a marker."""
        if self._has_markers and any(map(markers.is_hidden, path)):
            return None
        place: Place | None = self._top()
        for name in path:
            place = place.child(name) if place else None
        return place

    def _names(self, place: Place) -> list[str]:
        return [name for name in place.names() if not (self._has_markers and markers.is_hidden(name))]

    def _node(self, place: Place) -> Node:
        if place.is_directory:
            return self._directory(place)
        layer, number = identity = self._identity(place)
        entry, inode = self._tree(layer).listing.entry(number), inode_of(layer, number)
        return node_of(entry, number, inode, self._nlink(identity), layer, self._layers[layer].digest)

    def _directory(self, place: Place) -> Node:
        """Return a directory with the attributes of the highest layer that has an entry for it."""
        top = inode = 0
        for layer, directory in place.found:
            tree = self._tree(layer)
            if isinstance(directory, ArchiveError):
                raise directory
            if isinstance(directory, Directory):
                top, inode = top or layer, inode or inode_of(layer, directory.number)
                if tree.is_explicit(directory):
                    entry = tree.listing.entry(directory.number)
                    return node_of(entry, directory.number, inode, 1, layer, self._layers[layer].digest)
        return implicit_directory(inode, top, self._layers[top].digest if top else "")

    def _identity(self, place: Place) -> _Identity:
        """Return the layer and the number of what is no directory; for a hard link, of its target.

        :raises CorruptArchive: when the target is not there, or a directory
        """
        layer, number = place.found[0]
        if not isinstance(number, int):
            raise CorruptArchive("a hard link to a directory")
        tree = self._tree(layer)
        if tree.listing.kind(number) is not Kind.HARDLINK or not self._has_markers:
            return layer, number
        target = self._follow(tree.foreign_links[number], layer)
        if target is None:
            raise CorruptArchive(f"{tree.listing.name(number)!r}: a hard link to nothing")
        return self._identity(target[0])

    def _follow(self, path: Path, below: int) -> tuple[Place, Path] | None:
        """Return what the layers below a number have at a path, through symbolic links, and where that really is."""
        walk = Walk(self._top(below), path[:-1], self._look)
        while walk.step():
            if walk.missing is not None:
                return None
        place = walk.here.child(path[-1])
        return None if place is None else (place, (*walk.trail, path[-1]))

    def _look(self, place: Place, name: str) -> Place | str | None:
        """Return a child that a path can go through: a directory, or the text of a symbolic link."""
        child = place.child(name)
        if child is None or child.is_directory:
            return child
        layer, number = self._identity(child)
        listing = self._tree(layer).listing
        return listing.link(number) if listing.kind(number) is Kind.SYMLINK else None

    def _nlink(self, identity: _Identity) -> int:
        """Count the names of an entry that are visible; all layers above it are indexed, as it is visible itself."""
        layer, number = identity
        counts = self._link_counts
        if identity not in counts:
            names = self._links_from_above().get(identity, set()) | self._tree(layer).names.get(number, set())
            if not names:
                return 1
            counts[identity] = sum(self._is_at(path, identity) for path in names)
        return counts[identity]

    def _is_at(self, path: Path, identity: _Identity) -> bool:
        place = self._at(path)
        return place is not None and not place.is_directory and self._identity(place) == identity

    def _links_from_above(self) -> dict[_Identity, set[Path]]:
        """Return the names that hard links from higher layers give to entries of lower ones, and the entries' own."""
        linked = self._linked
        if linked is None:
            linked = {}
            for number, layer in self._layers.items():
                for link in layer.tree.foreign_links if layer.tree else ():
                    # A link to nothing, or into a layer that is not indexed, is no name of what can be seen.
                    with suppress(ArchiveError):
                        self._note_link(linked, number, link)
            self._linked = linked
        return linked

    def _note_link(self, linked: dict[_Identity, set[Path]], layer: int, link: int) -> None:
        tree = self._tree(layer)
        target = self._follow(tree.foreign_links[link], layer)
        if target is not None:
            place, where = target
            linked.setdefault(self._identity(place), set()).update(tree.names[link], {where})
