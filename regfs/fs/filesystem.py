"""The verbs of a filesystem, on nodes. Raises OSError, knows no FUSE.

Paths are absolute strings. Errors of the layers below pass through; :mod:`regfs.fs.errnos` makes errnos of them.
A file being written is the same for all its handles, by whichever of its names, until the last of them is released.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from regfs.fs.handles import Handle, HandleTable
from regfs.fs.paths import split
from regfs.oci.edits import rfc3339
from regfs.oci.manifest import CREATED
from regfs.oci.titles import Path
from regfs.registry.api import Denied, Failed, Interrupted, Invalid, NotFound, Untrustworthy
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.node import Node, Stored
from regfs.tree.tree import Tree
from regfs.write.blobs import BlobPusher
from regfs.write.moves import Moves
from regfs.write.open_files import Writing, Writings
from regfs.write.tags import TagEditor

_WRITING = os.O_WRONLY | os.O_RDWR


class Filesystem:
    """A registry, as files.

    :param read_only: whether every change is refused
    """

    def __init__(
        self,
        tree: Tree,
        blobs: BlobPusher,
        tags: TagEditor,
        moves: Moves,
        writings: Writings,
        read_only: bool = False,
    ) -> None:
        self._tree = tree
        self._blobs = blobs
        self._tags = tags
        self._moves = moves
        self._writings = writings
        self._read_only = read_only
        self._open = HandleTable()

    # Looking

    def getattr(self, path: str) -> Attributes:
        """Return what stat says of *path*.

        :raises OSError: ENOENT when nothing is there
        """
        parts = split(path)
        writing = self._writings.at(parts)
        return self._resolve(parts).attributes() if writing is None else self._now(writing)

    def getattr_open(self, handle: int) -> Attributes:
        """Return what fstat says of an open file: of the bytes that the handle has, whatever is at its path now."""
        opened = self._open.get(handle)
        if opened.attributes is not None:
            return opened.attributes
        if opened.writing is None:
            raise OSError(errno.EBADF, "not an open file")
        return self._now(opened.writing)

    def bytes_of(self, handle: int) -> Hashable:
        """Return something that is equal for two handles of one name only if they read the same bytes."""
        opened = self._open.get(handle)
        return opened.writing or opened.content_id

    def backing_file(self, handle: int) -> int | None:
        """Return the descriptor of the file that has the verified bytes of an open blob, if they are all there.

        It is good until the handle is released.
        """
        return self._open.get(handle).backing

    def is_quick(self, handle: int) -> bool:
        """Whether a read is likely to need no registry: the file is on the disk, or lies in an archive."""
        opened = self._open.get(handle)
        return opened.backing is not None or (opened.stored is None and opened.writing is None)

    def _now(self, writing: Writing) -> Attributes:
        return Attributes(Kind.FILE, self._writings.size(writing), writing.file.mtime_ns, True, content=writing)

    def readlink(self, path: str) -> str:
        """Return where a symbolic link leads.

        :raises OSError: ENOENT; EINVAL for what is none
        """
        return self._resolve(split(path)).readlink()

    def opendir(self, path: str) -> None:
        """Make sure that there is something to list.

        :raises OSError: ENOENT for a directory that is only there because no catalog says that it is not
        """
        self._resolve(split(path)).require_listable()

    def readdir(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """Yield the names in a directory, with what stat says of each."""
        parts = split(path)
        children = self._resolve(parts).children()
        writing = self._writings.below(parts)
        for name, child in children:
            if name not in writing:
                yield name, child.attributes()
        for name, written in writing.items():
            yield name, self._now(written)

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Return the extended attributes of a file, or of a tag: digests, types, annotations."""
        parts = split(path)
        writing = self._writings.at(parts)
        if writing is not None and (writing.file.is_dirty or self._tree.resolve(parts) is None):
            return {}
        return self._resolve(parts).xattrs()

    def free_space(self) -> os.statvfs_result:
        """Return the room for files being written."""
        return os.statvfs(self._writings.directory)

    # Reading and writing

    def open(self, path: str, flags: int, closes_first: bool = False) -> int:
        """Open a file; returns a handle. For reading, it stays with the bytes of this moment.

        :param closes_first: whether its program closes a descriptor, of which it has a duplicate, before it writes
        :raises OSError: ENOENT, EISDIR; EROFS or EPERM when it cannot be written
        """
        parts = split(path)
        if flags & _WRITING:
            return self._open_for_writing(parts, bool(flags & os.O_TRUNC), closes_first)
        writing = self._writings.hold(parts)
        if writing is not None:
            return self._open.add(self._handle_of(writing))
        return self._open.add(self._opened(self._resolve(parts)))

    def _opened(self, node: Node) -> Handle:
        stored = node.stored
        with self._noticing_loss(stored):
            reader = node.open()
        if stored is not None:
            self._blobs.seen(stored.repository, [stored.descriptor])
        return Handle(reader.read_into, reader.close, node.attributes(), node.content_id, reader.backing, stored)

    @contextmanager
    def _noticing_loss(self, stored: Stored | None) -> Iterator[None]:
        """A registry may say that it has a blob that it lost, in answer to an existence check, but not to a read."""
        try:
            yield
        except (Denied, Failed, Interrupted, Invalid, NotFound, Untrustworthy):
            if stored is not None:
                self._blobs.doubt(stored.descriptor.digest)
            raise

    def _handle_of(self, writing: Writing, *, writes: bool = False, closes_first: bool = False) -> Handle:
        read_into = partial(self._writings.read_into, writing)
        return Handle(read_into, writing=writing, writes=writes, closes_first=closes_first)

    def create(self, path: str, closes_first: bool = False) -> int:
        """Make an empty file, to be pushed when it is closed; returns a handle for writing.

        :param closes_first: as for :meth:`open`
        """
        parts = split(path)
        self._require_writable()
        if self._writings.at(parts) is not None or self._tree.resolve(parts) is not None:
            return self._open_for_writing(parts, True, closes_first)
        writing = self._writings.stage(parts, self._tree.target(parts), None)
        writing.file.touch()
        return self._open.add(self._handle_of(writing, writes=True, closes_first=closes_first))

    def _open_for_writing(self, parts: Path, truncate: bool, closes_first: bool) -> int:
        self._require_writable()
        writing = self._writings.hold(parts)
        if writing is None:
            node = self._resolve(parts)
            node.require_overwritable()
            writing = self._writings.stage(parts, self._tree.target(parts), node)
        if truncate:
            self._writings.truncate(writing, 0)
        return self._open.add(self._handle_of(writing, writes=True, closes_first=closes_first))

    def read_into(self, handle: int, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* with the bytes from *offset* on; returns how many, fewer only at the end."""
        opened = self._open.get(handle)
        with self._noticing_loss(opened.stored):
            return opened.read_into(buffer, offset)

    def write(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """Write bytes; returns how many."""
        return self._writings.write(self._open.written(handle), data, offset)

    def truncate(self, path: str, size: int, handle: int | None = None) -> None:
        """Cut or lengthen a file to *size* bytes. When nobody has it open for writing it is pushed at once."""
        if handle is not None:
            self._writings.truncate(self._open.written(handle), size)
            return
        written = self._writings.at(split(path)) is not None
        handle = self.open(path, os.O_WRONLY)
        try:
            self._writings.truncate(self._open.written(handle), size)
            if not written:
                self.flush(handle)
        finally:
            self.release(handle)

    def flush(self, handle: int) -> None:
        """Push what was written; returns when the registry has it under its name.

        The first close of a new file pushes nothing if its program closes a descriptor before it writes.

        :raises: whatever the push failed with; the bytes are in the journal then
        """
        opened = self._open.get(handle)
        writing = opened.writing
        if not opened.writes or writing is None or writing.gone or not writing.file.is_dirty:
            return
        closes_first, opened.closes_first = opened.closes_first, False
        if not (closes_first and writing.file.is_untouched):
            self._writings.push(writing)

    def release(self, handle: int) -> None:
        """Close a handle. Bytes that were not pushed stay in the journal."""
        opened = self._open.remove(handle)
        if opened.close is not None:
            opened.close()
        if opened.writing is not None and self._writings.let_go(opened.writing):
            self._writings.finish(opened.writing)

    @property
    def handles(self) -> int:
        """How many files are open."""
        return len(self._open)

    def shutdown(self) -> int:
        """Push what is still open and was not pushed; returns how many files stay behind in the journal."""
        return self._writings.shutdown()

    # Changing names

    def mkdir(self, path: str) -> None:
        """Make a directory, kept in the mount until a file lands in it.

        :raises OSError: EEXIST; EROFS in what is immutable; EINVAL for a name that a registry cannot have
        """
        parts = split(path)
        self._require_writable()
        if self._writings.at(parts) is not None or self._tree.resolve(parts) is not None:
            raise OSError(errno.EEXIST, "exists")
        self._tree.parent(parts).require_makeable(parts[-1])
        self._tree.made.add(parts)

    def unlink(self, path: str, trees: Sequence[Path] = ()) -> None:
        """Remove a file from its tag. Handles that have it open keep it.

        :param trees: the directories that its program removes with everything in them
        :raises OSError: ENOENT, EISDIR; EPERM when a tag is to go with it, and the registry is known to delete none
        """
        self._require_writable()
        self._moves.remove_file(split(path), trees)

    def rmdir(self, path: str, trees: Sequence[Path] = ()) -> None:
        """Remove an empty directory; of a tag without files, the tag, and no other of the same manifest.

        :param trees: the directories that its program removes with everything in them: also one that is a layer
        :raises OSError: ENOTEMPTY; EPERM for a repository, which no registry can remove
        """
        self._require_writable()
        self._moves.remove_directory(split(path), trees)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in its tag or in another one; no bytes move where the registry can mount.

        :raises OSError: EXDEV for what has to be copied instead
        """
        self._require_writable()
        source, goal = split(old), split(new)
        if source != goal:
            self._moves.rename(source, goal)

    def require_settable(self, path: str) -> None:
        """Make sure that nobody is stopped who sets a mode or an owner, which a registry does not keep.

        :raises OSError: EROFS for what lies in an archive, and has its own
        """
        parts = split(path)
        if self._writings.at(parts) is None:
            self._resolve(parts).require_settable()

    def utimens(self, path: str, mtime_ns: int) -> None:
        """Set a file's time of modification, to the second; that of a directory is left as it is."""
        parts = split(path)
        self._require_writable()
        writing = self._writings.at(parts)
        if writing is not None:
            writing.file.mtime_ns = mtime_ns
            if writing.file.is_dirty:
                return
        node = self._resolve(parts)
        node.require_settable()
        if not node.is_directory:
            node.refresh()
            self._set_created(self._resolve(parts), rfc3339(mtime_ns))

    def _set_created(self, node: Node, created: str) -> None:
        stored = node.stored
        if stored is None or stored.descriptor.annotations.get(CREATED) == created:
            return
        place = node.removable()
        annotations = {**stored.descriptor.annotations, CREATED: created}
        changed = replace(stored.descriptor, annotations=annotations)
        self._tags.edit(place.repository, place.alias or "", {place.title: changed})

    # What the verbs share

    def _resolve(self, parts: Path) -> Node:
        node = self._tree.resolve(parts)
        if node is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        return node

    def _require_writable(self) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, "the mount is read-only")
