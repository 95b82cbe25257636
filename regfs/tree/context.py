"""What the nodes of one tree share. Nothing here changes but the directories that only the mount has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from regfs.cache.fetcher import Fetcher
from regfs.metadata.archives import Archives
from regfs.metadata.catalog import Catalog
from regfs.oci.titles import Path
from regfs.tree.names import FileNames, RepositoryNames
from regfs.tree.node import Node


class MadeDirectories:
    """The directories that only the mount has, by their paths: they hold nothing that the registry knows of.

    Everything may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # innermost
        self._paths: set[Path] = set()

    def __contains__(self, path: Path) -> bool:
        with self._lock:
            return path in self._paths

    def names_in(self, path: Path) -> list[str]:
        """Return the names of those in a directory."""
        with self._lock:
            return [made[-1] for made in self._paths if made[:-1] == path]

    def add(self, path: Path) -> None:
        """Keep a directory until a file lands in it."""
        with self._lock:
            self._paths.add(path)

    def remove(self, path: Path) -> None:
        """Forget a directory and everything made in it."""
        with self._lock:
            self._paths -= {made for made in self._paths if made[: len(path)] == path}

    def move(self, old: Path, new: Path) -> None:
        """Take the directories made in *old* along to *new*, and forget *old*."""
        with self._lock:
            below = {made for made in self._paths if made[: len(old)] == old}
            self._paths -= below
            self._paths |= {new + made[len(old) :] for made in below if made != old}

    def landed(self, path: Path) -> None:
        """Forget the directories above a file that the registry has now."""
        with self._lock:
            self._paths -= {path[:length] for length in range(1, len(path))}


@dataclass(frozen=True, kw_only=True)
class Context:
    """The collaborators of every node of one tree.

    :param started_ns: the time of what has no time of its own, nanoseconds since the epoch
    :param platform: of multi-platform tags that have it, only this one is shown, as ``os-arch[-variant]``
    :param is_one_repository: whether the root is one repository: nothing nested in it is shown
    :param repository: makes the node of a repository, of its path and its name
    """

    catalog: Catalog
    fetcher: Fetcher
    archives: Archives
    made: MadeDirectories
    repositories: RepositoryNames
    files: FileNames
    started_ns: int
    platform: str | None
    is_one_repository: bool
    repository: Callable[[Context, Path, str], Node]
