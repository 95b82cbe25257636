"""What lies in an archive: directories, files, links and devices, with their own modes, owners and times. Read-only."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from regfs.archive.reader import Reader as ArchiveReader
from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.node import Node as Entry
from regfs.archive.rootfs.node import implicit_directory
from regfs.cache.fetcher import Reader
from regfs.oci.titles import Path
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.node import ContentId, Directory, File, Node, Renaming

Answer = TypeVar("Answer")
_XATTR = "user.regfs."
_NOUNS = {
    Kind.SYMLINK: "symbolic link",
    Kind.FIFO: "fifo",
    Kind.SOCKET: "socket",
    Kind.BLOCK_DEVICE: "block device",
    Kind.CHARACTER_DEVICE: "character device",
}
_IDENTITY_BYTES = 16
_INODE_BYTES = 7  # the kernel's numbers are unsigned and 8 bytes long; programs take a sign for an error


@dataclass(frozen=True, eq=False)
class ArchiveView:
    """One root of archives, and what is known of its layers.

    :param identity: differs from that of every other root
    :param ask: puts a question to it, and waits for the layers that decide
    :param mtime_ns: of the root directory, nanoseconds since the epoch
    :param created_by: the command that made each layer, the lowest one first
    :param peek: puts a question to it if that costs no request; None when it would
    """

    identity: str
    ask: Callable[[Callable[[Root], object]], object]
    mtime_ns: int
    created_by: tuple[str, ...] = ()
    peek: Callable[[Callable[[Root], Entry | None]], Entry | None] = lambda question: None

    @cached_property
    def short_identity(self) -> str:
        """The identity in a few characters: a mount remembers it for each file."""
        return hashlib.blake2b(self.identity.encode(), digest_size=_IDENTITY_BYTES).hexdigest()

    def root(self) -> Node:
        """Return the root directory."""
        return ArchivedRoot(self, (), implicit_directory(0, 0, ""))

    def answer(self, question: Callable[[Root], Answer]) -> Answer:
        """Return what the root answers.

        :raises ArchiveError: when a layer that decides cannot be read as an archive
        """
        return self.ask(question)  # type: ignore[return-value] # the question's own type

    def at(self, path: Path) -> Node | None:
        """Return what stands at a path of the root; None when nothing does."""
        entry = self.answer(lambda root: root.lookup(path))
        return None if entry is None else self.node(path, entry)

    def children(self, path: Path) -> Iterator[tuple[str, Node]]:
        """Yield the names in a directory of the root, and what they are."""
        for name, entry in self.answer(lambda root: list(root.children(path))):
            yield name, self.node((*path, name), entry)

    def node(self, path: Path, entry: Entry) -> Node:
        """Return the node of an entry."""
        return (ArchivedDirectory if entry.is_directory else ArchivedFile)(self, path, entry)

    def attributes(self, entry: Entry, content: ContentId | None = None) -> Attributes:
        """Return what stat says of an entry.

        :param content: tells its bytes from others
        """
        return Attributes(
            Kind(entry.kind.file_type),
            entry.size if not entry.link else len(os.fsencode(entry.link)),
            entry.mtime_ns,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            nlink=entry.nlink,
            inode=self.inode(entry.inode),
            rdev=os.makedev(*entry.device),
            link_target=entry.link or None,
            content=content,
        )

    def inode(self, number: int) -> int:
        """Return the number of an entry, which is another one in every root."""
        key = f"{self.short_identity} {number}".encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=_INODE_BYTES).digest(), "big") | 1

    def xattrs(self, entry: Entry) -> Mapping[str, bytes]:
        """Return the entry's own extended attributes, and the layer that it comes from."""
        found = {name: value for name, value in entry.xattrs if not name.startswith(_XATTR)}
        if entry.layer_digest:
            found[f"{_XATTR}layer"] = b"%02d" % entry.layer
            found[f"{_XATTR}layer_digest"] = entry.layer_digest.encode()
        if 0 < entry.layer <= len(self.created_by):
            found[f"{_XATTR}created_by"] = self.created_by[entry.layer - 1].encode(errors="replace")
        return found


@dataclass(frozen=True, eq=False)
class ArchivedDirectory(Directory):
    """A directory of an archive.

    :param path: in the root
    """

    view: ArchiveView
    path: Path
    entry: Entry

    def attributes(self) -> Attributes:
        return self.view.attributes(self.entry)

    def xattrs(self) -> Mapping[str, bytes]:
        return self.view.xattrs(self.entry)

    def lookup(self, name: str) -> Node | None:
        return self.view.at((*self.path, name))

    def step(self, path: Path) -> tuple[Node | None, Path]:
        return self.view.at((*self.path, *path)), ()

    def require_listable(self) -> None:
        """Wait for the layers: a program that is killed need not wait for this, as it would for a listing."""
        self.view.answer(lambda root: root.names(self.path))

    def children(self) -> Iterator[tuple[str, Node]]:
        yield from self.view.children(self.path)

    def require_empty(self) -> None:
        raise read_only()

    def require_settable(self) -> None:
        raise read_only()

    def rename(self, way: Renaming) -> None:
        raise read_only()


class ArchivedRoot(ArchivedDirectory):
    """The root of archives. A listing of the directory above costs nothing: nothing is opened to describe it.

    Its owner and mode are known once the layers are there. Its number and time are the same before and after that, as
    tar(1) takes another time for a change.
    """

    @property
    def is_archive_root(self) -> bool:
        return True

    def attributes(self) -> Attributes:
        entry = self.view.peek(lambda root: root.lookup(())) or self.entry
        return replace(self.view.attributes(entry), mtime_ns=self.view.mtime_ns, inode=self.view.inode(0))


@dataclass(frozen=True, eq=False)
class ArchivedFile(File):
    """A file, a link, a device or a FIFO of an archive."""

    view: ArchiveView
    path: Path
    entry: Entry

    @property
    def noun(self) -> str:
        return _NOUNS.get(Kind(self.entry.kind.file_type), "file")

    def attributes(self) -> Attributes:
        return self.view.attributes(self.entry, self.content_id)

    def xattrs(self) -> Mapping[str, bytes]:
        return self.view.xattrs(self.entry)

    def open(self) -> Reader:
        if Kind(self.entry.kind.file_type) is not Kind.FILE:
            raise OSError(errno.EOPNOTSUPP, "not a file with bytes")
        return _EntryReader(self.view.answer(lambda root: root.open(self.entry)))

    def require_settable(self) -> None:
        raise read_only()

    @property
    def content_id(self) -> ContentId:
        return f"{self.view.short_identity} {self.entry.inode}"


def read_only() -> OSError:
    """Return EROFS for what lies in an archive."""
    return OSError(errno.EROFS, "what lies in an archive is read-only")


class _EntryReader:
    """An open file of an archive."""

    backing: int | None = None

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self.size = reader.size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        content = self._reader.read(offset, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """The archive goes on; nothing of it is this file's alone."""
