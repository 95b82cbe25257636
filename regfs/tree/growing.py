"""Directories in which directories can be made that, at first, only the mount has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.titles import Path
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.context import Context
from regfs.tree.node import Directory, Node


@dataclass(frozen=True, eq=False)
class Growing(Directory):
    """What the registry has in a directory, and beside it the directories that only the mount has.

    :param path: where it is in the mount; directories that were made in it are known by that
    """

    context: Context
    path: Path

    def attributes(self) -> Attributes:
        return Attributes(Kind.DIRECTORY, 0, self.context.started_ns, True)

    def lookup(self, name: str) -> Node | None:
        found = self.held(name)
        if found is None and (*self.path, name) in self.context.made:
            return self.made(name)
        return found

    def children(self) -> Iterator[tuple[str, Node]]:
        names = set()
        for name, child in self.listed():
            names.add(name)
            yield name, child
        for name in self.context.made.names_in(self.path):
            if name not in names:
                yield name, self.made(name)

    @abstractmethod
    def held(self, name: str) -> Node | None:
        """Return what the registry has by that name; None when it has nothing."""

    @abstractmethod
    def listed(self) -> Iterator[tuple[str, Node]]:
        """Yield what the registry has, by name."""

    @abstractmethod
    def made(self, name: str) -> Node:
        """Return what a directory is that was made by that name."""
