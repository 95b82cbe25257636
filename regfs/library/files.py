"""The files of one registry, for programs: the tree of a mount, without a mount.

Paths are tuples of names from the root of the registry on. What is written is in the tree when it is closed.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from regfs.library.changes import Changes, NewContent
from regfs.library.streams import RawReader, WriteStream
from regfs.oci.manifest import Descriptor
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.session import Graph
from regfs.tree.attributes import Kind
from regfs.tree.node import Node
from regfs.tree.walk import files_below
from regfs.write.content import Fixed
from regfs.write.staging import Staged

_LINKS_FOLLOWED = 40  # as the kernel
_XATTR = "user.regfs."
_ANNOTATION = f"{_XATTR}annotation."


@dataclass(frozen=True)
class Entry:
    """What is known of a path.

    :param kind: file, directory, link or other
    :param size: bytes; 0 of a directory
    :param mtime: seconds since the epoch
    :param digest: of a blob, or of the manifest of a tag
    :param destination: where a link leads
    """

    kind: str
    size: int
    mtime: float
    digest: str | None = None
    media_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    destination: str | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind == "directory"


class Files:
    """Looks at, reads and changes files. Everything may be called from any thread.

    Raises OSError, and lets errors of the registry pass: :func:`regfs.library.errors.raising_os_errors` makes OSErrors
    of them.

    :param graph: returns the object graph of this process
    :param read_only: whether every change is refused
    """

    def __init__(self, graph: Callable[[], Graph], read_only: bool = False) -> None:
        self._graph = graph
        self._read_only = read_only

    # Looking

    def entry(self, path: Path) -> Entry:
        """Return what is at a path; links are followed. Of a tag this asks for its manifest.

        :raises FileNotFoundError: when nothing is there
        """
        node = self._resolve(path)
        node.require_complete()
        if not node.is_directory:
            return _entry(node)
        node.require_listable()
        known = {name: value.decode(errors="replace") for name, value in node.xattrs().items()}
        return replace(
            _entry(node),
            digest=known.get(f"{_XATTR}digest"),
            media_type=known.get(f"{_XATTR}media_type"),
            annotations={
                name.removeprefix(_ANNOTATION): value for name, value in known.items() if name.startswith(_ANNOTATION)
            },
        )

    def list(self, path: Path) -> Iterator[tuple[str, Entry]]:
        """Yield the names in a directory, and what is there. A directory is not looked into.

        :raises FileNotFoundError, NotADirectoryError: when there is no directory
        """
        node = self._resolve(path)
        node.require_listable()
        return ((name, _entry(child)) for name, child in node.children())

    def exists(self, path: Path) -> bool:
        """Whether anything is at a path."""
        return self._graph().tree.resolve(path) is not None

    def refresh(self, path: Path) -> None:
        """Ask the registry what the tag of a path stands for now, whatever is remembered."""
        node = self._graph().tree.resolve(path)
        if node is not None:
            node.refresh()

    def _resolve(self, path: Path) -> Node:
        """Return the node at a path. Links are followed, inside of the registry.

        :raises FileNotFoundError: when nothing is there
        """
        for _ in range(_LINKS_FOLLOWED):
            node, followed = self._step(path)
            if followed is None:
                return node
            path = followed
        raise OSError(errno.ELOOP, "too many links")

    def _step(self, path: Path) -> tuple[Node, Path | None]:
        """Return the node at a path, and where to look instead when a link is on the way."""
        node = _there(self._graph().tree.resolve(()))
        for depth, name in enumerate(path, 1):
            node = _there(node.lookup(name))
            if not node.is_directory and node.attributes().kind is Kind.SYMLINK:
                return node, _followed(path[: depth - 1], node.readlink(), path[depth:])
        return node, None

    # Reading

    def read(self, path: Path, name: str) -> RawReader:
        """Open a file for reading: it stays with the bytes of this moment.

        :param name: of the path, for messages
        :raises FileNotFoundError, IsADirectoryError: when there is no file
        """
        node = self._resolve(path)
        stored = node.stored
        if node.is_directory or stored is None:
            return RawReader(lambda: self._resolve(path).open(), name)
        repository, blob = stored.repository, self._sized(node)
        return RawReader(lambda: self._graph().fetcher.open(repository, blob), name, blob.digest)

    def _sized(self, node: Node) -> Descriptor:
        stored = node.stored
        found = None if stored is None else self._graph().catalog.sized(stored.repository, stored.descriptor)
        if found is None:
            raise OSError(errno.EIO, "the repository does not have the blob")
        return found

    # Writing

    def write(self, path: Path, mode: str, name: str, deferred: bool = False) -> WriteStream:
        """Open a file for writing; the directories above it are made.

        :param mode: as of the built-in ``open``; every file is binary, and what is written can be read
        :param name: of the path, for messages
        :param deferred: whether closing it only pushes the bytes: they get their name by :meth:`put_staged`
        :raises FileExistsError: with ``x``, when it exists
        """
        target, there = self._goal(path)
        if there is not None and "x" in mode:
            raise OSError(errno.EEXIST, "exists")
        if there is None and "r" in mode:
            raise OSError(errno.ENOENT, "no such file")
        staged = self._graph().journal.stage(target)
        try:
            if there is not None and ("a" in mode or "r" in mode):
                self._fill(staged, there)
            else:
                staged.touch()
        except BaseException:
            staged.discard()
            staged.close()
            raise
        publish = self._push if deferred else lambda file: self._publish(path, file)
        stream = WriteStream(staged, publish, self.let_go, name, deferred)
        if "a" in mode:
            stream.seek(0, os.SEEK_END)
        return stream

    def _fill(self, staged: Staged, node: Node) -> None:
        reader = node.open()
        try:
            staged.fill(reader.read_into)
        finally:
            reader.close()

    def _publish(self, path: Path, staged: Staged) -> None:
        if staged.is_dirty:
            changes = self.changes()
            changes.add(path, staged.target, NewContent(staged, staged.mtime_ns))
            changes.commit()

    def let_go(self, staged: Staged) -> None:
        """Close a written file. What the registry does not have stays in the journal."""
        graph = self._graph()
        graph.blobs.forget(staged)
        staged.close(graph.cache.adopt)

    def changes(self) -> Changes:
        """Return an empty list of changes, to be committed together.

        :raises OSError: EROFS when every change is refused
        """
        if self._read_only:
            raise OSError(errno.EROFS, "the session is read-only")
        return Changes(self._graph())

    def put(self, changes: Changes, path: Path, content: bytes) -> None:
        """Note that a file is to have some bytes."""
        changes.add(path, self._target(path), NewContent(Fixed(content), time.time_ns()))

    def put_staged(self, changes: Changes, path: Path, staged: Staged) -> None:
        """Note that a file is to have what was written."""
        changes.add(path, staged.target, NewContent(staged, staged.mtime_ns))

    def put_local(self, changes: Changes, path: Path, local: str) -> None:
        """Note that a file is to have the bytes of a local one, which is not to change before they are pushed."""
        changes.add(path, self._target(path), NewContent(local, os.stat(local).st_mtime_ns))

    def _push(self, staged: Staged) -> None:
        self._graph().blobs.push(staged.target.repository, staged)

    def _target(self, path: Path) -> Target:
        return self._goal(path)[0]

    def _goal(self, path: Path) -> tuple[Target, Node | None]:
        """Return what a file at a path is to be, and what is there now; the directories above it are made."""
        if self._read_only:
            raise OSError(errno.EROFS, "the session is read-only")
        if not path:
            raise OSError(errno.EISDIR, "is a directory")
        above, _ = self._made(path[:-1])
        there = above.lookup(path[-1])
        if there is not None:
            there.require_overwritable()
        target = above.target(path[-1])
        self._graph().blobs.require_allowed(target.repository)
        return target, there

    def make_directories(self, path: Path) -> bool:
        """Make a directory and those above it, as far as they are missing; returns whether it was missing.

        A registry keeps no empty directories: it is in this session until a file lands in it.

        :raises OSError: ENOTDIR; EROFS in what is immutable; EINVAL for a name that a registry cannot have
        """
        return self._made(path)[1]

    def _made(self, path: Path) -> tuple[Node, bool]:
        """Return the directory at a path, and whether it had to be made."""
        tree, missing = self._graph().tree, False
        node = _there(tree.resolve(()))
        for depth, name in enumerate(path, 1):
            found = node.lookup(name)
            missing = found is None
            if found is None:
                if self._read_only:
                    raise OSError(errno.EROFS, "the session is read-only")
                node.require_makeable(name)
                tree.made.add(path[:depth])
                found = _there(node.lookup(name))
            if not found.is_directory:
                raise OSError(errno.ENOTDIR, "not a directory")
            node = found
        return node, missing

    # Copying, moving, removing

    def copy(self, changes: Changes, source: Path, goal: Path) -> None:
        """Note that a file is to be at another path, too. No bytes move where the registry can mount them."""
        node = self._resolve(source)
        if node.is_directory:
            self.make_directories(goal)
            return
        target, stored, graph = self._target(goal), node.stored, self._graph()
        if stored is not None and target.alias is not None:
            graph.blobs.seen(stored.repository, [stored.descriptor])
            digest = stored.descriptor.digest
            if target.repository == stored.repository or graph.blobs.bring(target.repository, digest):
                changes.add(goal, target, self._sized(node))
                return
        staged = graph.journal.stage(target)
        try:
            staged.touch()
            self._fill(staged, node)
            changes.add(goal, target, NewContent(staged, staged.mtime_ns))
            changes.hold(staged)
        except BaseException:
            staged.discard()
            staged.close()
            raise

    def rename(self, source: Path, goal: Path) -> bool:
        """Give a file, a directory of a tag, or a tag another name; returns whether the registry could."""
        self.changes()
        self.make_directories(goal[:-1])
        try:
            self._graph().filesystem.rename("/" + "/".join(source), "/" + "/".join(goal))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    def remove(self, changes: Changes, path: Path, recursive: bool) -> None:
        """Note that a file is to go. A directory goes with everything in it, a tag by its deletion, at once.

        :raises IsADirectoryError: for a directory, unless *recursive*
        :raises PermissionError: for a repository, which no registry removes
        """
        graph = self._graph()
        node = _there(graph.tree.resolve(path))
        if node.is_directory and not recursive:
            raise OSError(errno.EISDIR, "is a directory; remove it recursively")
        tag = node.removable_tag() if node.is_directory else None
        for above, directory in graph.tree.above(path):
            if directory.vanishes_when_empty:  # the last file would take it along
                graph.tree.made.add(above)
        if not node.is_directory:
            changes.add(path, node.removable(), None)
            return
        if tag is not None:
            graph.tags.delete(tag.repository, tag.name)
        else:
            for below, file in files_below(node):
                changes.add((*path, *below), file.removable(), None)
        graph.tree.made.remove(path)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory; of a tag without files, the tag.

        :raises OSError: ENOENT, ENOTDIR, ENOTEMPTY; EPERM for a repository
        """
        self.changes()
        self._graph().filesystem.rmdir("/" + "/".join(path))


def _there(node: Node | None) -> Node:
    if node is None:
        raise OSError(errno.ENOENT, "no such file or directory")
    return node


def _entry(node: Node) -> Entry:
    """Return what is known of a node without a request."""
    attributes, stored = node.attributes(), node.stored
    kinds = {Kind.DIRECTORY: "directory", Kind.FILE: "file", Kind.SYMLINK: "link"}
    return Entry(
        kinds.get(attributes.kind, "other"),
        attributes.size,
        attributes.mtime_ns / 10**9,
        digest=None if stored is None else stored.descriptor.digest,
        media_type=None if stored is None else stored.descriptor.media_type,
        annotations={} if stored is None else stored.descriptor.annotations,
        destination=attributes.link_target,
    )


def _followed(above: Path, destination: str, rest: Path) -> Path:
    """Return where a link leads.

    :raises FileNotFoundError: for an absolute link: it leads out of the registry
    """
    if destination.startswith("/"):
        raise OSError(errno.ENOENT, f"a link to {destination}, which is not in the registry")
    path = list(above)
    for name in destination.split("/"):
        if name == "..":
            path = path[:-1]
        elif name not in ("", "."):
            path.append(name)
    return (*path, *rest)
