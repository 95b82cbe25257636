"""The verbs of a filesystem, and the table of what is open. Raises OSError, knows no FUSE.

Paths are absolute strings. Errors of the layers below pass through; :mod:`regfs.fs.errnos` makes errnos of them.
A file being written is the same for all its handles, by whichever of its names, until the last of them is released.

``Filesystem._lock`` is innermost; nothing is called while it is held.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regfs.cache.fetcher import Fetcher, Reader
from regfs.exceptions import DXFDigestMismatchError
from regfs.metadata.catalog import Catalog
from regfs.oci.manifest import CREATED
from regfs.registry.http.pooled import UnexpectedAnswer
from regfs.registry.http.transport import HTTPError, TransferCut
from regfs.tree.attributes import Attributes, Describer, xattrs_of
from regfs.tree.tree import (
    MAX_NAME,
    Blob,
    Directory,
    Document,
    Entry,
    Folder,
    Hidden,
    Nascent,
    Path,
    Platforms,
    Tree,
)
from regfs.write.moves import Moves
from regfs.write.open_files import Writing, Writings
from regfs.write.publish import Publisher, rfc3339
from regfs.write.rules import Placement, not_permitted

_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class _Open:
    """One handle: on a blob being read, on a file being written, or on a document."""

    attributes: Attributes | None = None  # at the open; those of a file being written change
    reader: Reader | None = None
    digest: str | None = None  # of what the reader reads
    staged: Writing | None = None
    content: bytes = b""
    writes: bool = False
    closes_first: bool = False  # its program closes a descriptor, of which it has a duplicate, before it writes


class Filesystem:
    """A registry, as files.

    :param read_only: whether every change is refused
    """

    def __init__(
        self,
        tree: Tree,
        catalog: Catalog,
        fetcher: Fetcher,
        publisher: Publisher,
        describer: Describer,
        placement: Placement,
        moves: Moves,
        writings: Writings,
        read_only: bool = False,
    ) -> None:
        self._tree = tree
        self._catalog = catalog
        self._fetcher = fetcher
        self._publisher = publisher
        self._describer = describer
        self._placement = placement
        self._moves = moves
        self._writings = writings
        self._read_only = read_only
        self._lock = threading.Lock()  # of the two below
        self._open: dict[int, _Open] = {}
        self._next = 1

    # Looking

    def getattr(self, path: str) -> Attributes:
        """What stat says of *path*.

        :raises OSError: ENOENT when nothing is there
        """
        parts = _split(path)
        writing = self._writings.at(parts)
        return self._describer.attributes(self._resolve(parts)) if writing is None else self._now(writing)

    def getattr_open(self, handle: int) -> Attributes:
        """What fstat says of an open file: of the bytes that the handle has, whatever its name stands for now."""
        opened = self._handle(handle)
        if opened.attributes is not None:
            return opened.attributes
        if opened.staged is None:
            raise OSError(errno.EBADF, "not an open file")
        return self._now(opened.staged)

    def bytes_of(self, handle: int) -> object:
        """Something that is equal for two handles of one name only when they read the same bytes."""
        opened = self._handle(handle)
        return opened.staged or opened.digest or opened.content

    def _now(self, writing: Writing) -> Attributes:
        return Attributes(False, self._writings.size(writing), writing.file.mtime_ns, True)

    def opendir(self, path: str) -> None:
        """Make sure that there is something to list.

        :raises OSError: ENOENT for a directory that is only there because no catalog says that it is not
        """
        self._require_known(self._resolve(_split(path)))

    def _require_known(self, entry: Entry) -> None:
        if isinstance(entry, Directory) and not entry.certain:
            self._catalog.aliases(entry.name)  # tells whether it is denied, or not there
            raise OSError(errno.ENOENT, "the registry does not tell what is there; name a repository below it")

    def readdir(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """The names in a directory, with what stat says of each."""
        parts = _split(path)
        entry = self._resolve(parts)
        if isinstance(entry, Blob | Document):
            raise OSError(errno.ENOTDIR, "not a directory")
        self._require_known(entry)
        writing = self._writings.below(parts)
        for name, child in self._tree.children(entry, parts):
            if name not in writing:
                yield name, self._describer.attributes(child)
        for name, written in writing.items():
            yield name, self._now(written)

    def xattrs(self, path: str) -> Mapping[str, str]:
        """The extended attributes of a blob, or of an alias: digests, types, annotations."""
        parts = _split(path)
        writing = self._writings.at(parts)
        if writing is not None and (writing.file.is_dirty or self._tree.resolve(parts) is None):
            return {}
        return xattrs_of(self._tree.open_directory(self._resolve(parts)))

    def free_space(self) -> os.statvfs_result:
        """The room for files being written."""
        return os.statvfs(self._writings.directory)

    # Reading and writing

    def open(self, path: str, flags: int, closes_first: bool = False) -> int:
        """Open a file; returns a handle. For reading, it stays with the bytes of this moment.

        :param closes_first: whether its program closes a descriptor, of which it has a duplicate, before it writes
        :raises OSError: ENOENT, EISDIR; EROFS or EPERM when it cannot be written
        """
        parts = _split(path)
        if flags & _WRITING:
            return self._open_for_writing(parts, bool(flags & os.O_TRUNC), closes_first)
        writing = self._writings.hold(parts)
        if writing is not None:
            return self._opened(_Open(staged=writing))
        entry = self._resolve(parts)
        if isinstance(entry, Document):
            return self._opened(_Open(self._describer.attributes(entry), content=entry.content))
        if not isinstance(entry, Blob):
            raise OSError(errno.EISDIR, "is a directory")
        self._publisher.seen(entry.repository, [entry.descriptor])
        with self._noticing_loss(entry.descriptor.digest):
            reader = self._fetcher.open(entry.repository, self._describer.sized(entry))
        return self._opened(_Open(self._describer.attributes(entry), reader, entry.descriptor.digest))

    @contextmanager
    def _noticing_loss(self, digest: str) -> Iterator[None]:
        """A registry may say that it has a blob that it lost, in answer to an existence check, but not to a read."""
        try:
            yield
        except (UnexpectedAnswer, DXFDigestMismatchError, HTTPError, TransferCut):
            self._publisher.doubt(digest)
            raise

    def create(self, path: str, closes_first: bool = False) -> int:
        """Make an empty file, to be pushed when it is closed; returns a handle for writing.

        :param closes_first: as for :meth:`open`
        """
        parts = _split(path)
        self._require_writable()
        if self._writings.at(parts) is not None or self._tree.resolve(parts) is not None:
            return self._open_for_writing(parts, True, closes_first)
        writing = self._writings.stage(parts, self._placement.target(parts), None)
        writing.file.touch()
        return self._opened(_Open(staged=writing, writes=True, closes_first=closes_first))

    def read_into(self, handle: int, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* with the bytes from *offset* on; returns how many, fewer only at the end."""
        opened = self._handle(handle)
        if opened.reader is not None and opened.digest is not None:
            with self._noticing_loss(opened.digest):
                return opened.reader.read_into(buffer, offset)
        if opened.staged is not None:
            self._writings.copy_up(opened.staged)
            return opened.staged.file.read_into(buffer, offset)
        piece = opened.content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write bytes; returns how many."""
        writing = self._written(handle)
        self._writings.copy_up(writing)
        count = writing.file.write(data, offset)
        self._publisher.written(writing.file)
        return count

    def truncate(self, path: str, size: int, handle: int | None = None) -> None:
        """Cut or lengthen a file to *size* bytes. When nobody has it open for writing it is pushed at once."""
        if handle is not None:
            self._writings.truncate(self._written(handle), size)
            return
        written = self._writings.at(_split(path)) is not None
        handle = self.open(path, os.O_WRONLY)
        try:
            self._writings.truncate(self._written(handle), size)
            if not written:
                self.flush(handle)
        finally:
            self.release(handle)

    def flush(self, handle: int) -> None:
        """Push what was written; returns when the registry has it under its name.

        The first close of a new file pushes nothing if its program closes a descriptor before it writes.

        :raises: whatever the push failed with; the bytes are in the journal then
        """
        opened = self._handle(handle)
        writing = opened.staged
        if not opened.writes or writing is None or writing.gone or not writing.file.is_dirty:
            return
        closes_first, opened.closes_first = opened.closes_first, False
        if not (closes_first and writing.file.is_untouched):
            self._writings.push(writing)

    def release(self, handle: int) -> None:
        """Close a handle. Bytes that were not pushed stay in the journal."""
        with self._lock:
            opened = self._open.pop(handle)
        if opened.reader is not None:
            opened.reader.close()
        if opened.staged is not None and self._writings.let_go(opened.staged):
            self._writings.finish(opened.staged)

    @property
    def handles(self) -> int:
        """How many files are open."""
        return len(self._open)

    def shutdown(self) -> int:
        """Push what is still open and was not pushed; returns how many files stay behind in the journal."""
        return self._writings.shutdown()

    def _open_for_writing(self, parts: Path, truncate: bool, closes_first: bool) -> int:
        self._require_writable()
        writing = self._writings.hold(parts)
        if writing is None:
            entry = self._resolve(parts)
            if isinstance(entry, Document):
                raise OSError(errno.EPERM, "what the registry says cannot be written over")
            if not isinstance(entry, Blob):
                raise OSError(errno.EISDIR, "is a directory")
            self._placement.removable(entry)
            if entry.path == (entry.descriptor.digest,):
                raise not_permitted("has no name to be published by; copy it under a name instead")
            writing = self._writings.stage(parts, self._placement.target(parts), entry)
        if truncate:
            self._writings.truncate(writing, 0)
        return self._opened(_Open(staged=writing, writes=True, closes_first=closes_first))

    # Changing names

    def mkdir(self, path: str) -> None:
        """Make a directory, kept in the mount until a file lands in it.

        :raises OSError: EEXIST; EROFS in what is immutable; EINVAL for a name that a registry cannot have
        """
        parts = _split(path)
        self._require_writable()
        if self._writings.at(parts) is not None or self._tree.resolve(parts) is not None:
            raise OSError(errno.EEXIST, "exists")
        self._placement.require_makeable(parts)
        self._tree.make(parts)

    def unlink(self, path: str) -> None:
        """Remove a file from its alias. Handles that have it open keep it."""
        parts = _split(path)
        self._require_writable()
        with self._writings.still(parts):
            self._unlink(parts)

    def _unlink(self, parts: Path) -> None:
        writing = self._writings.at(parts)
        entry = self._tree.resolve(parts)
        if entry is None and writing is None:
            raise OSError(errno.ENOENT, "no such file")
        if isinstance(entry, Blob):
            alias, title = self._placement.removable(entry)
            self._moves.keep_directories(parts)
            self._publisher.edit(alias.repository, alias.name, {title: None})
        elif entry is not None and not isinstance(entry, Document):
            raise OSError(errno.EISDIR, "is a directory")
        elif entry is not None:
            raise OSError(errno.EROFS, "what the registry says is read-only")
        if writing is not None:
            self._writings.abandon(writing)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; of an alias without files, the alias, and no other of the same manifest.

        :raises OSError: ENOTEMPTY; EPERM for a repository, which no registry can remove
        """
        parts = _split(path)
        self._require_writable()
        self._ask_again(self._tree.open_directory(self._resolve(parts)))
        entry = self._tree.open_directory(self._resolve(parts))
        if isinstance(entry, Blob | Document):
            raise OSError(errno.ENOTDIR, "not a directory")
        if next(self.readdir(path), None) is not None:
            raise OSError(errno.ENOTEMPTY, "directory not empty")
        if isinstance(entry, Directory):
            raise not_permitted("is a repository, which a registry's protocol cannot remove")
        if isinstance(entry, Platforms | Hidden) or (isinstance(entry, Folder) and entry.alias.pinned):
            raise OSError(errno.EROFS, "read-only")
        if isinstance(entry, Folder) and not entry.prefix and entry.manifest is not None:
            self._publisher.delete(entry.alias.repository, entry.alias.name)
        self._tree.unmake(parts)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in its alias or in another one; no bytes move where the registry can mount.

        :raises OSError: EXDEV for what has to be copied instead
        """
        self._require_writable()
        source, goal = _split(old), _split(new)
        if source != goal:
            with self._writings.still(source, goal):
                self._rename(source, goal)

    def _rename(self, source: Path, goal: Path) -> None:
        writing = self._writings.at(source)
        self._ask_again(self._tree.resolve(source))
        entry = self._tree.resolve(source)
        if entry is None and writing is None:
            raise OSError(errno.ENOENT, "no such file")
        if entry is not None and not isinstance(entry, Blob):
            if self._tree.resolve(goal) is not None and next(self.readdir("/".join(goal)), None) is not None:
                raise OSError(errno.ENOTEMPTY, "directory not empty")
            self._rename_directory(entry, source, goal)
            return
        target = self._placement.target(goal)
        if not isinstance(self._tree.resolve(goal), Blob | None):
            raise OSError(errno.EISDIR, "is a directory")
        if isinstance(entry, Blob):
            self._moves.blob(entry, source, target)
            self._tree.landed(goal)
        replaced = self._writings.at(goal)
        if replaced is not None:
            self._writings.abandon(replaced)
        if writing is not None:
            self._writings.rename(writing, goal, target)

    def _rename_directory(self, entry: Entry, source: Path, goal: Path) -> None:
        """Give a directory another name, and the files that are being written in it."""
        within = self._writings.within(source)
        if within and isinstance(entry, Nascent) and source[:-1] != goal[:-1]:
            raise OSError(errno.EBUSY, "a file in it is being written; whose it is was decided when it was made")
        self._moves.directory(entry, source, goal)
        for path, writing in within:
            self._writings.rename(writing, goal + path, self._placement.target(goal + path))

    def utimens(self, path: str, mtime_ns: int) -> None:
        """Set a file's time of modification, to the second; that of a directory is left as it is."""
        parts = _split(path)
        self._require_writable()
        writing = self._writings.at(parts)
        if writing is not None:
            writing.file.mtime_ns = mtime_ns
            if writing.file.is_dirty:
                return
        self._ask_again(self._tree.resolve(parts))
        entry = self._resolve(parts)
        if not isinstance(entry, Blob):
            return
        created = rfc3339(mtime_ns)
        if entry.descriptor.annotations.get(CREATED) != created:
            alias, title = self._placement.removable(entry)
            annotations = {**entry.descriptor.annotations, CREATED: created}
            self._publisher.edit(
                alias.repository, alias.name, {title: replace(entry.descriptor, annotations=annotations)}
            )

    # What the verbs share

    def _ask_again(self, entry: Entry | None) -> None:
        """Ask what the alias of an entry stands for now: what is made of it goes by that, not by what is remembered."""
        if isinstance(entry, Blob | Folder) and entry.manifest is not None:
            alias = entry.alias
            if alias is not None and not alias.pinned:
                self._catalog.current(alias.repository, alias.name)

    def _resolve(self, parts: Path) -> Entry:
        entry = self._tree.resolve(parts)
        if entry is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        return entry

    def _require_writable(self) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, "the mount is read-only")

    def _opened(self, opened: _Open) -> int:
        with self._lock:
            handle, self._next = self._next, self._next + 1
            self._open[handle] = opened
            return handle

    def _handle(self, handle: int) -> _Open:
        with self._lock:
            opened = self._open.get(handle)
        if opened is None:
            raise OSError(errno.EBADF, "not an open handle")
        return opened

    def _written(self, handle: int) -> Writing:
        opened = self._handle(handle)
        if not opened.writes or opened.staged is None:
            raise OSError(errno.EBADF, "not open for writing")
        return opened.staged


def _split(path: str) -> Path:
    parts = tuple(part for part in path.split("/") if part)
    if parts and len(parts[-1].encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise OSError(errno.ENAMETOOLONG, f"a name has {MAX_NAME} bytes at most")
    return parts
