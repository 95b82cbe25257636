"""What the layers have at one path, and under a name there: the rules of merging. Knows no attributes and no bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regfs.archive.errors import ArchiveError
from regfs.archive.rootfs.layer import Child, Directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(eq=False, slots=True)
class Place:
    """What the layers have at one path, from the top down to the one that hides those below it.

    :param found: layer numbers, and what is there: one thing that is no directory, or directories. In the place of a
        layer that is not known stands the error that says so
    :param with_children: how many of them have a part in the children, None for all. Those below an opaque directory
        only lend it their attributes, if it has none
    """

    found: list[tuple[int, Child | ArchiveError]] = field(default_factory=list)
    with_children: int | None = None

    def add(self, layer: int, child: Child | ArchiveError) -> None:
        """Append what the next lower layer has."""
        self.found.append((layer, child))
        if self.with_children is None and isinstance(child, Directory) and child.is_opaque:
            self.with_children = len(self.found)

    @property
    def is_directory(self) -> bool:
        return not (self.found and isinstance(self.found[0][1], int))

    def child(self, name: str) -> Place | None:
        """Return what the layers have under a name, None when there is nothing.

        :raises ArchiveError: when a layer that is not known decides
        """
        place = Place()
        for layer, directory in self._directories():
            if isinstance(directory, ArchiveError):
                if not place.found:
                    raise directory
                place.add(layer, directory)
                continue
            child = directory.children.get(name)
            if isinstance(child, Directory) or (child is not None and not place.found):
                place.add(layer, child)
            if isinstance(child, int) or directory.removes(name):
                break
        return place if place.found else None

    def names(self) -> list[str]:
        """Return the names of the children.

        :raises ArchiveError: when a layer that has a part in them is not known
        """
        names: list[str] = []
        gone: set[str] = set()
        for _, directory in self._directories():
            if isinstance(directory, ArchiveError):
                raise directory
            names += [name for name in directory.children if name not in gone]
            gone.update(directory.children, directory.removed or ())
        return names

    def _directories(self) -> Iterator[tuple[int, Directory | ArchiveError]]:
        for layer, child in self.found[: self.with_children]:
            if not isinstance(child, int):
                yield layer, child
