"""A walk along a path from directory to directory, and through symbolic links. Knows no layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from regfs.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from collections.abc import Callable

    from regfs.archive.entry import Path

D = TypeVar("D")

# What Linux follows in one path.
SYMLINKS_MAX = 40


class Walk(Generic[D]):
    """Goes from a root along a path, of which each component is a directory or a link to one; never above the root.

    :param look: returns a directory's child when that is a directory, the text of a symbolic link, None otherwise
    :ivar here: the directory where it is
    :ivar trail: the path to there, free of symbolic links
    :ivar missing: the next name, when no directory is there
    """

    def __init__(self, root: D, path: Path, look: Callable[[D, str], D | str | None]) -> None:
        self.trail: list[str] = []
        self.missing: str | None = None
        self._look = look
        self._directories = [root]
        self._pending = list(reversed(path))
        self._links = 0

    @property
    def here(self) -> D:
        return self._directories[-1]

    @property
    def rest(self) -> Path:
        """The names from *missing* on."""
        return () if self.missing is None else (self.missing, *reversed(self._pending))

    def enter(self, directory: D, name: str) -> None:
        """Go into a directory."""
        self.missing = None
        self._directories.append(directory)
        self.trail.append(name)

    def step(self) -> bool:
        """Go one name further, or note that it is missing; False at the end.

        :raises CorruptArchive: when there are too many symbolic links, as in a loop
        """
        if not self._pending:
            return False
        name = self._pending.pop()
        if name == "..":
            if self.trail:
                self.trail.pop()
                self._directories.pop()
        elif name not in ("", "."):
            self._go(name)
        return True

    def _go(self, name: str) -> None:
        child = self._look(self.here, name)
        if child is None:
            self.missing = name
        elif isinstance(child, str):
            self._follow(child)
        else:
            self.enter(child, name)

    def _follow(self, link: str) -> None:
        self._links += 1
        if self._links > SYMLINKS_MAX:
            raise CorruptArchive("a path goes through too many symbolic links")
        if link.startswith("/"):
            del self.trail[:], self._directories[1:]
        self._pending += reversed(link.split("/"))
