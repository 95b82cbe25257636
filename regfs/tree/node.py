"""PORT B: any thing in the tree. What can be asked of it, and what it answers where its kind says nothing else.

Nodes are values of a moment: who wants to know what is at a path later looks it up again. They raise OSError for what
a program asks that cannot be, and let the errors of the registry pass.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from regfs.cache.fetcher import Reader
from regfs.oci.manifest import Descriptor
from regfs.oci.target import Target
from regfs.oci.titles import Files, Path, title_path
from regfs.tree.attributes import Attributes

ContentId = str


@dataclass(frozen=True)
class TagName:
    """A tag, or a manifest by its digest.

    :param pinned: whether it is a digest, or a platform of an index: immutable
    """

    repository: str
    name: str
    pinned: bool = False

    def __str__(self) -> str:
        return f"{self.repository}:{self.name}"


@dataclass(frozen=True)
class Stored:
    """What a registry has of a node: the repository, and what a manifest says of it."""

    repository: str
    descriptor: Descriptor


class Renaming(Protocol):
    """The ways in which a directory can get another name; :mod:`regfs.write.moves` has them. A node takes one."""

    def make(self) -> None:
        """It is in the mount alone."""

    def retitle(self, tag: TagName, prefix: Path, files: Files) -> None:
        """It is the start of the titles of some files of a tag."""

    def retag(self, tag: TagName) -> None:
        """It is a tag."""


class Node(ABC):
    """A thing in the tree.

    ``awaits_first_file`` says whether the first file in it decides of which tag it is.
    """

    is_directory: ClassVar[bool]
    awaits_first_file: ClassVar[bool] = False

    @property
    @abstractmethod
    def noun(self) -> str:
        """What a listing calls it."""

    @abstractmethod
    def attributes(self) -> Attributes:
        """Return what stat says of it.

        :raises OSError: EIO when the registry does not have the blob whose size it is asked for
        """

    def xattrs(self) -> Mapping[str, bytes]:
        """Return its extended attributes."""
        return self.attributes().xattrs

    def readlink(self) -> str:
        """Return where a symbolic link leads.

        :raises OSError: EINVAL for what is none
        """
        target = self.attributes().link_target
        if target is None:
            raise OSError(errno.EINVAL, "not a symbolic link")
        return target

    @abstractmethod
    def lookup(self, name: str) -> Node | None:
        """Return what is called *name* in it; None when nothing is."""

    def step(self, path: Path) -> tuple[Node | None, Path]:
        """Go one or more names of a path; returns what is there, and the rest of the path."""
        return self.lookup(path[0]), path[1:]

    @abstractmethod
    def children(self) -> Iterator[tuple[str, Node]]:
        """Yield the names in it, and what they are; without the hidden ones.

        :raises OSError: ENOTDIR
        """

    @abstractmethod
    def require_listable(self) -> None:
        """Make sure that there is something to list.

        :raises OSError: ENOTDIR; ENOENT for a directory that is only there because no catalog says that it is not
        """

    @abstractmethod
    def open(self) -> Reader:
        """Return a reader that stays with the bytes of this moment; it has to be closed.

        :raises OSError: EISDIR
        """

    @property
    def content_id(self) -> ContentId:
        """Equal for two opens only if they read the same bytes; tells whether pages and attributes can be kept."""
        return ""

    @property
    def stored(self) -> Stored | None:
        """What a registry has of it; None where it has no descriptor of its own."""
        return None

    @property
    def created(self) -> int | None:
        """When it was made, seconds since the epoch, where the registry says."""
        return None

    @property
    def vanishes_when_empty(self) -> bool:
        """Whether it is only there as long as a file is in it."""
        return False

    def refresh(self) -> None:  # noqa: B027 - most kinds belong to no tag
        """Ask the registry what its tag stands for now: a change of it goes by that, not by what is remembered."""

    def require_complete(self) -> None:  # noqa: B027 - most kinds are what they are
        """Make sure that the registry has what it stands for, so that a listing leaves nothing out.

        :raises OSError: ENOENT
        """

    def blobs(self) -> Iterator[Stored]:
        """Yield the blobs that the manifests name that it stands for: the layers, then the config, of each."""
        yield from ()

    def platforms(self) -> Mapping[str, Node]:
        """Return its platforms by name; none where it has files itself."""
        return {}

    # Where it may be written

    @abstractmethod
    def target(self, name: str) -> Target:
        """Return what a file *name* in it is meant to be.

        :raises OSError: EROFS in what is immutable, EPERM where a file has no tag, EINVAL for a name that is none
        """

    @abstractmethod
    def require_makeable(self, name: str) -> None:
        """Make sure that there can be a directory *name* in it.

        :raises OSError: EROFS in what is immutable, EINVAL for a name that a registry cannot have
        """

    def tag_at(self, name: str) -> TagName | None:
        """Return the tag that a directory *name* in it is, when any is; None where no tag can be."""
        return None

    @abstractmethod
    def removable(self) -> Target:
        """Return the tag, and the title in it, that a file can be taken out of.

        :raises OSError: EISDIR; EPERM when no tag names it, EROFS when that is immutable
        """

    @abstractmethod
    def require_overwritable(self) -> None:
        """Make sure that it is a file that can be written over.

        :raises OSError: as :meth:`removable`, and EPERM for what has no name to be published by
        """

    def require_settable(self) -> None:  # noqa: B027 - a registry keeps no modes; nobody is stopped for that
        """Make sure that it has no mode, owner and time of its own that somebody would want to set.

        :raises OSError: EROFS
        """

    def require_empty(self) -> None:
        """Make sure that nothing is in it, so that it can be removed or replaced.

        :raises OSError: ENOTDIR, ENOTEMPTY; EROFS for what is always there
        """
        if next(self.children(), None) is not None:
            raise OSError(errno.ENOTEMPTY, "directory not empty")

    @abstractmethod
    def removable_tag(self) -> TagName | None:
        """Return the tag that goes when it is removed as an empty directory; None where only the mount has it.

        :raises OSError: ENOTDIR; EPERM for a repository, which no registry can remove; EROFS
        """

    @property
    def is_archive_root(self) -> bool:
        """Whether symbolic links below it count from here."""
        return False

    @property
    def is_packed(self) -> bool:
        """Whether it is a directory that is one layer of a tag."""
        return False

    def packed_at(self) -> Target | None:
        """Return the tag, and the title in it, that goes with a directory which is one layer; None for any other.

        :raises OSError: EROFS when the tag is immutable
        """
        return None

    def rename(self, way: Renaming) -> None:
        """Give a directory another name, the way that fits it.

        :raises OSError: EXDEV for what has to be moved file by file
        """
        raise OSError(errno.EXDEV, "moved file by file")


class File(Node):
    """What has bytes. Read-only, unless its kind says otherwise."""

    is_directory = False

    @property
    def noun(self) -> str:
        return "file"

    def lookup(self, name: str) -> Node | None:
        return None

    def children(self) -> Iterator[tuple[str, Node]]:
        raise OSError(errno.ENOTDIR, "not a directory")

    def require_listable(self) -> None:
        raise OSError(errno.ENOTDIR, "not a directory")

    def target(self, name: str) -> Target:
        raise OSError(errno.ENOTDIR, "not a directory")

    def require_makeable(self, name: str) -> None:
        raise OSError(errno.ENOTDIR, "not a directory")

    def removable(self) -> Target:
        raise OSError(errno.EROFS, "what the registry says is read-only")

    def require_overwritable(self) -> None:
        self.removable()

    def removable_tag(self) -> TagName | None:
        raise OSError(errno.ENOTDIR, "not a directory")


class Directory(Node):
    """What has names in it. Read-only, unless its kind says otherwise."""

    is_directory = True

    @property
    def noun(self) -> str:
        return "directory"

    def require_listable(self) -> None:
        """Nothing is known against it."""

    def open(self) -> Reader:
        raise OSError(errno.EISDIR, "is a directory")

    def target(self, name: str) -> Target:
        raise OSError(errno.EROFS, "what the registry says is read-only")

    def require_makeable(self, name: str) -> None:
        raise OSError(errno.EROFS, "read-only")

    def removable(self) -> Target:
        raise OSError(errno.EISDIR, "is a directory")

    def require_overwritable(self) -> None:
        raise OSError(errno.EISDIR, "is a directory")

    def removable_tag(self) -> TagName | None:
        raise OSError(errno.EROFS, "read-only")


def title(name: str) -> Path:
    """Return a name as the title of a file.

    :raises OSError: EINVAL when it cannot be one
    """
    path = title_path(name)
    if path is None:
        raise OSError(errno.EINVAL, "a file in a registry cannot have that name")
    return path


def not_permitted(what: str) -> OSError:
    """Return EPERM, and what to do."""
    return OSError(errno.EPERM, f"it {what}")


def invalid_name() -> OSError:
    """Return EINVAL for a directory."""
    return OSError(errno.EINVAL, "a registry cannot have that name")
