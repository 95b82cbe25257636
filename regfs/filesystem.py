"""The verbs of a filesystem, and the table of what is open. Raises OSError, knows no FUSE.

Paths are absolute strings. Errors of the layers below pass through; :mod:`regfs.errnos` makes errnos of them.
A file being written is the same for all its handles, by its path, until the last of them is released.

Lock order: ``Filesystem._lock`` is innermost; nothing is called while it is held.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from regfs.cache import BlobCache
from regfs.catalog import Catalog
from regfs.fetch import Fetcher, Reader
from regfs.publish import Publisher, rfc3339
from regfs.registry.exceptions import DXFDigestMismatchError
from regfs.registry.manifest import CREATED, Descriptor, Index, Manifest
from regfs.registry.reference import is_alias, is_component, is_digest, is_repository, split_name
from regfs.registry.remote import UnexpectedAnswer
from regfs.registry.transport import HTTPError, TransferCut
from regfs.singleflight import SingleFlight
from regfs.staging import Journal, Staged, Target
from regfs.tree import (
    MAX_NAME,
    Alias,
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
    title_path,
)

log = logging.getLogger(__name__)

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-]\d\d:\d\d))")
_WRITING = os.O_WRONLY | os.O_RDWR
_XATTR = "user.regfs."


@dataclass(frozen=True)
class Attributes:
    """What stat says.

    :param size: bytes
    :param mtime_ns: nanoseconds since the epoch
    """

    is_directory: bool
    size: int
    mtime_ns: int
    writable: bool


@dataclass
class _Open:
    """One handle: on a blob being read, on a file being written, or on a document."""

    path: Path
    attributes: Attributes | None = None  # of a file being written: as it is now
    reader: Reader | None = None
    digest: str | None = None  # of what the reader reads
    staged: _Writing | None = None
    content: bytes = b""
    writes: bool = False


@dataclass(eq=False)
class _Writing:
    """A file being written and how many handles have it open."""

    file: Staged
    base: Blob | None = None  # a blob whose bytes are to be copied up before they are needed
    handles: int = 0
    gone: bool = False  # unlinked, or replaced, while open
    tried: int = -1  # the version that the last push was of


class Filesystem:
    """A registry, as files.

    :param read_only: whether every change is refused
    """

    def __init__(
        self,
        tree: Tree,
        catalog: Catalog,
        cache: BlobCache,
        fetcher: Fetcher,
        publisher: Publisher,
        journal: Journal,
        read_only: bool = False,
    ) -> None:
        self._tree = tree
        self._catalog = catalog
        self._cache = cache
        self._fetcher = fetcher
        self._publisher = publisher
        self._journal = journal
        self._read_only = read_only
        self._started_ns = time.time_ns() // 10**9 * 10**9
        self._lock = threading.Lock()  # of the four below
        self._open: dict[int, _Open] = {}
        self._next = 1
        self._writing: dict[Path, _Writing] = {}
        self._left: set[Target] = set()  # files whose push failed
        self._copies: SingleFlight[int, None] = SingleFlight()

    # Looking

    def getattr(self, path: str) -> Attributes:
        """What stat says of *path*.

        :raises OSError: ENOENT when nothing is there
        """
        parts = _split(path)
        writing = self._being_written(parts)
        return self._attributes(self._resolve(parts)) if writing is None else self._now(writing)

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

    def _now(self, writing: _Writing) -> Attributes:
        return Attributes(False, self._size(writing), writing.file.mtime_ns, True)

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
        with self._lock:
            writing = {p[-1]: w for p, w in self._writing.items() if p[:-1] == parts and not w.gone}
        for name, child in self._tree.children(entry, parts):
            if name not in writing:
                yield name, self._attributes(child)
        for name, written in writing.items():
            yield name, self._now(written)

    def xattrs(self, path: str) -> Mapping[str, str]:
        """The extended attributes of a blob, or of an alias: digests, types, annotations."""
        parts = _split(path)
        writing = self._being_written(parts)
        if writing is not None and (writing.file.is_dirty or self._tree.resolve(parts) is None):
            return {}
        entry = self._resolve(parts)
        if isinstance(entry, Blob):
            blob = entry.descriptor
            return {
                f"{_XATTR}digest": blob.digest,
                f"{_XATTR}media_type": blob.media_type,
                **_annotations(blob.annotations),
            }
        entry = self._tree.open_directory(entry)
        if isinstance(entry, Platforms):
            return _alias_xattrs(entry.index)
        if isinstance(entry, Folder) and entry.manifest is not None and not entry.prefix:
            return _alias_xattrs(entry.manifest)
        return {}

    def free_space(self) -> os.statvfs_result:
        """The room for files being written."""
        return os.statvfs(self._journal.directory)

    # Reading and writing

    def open(self, path: str, flags: int) -> int:
        """Open a file; returns a handle. For reading, it stays with the bytes of this moment.

        :raises OSError: ENOENT, EISDIR; EROFS or EPERM when it cannot be written
        """
        parts = _split(path)
        if flags & _WRITING:
            return self._open_for_writing(parts, bool(flags & os.O_TRUNC))
        writing = self._hold(parts)
        if writing is not None:
            return self._opened(_Open(parts, staged=writing))
        entry = self._resolve(parts)
        if isinstance(entry, Document):
            return self._opened(_Open(parts, self._attributes(entry), content=entry.content))
        if not isinstance(entry, Blob):
            raise OSError(errno.EISDIR, "is a directory")
        self._publisher.seen(entry.repository, [entry.descriptor])
        with self._noticing_loss(entry.descriptor.digest):
            reader = self._fetcher.open(entry.repository, self._sized(entry))
        return self._opened(_Open(parts, self._attributes(entry), reader, entry.descriptor.digest))

    @contextmanager
    def _noticing_loss(self, digest: str) -> Iterator[None]:
        """A registry may say that it has a blob that it lost, in answer to an existence check, but not to a read."""
        try:
            yield
        except (UnexpectedAnswer, DXFDigestMismatchError, HTTPError, TransferCut):
            self._publisher.doubt(digest)
            raise

    def create(self, path: str) -> int:
        """Make an empty file, to be pushed when it is closed; returns a handle for writing."""
        parts = _split(path)
        self._require_writable()
        if self._being_written(parts) is not None or self._tree.resolve(parts) is not None:
            return self._open_for_writing(parts, truncate=True)
        writing = self._stage(parts, None)
        writing.file.touch()
        return self._opened(_Open(parts, staged=writing, writes=True))

    def read_into(self, handle: int, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* with the bytes from *offset* on; returns how many, fewer only at the end."""
        opened = self._handle(handle)
        if opened.reader is not None and opened.digest is not None:
            with self._noticing_loss(opened.digest):
                return opened.reader.read_into(buffer, offset)
        if opened.staged is not None:
            self._copy_up(opened.staged)
            return opened.staged.file.read_into(buffer, offset)
        piece = opened.content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write bytes; returns how many."""
        writing = self._written(handle)
        self._copy_up(writing)
        count = writing.file.write(data, offset)
        self._publisher.written(writing.file)
        return count

    def truncate(self, path: str, size: int, handle: int | None = None) -> None:
        """Cut or lengthen a file to *size* bytes. When nobody has it open for writing it is pushed at once."""
        if handle is not None:
            self._truncate(self._written(handle), size)
            return
        written = self._being_written(_split(path)) is not None
        handle = self.open(path, os.O_WRONLY)
        try:
            self._truncate(self._written(handle), size)
            if not written:
                self.flush(handle)
        finally:
            self.release(handle)

    def flush(self, handle: int, open_elsewhere: Callable[[], bool] = lambda: False) -> None:
        """Push what was written; returns when the registry has it under its name.

        A new file that nothing was written to yet is not pushed when its program closes one of several descriptors of
        it: shells and dd do that before they write, and close another one, to be told the truth, when they have.

        :param open_elsewhere: whether the program that closes has the file open by another descriptor
        :raises: whatever the push failed with; the bytes are in the journal then
        """
        opened = self._handle(handle)
        writing = opened.staged
        if not opened.writes or writing is None or writing.gone or not writing.file.is_dirty:
            return
        if writing.file.is_untouched and open_elsewhere():
            return
        self._push(writing, opened.path)

    def _push(self, writing: _Writing, path: Path) -> None:
        self._copy_up(writing)
        writing.tried = writing.file.version
        self._publisher.publish(writing.file)
        self._tree.landed(path)
        with self._lock:
            superseded = writing.file.target in self._left
            self._left.discard(writing.file.target)
        if superseded:
            self._journal.superseded(writing.file.target)

    def release(self, handle: int) -> None:
        """Close a handle. Bytes that were not pushed stay in the journal."""
        with self._lock:
            opened = self._open.pop(handle)
            writing = opened.staged
            last = False
            if writing is not None:
                writing.handles -= 1
                last = writing.handles == 0
        if opened.reader is not None:
            opened.reader.close()
        if last and writing is not None:
            self._finish(writing, opened.path)

    def _finish(self, writing: _Writing, path: Path) -> None:
        """Let go of a file that nobody has open any more."""
        if writing.gone:
            writing.file.discard()
        elif writing.file.is_dirty and writing.file.version != writing.tried:
            self._push_late(writing, path)
        with self._lock:
            if writing.handles:
                return  # opened again in the meantime
            if self._writing.get(path) is writing:
                del self._writing[path]
            if writing.file.is_dirty:
                self._left.add(writing.file.target)
        if writing.file.is_dirty:
            log.error("%s was not pushed; its bytes are kept, see: regfs pending", writing.file.target)
        writing.file.close(self._cache.adopt)

    def _push_late(self, writing: _Writing, path: Path) -> None:
        """Push what was written after the last close, as through a memory map. Nobody can be told when that fails."""
        try:
            self._push(writing, path)
        except Exception as error:  # noqa: BLE001 - the bytes are in the journal, which says so
            log.error("%s: %s", writing.file.target, error)  # noqa: TRY400 - one line for a person

    def shutdown(self) -> int:
        """Push what is still open and was not pushed; returns how many files stay behind in the journal."""
        with self._lock:
            writings = list(self._writing.items())
        for path, writing in writings:
            writing.handles, writing.tried = 0, -1
            self._finish(writing, path)
        return len(self._left)

    def _open_for_writing(self, parts: Path, truncate: bool) -> int:
        self._require_writable()
        writing = self._hold(parts)
        if writing is None:
            entry = self._resolve(parts)
            if isinstance(entry, Document):
                raise OSError(errno.EPERM, "what the registry says cannot be written over")
            if not isinstance(entry, Blob):
                raise OSError(errno.EISDIR, "is a directory")
            self._removable(parts, entry)
            if entry.path == (entry.descriptor.digest,):
                raise _not_permitted("has no name to be published by; copy it under a name instead")
            writing = self._stage(parts, entry)
        if truncate:
            self._truncate(writing, 0)
        return self._opened(_Open(parts, staged=writing, writes=True))

    def _truncate(self, writing: _Writing, size: int) -> None:
        if size == 0:
            writing.base = None
        self._copy_up(writing)
        writing.file.truncate(size)

    def _copy_up(self, writing: _Writing) -> None:
        """Take over the bytes of the blob that a file is written over, when they are first needed."""
        if writing.base is not None:
            self._copies.do(id(writing), lambda: self._copied_up(writing))

    def _copied_up(self, writing: _Writing) -> None:
        if writing.base is None:
            return
        reader = self._fetcher.open(writing.base.repository, self._sized(writing.base))
        try:
            writing.file.fill(reader.read_into)
        finally:
            reader.close()
        writing.base = None

    def _size(self, writing: _Writing) -> int:
        return writing.file.size if writing.base is None else self._sized(writing.base).size

    def _stage(self, parts: Path, base: Blob | None) -> _Writing:
        writing = _Writing(self._journal.stage(self._target(parts)), base, handles=1)
        with self._lock:
            other = self._writing.get(parts)
            if other is None or other.gone:
                self._writing[parts] = writing
                return writing
            other.handles += 1
        writing.file.discard()
        writing.file.close()
        return other

    def _target(self, parts: Path) -> Target:
        """What a file at *parts* is meant to be.

        :raises OSError: EROFS in what is immutable, EPERM where a file has no alias, EINVAL for a name that is none
        """
        parent, name = self._parent(parts), parts[-1]
        if isinstance(parent, Platforms):
            raise OSError(errno.EROFS, "a multi-platform alias is read-only")
        if isinstance(parent, Folder):
            return self._target_in(parent, name)
        if isinstance(parent, Nascent):
            *above, alias = parent.path
            if not is_repository("/".join(above)) or not is_alias(alias):
                raise _not_permitted("is in no repository's alias; make one: mkdir REPOSITORY:ALIAS")
            return Target("/".join(above), alias, (_title(name)))
        if isinstance(parent, Hidden) and parent.blobs and parent.alias is None:
            return Target(parent.repository, None, (name,))
        if isinstance(parent, Hidden):
            raise OSError(errno.EROFS, "what the registry says is read-only")
        raise _not_permitted("belongs to no alias; make one and copy it there: mkdir ALIAS")

    def _target_in(self, folder: Folder, name: str) -> Target:
        alias = folder.alias
        if alias.pinned or (folder.manifest is not None and not folder.manifest.writable):
            raise OSError(errno.EROFS, f"{alias.repository}:{alias.name} is read-only")
        path = (*folder.prefix, name)
        if path != (name,) or not is_digest(name):
            path = (*folder.prefix, *_title(name))
        return Target(alias.repository, alias.name, path)

    # Changing names

    def mkdir(self, path: str) -> None:
        """Make a directory, kept in the mount until a file lands in it.

        :raises OSError: EEXIST; EROFS in what is immutable; EINVAL for a name that a registry cannot have
        """
        parts = _split(path)
        self._require_writable()
        if self._being_written(parts) is not None or self._tree.resolve(parts) is not None:
            raise OSError(errno.EEXIST, "exists")
        self._require_makeable(parts)
        self._tree.make(parts)

    def _require_makeable(self, parts: Path) -> None:
        parent, name = self._parent(parts), parts[-1]
        if isinstance(parent, Folder):
            self._target_in(parent, name)
            _title(name)
        elif isinstance(parent, Directory | Nascent):
            self._require_name(parent, name)
        else:
            raise OSError(errno.EROFS, "read-only")

    def _parent(self, parts: Path) -> Entry:
        """The directory that *parts* is, or would be, in.

        :raises OSError: ENOENT when there is none, ENOTDIR when it is a file
        """
        parent = self._tree.open_directory(self._resolve(parts[:-1]))
        if isinstance(parent, Blob | Document):
            raise OSError(errno.ENOTDIR, "not a directory")
        return parent

    def _require_name(self, parent: Directory | Nascent, name: str) -> None:
        if (named := split_name(name)) is not None:
            valid = is_alias(named[1]) and not self._tree.is_one_repository
        elif isinstance(parent, Directory) and parent.is_repository:
            valid = is_alias(name)
        elif isinstance(parent, Directory) and not parent.name:
            valid = is_component(name)
        else:
            valid = is_component(name) or is_alias(name)
        if not valid or len(name) > MAX_NAME:
            raise OSError(errno.EINVAL, "a registry cannot have that name")

    def unlink(self, path: str) -> None:
        """Remove a file from its alias. Handles that have it open keep it."""
        parts = _split(path)
        self._require_writable()
        writing = self._being_written(parts)
        entry = self._tree.resolve(parts)
        if entry is None and writing is None:
            raise OSError(errno.ENOENT, "no such file")
        if isinstance(entry, Blob):
            alias, title = self._removable(parts, entry)
            self._keep_directories(parts)
            self._publisher.edit(alias.repository, alias.name, {title: None})
        elif entry is not None and not isinstance(entry, Document):
            raise OSError(errno.EISDIR, "is a directory")
        elif entry is not None:
            raise OSError(errno.EROFS, "what the registry says is read-only")
        if writing is not None:
            self._abandon(parts, writing)

    def _removable(self, parts: Path, blob: Blob) -> tuple[Alias, Path]:
        if blob.alias is None:
            raise _not_permitted("is named by no alias; copy it to one to change it")
        if not _is_changeable(blob):
            raise OSError(errno.EROFS, f"{blob.alias.repository}:{blob.alias.name} is read-only")
        return blob.alias, blob.path

    def _keep_directories(self, parts: Path) -> None:
        """Directories inside an alias are titles' starts; the last file's leaving must not take them along."""
        for length in range(1, len(parts)):
            entry = self._tree.resolve(parts[:length])
            if isinstance(entry, Folder) and entry.prefix:
                self._tree.make(parts[:length])

    def _abandon(self, parts: Path, writing: _Writing) -> None:
        with self._lock:
            writing.gone = True
            if self._writing.get(parts) is writing:
                del self._writing[parts]

    def rmdir(self, path: str) -> None:
        """Remove an empty directory; of an alias without files, the alias, and no other of the same manifest.

        :raises OSError: ENOTEMPTY; EPERM for a repository, which no registry can remove
        """
        parts = _split(path)
        self._require_writable()
        named = self._resolve(parts)
        entry = self._tree.open_directory(named)
        if isinstance(entry, Blob | Document):
            raise OSError(errno.ENOTDIR, "not a directory")
        if next(self.readdir(path), None) is not None:
            raise OSError(errno.ENOTEMPTY, "directory not empty")
        if isinstance(entry, Directory):
            raise _not_permitted("is a repository, which a registry's protocol cannot remove")
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
        if source == goal:
            return
        writing = self._being_written(source)
        entry = self._tree.resolve(source)
        if entry is None and writing is None:
            raise OSError(errno.ENOENT, "no such file")
        if entry is not None and not isinstance(entry, Blob):
            self._rename_directory(entry, source, goal)
            return
        target = self._target(goal)
        if not isinstance(self._tree.resolve(goal), Blob | None):
            raise OSError(errno.EISDIR, "is a directory")
        if isinstance(entry, Blob):
            self._rename_blob(entry, source, target)
        replaced = self._being_written(goal)
        if replaced is not None:
            self._abandon(goal, replaced)
        if writing is not None:
            self._retarget(writing, source, goal, target)
        self._tree.landed(goal)

    def _rename_blob(self, blob: Blob, source: Path, target: Target) -> None:
        alias, title = self._removable(source, blob)
        if target.alias is None:
            raise OSError(errno.EXDEV, "a blob cannot be moved out of its alias")
        self._keep_directories(source)
        if (alias.repository, alias.name) == (target.repository, target.alias):
            self._publisher.edit(alias.repository, alias.name, {target.title: blob.descriptor, title: None})
            return
        self._publisher.seen(alias.repository, [blob.descriptor])
        if not self._publisher.bring(target.repository, blob.descriptor.digest):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")
        self._publisher.edit(target.repository, target.alias, {target.title: blob.descriptor})
        self._publisher.edit(alias.repository, alias.name, {title: None})

    def _retarget(self, writing: _Writing, source: Path, goal: Path, target: Target) -> None:
        writing.file.aim(target)
        with self._lock:
            if self._writing.get(source) is writing:
                del self._writing[source]
            self._writing[goal] = writing
            for opened in self._open.values():
                if opened.staged is writing:
                    opened.path = goal

    def _rename_directory(self, entry: Entry, source: Path, goal: Path) -> None:
        if self._tree.resolve(goal) is not None and next(self.readdir("/" + "/".join(goal)), None) is not None:
            raise OSError(errno.ENOTEMPTY, "directory not empty")
        opened = self._tree.open_directory(entry)
        if isinstance(opened, Nascent) or (isinstance(opened, Folder) and opened.manifest is None):
            self._require_makeable(goal)
            self._tree.make(goal)
        elif isinstance(opened, Folder) and opened.prefix:
            self._rename_folder(opened, goal)
        elif isinstance(entry, Alias) and not entry.pinned:
            self._retag(entry, goal)
        else:
            raise OSError(errno.EXDEV, "moved file by file")
        self._tree.remake(source, goal)

    def _rename_folder(self, folder: Folder, goal: Path) -> None:
        """Give every title below *folder* another start, in one manifest."""
        target = self._target(goal)
        alias = folder.alias
        if (alias.repository, alias.name) != (target.repository, target.alias) or folder.manifest is None:
            raise OSError(errno.EXDEV, "moved file by file")
        self._target_in(folder, "x")
        edits: dict[Path, Descriptor | None] = {}
        for path, blob in self._tree.files(folder.manifest).blobs.items():
            if path[: len(folder.prefix)] == folder.prefix:
                edits[path] = None
                edits[target.title + path[len(folder.prefix) :]] = blob
        if edits:
            self._publisher.edit(alias.repository, alias.name, edits)
        else:
            self._tree.make(goal)

    def _retag(self, alias: Alias, goal: Path) -> None:
        """Give an alias another name, in its repository or in another one."""
        parent, name = self._tree.open_directory(self._resolve(goal[:-1])), goal[-1]
        named = split_name(name)
        if isinstance(parent, Directory) and named is not None and is_alias(named[1]):
            repository, tag = "/".join(filter(None, (parent.name, named[0]))), named[1]
        elif isinstance(parent, Directory) and parent.is_repository and is_alias(name):
            repository, tag = parent.name, name
        else:
            raise OSError(errno.EXDEV, "moved file by file")
        if not self._publisher.retag((alias.repository, alias.name), (repository, tag)):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")

    def utimens(self, path: str, mtime_ns: int) -> None:
        """Set a file's time of modification, to the second; that of a directory is left as it is."""
        parts = _split(path)
        self._require_writable()
        writing = self._being_written(parts)
        if writing is not None:
            writing.file.mtime_ns = mtime_ns
            if writing.file.is_dirty:
                return
        entry = self._resolve(parts)
        if not isinstance(entry, Blob):
            return
        created = rfc3339(mtime_ns)
        if entry.descriptor.annotations.get(CREATED) != created:
            alias, title = self._removable(parts, entry)
            annotations = {**entry.descriptor.annotations, CREATED: created}
            self._publisher.edit(
                alias.repository, alias.name, {title: replace(entry.descriptor, annotations=annotations)}
            )

    # What the verbs share

    def _resolve(self, parts: Path) -> Entry:
        entry = self._tree.resolve(parts)
        if entry is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        return entry

    def _require_writable(self) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, "the mount is read-only")

    def _sized(self, blob: Blob) -> Descriptor:
        """The blob's descriptor with its size, which a schema 1 manifest does not give."""
        if blob.descriptor.size >= 0:
            return blob.descriptor
        size = self._catalog.blob_size(blob.repository, blob.descriptor.digest)
        if size is None:
            raise OSError(errno.EIO, f"{blob.descriptor.digest} is not in {blob.repository}")
        return replace(blob.descriptor, size=size)

    def _attributes(self, entry: Entry) -> Attributes:
        if isinstance(entry, Blob):
            blob = self._sized(entry)
            writable = _is_changeable(entry)
            return Attributes(False, blob.size, self._mtime(blob, entry.manifest), writable)
        if isinstance(entry, Document):
            return Attributes(False, len(entry.content), self._started_ns, False)
        return Attributes(True, 0, self._directory_mtime(entry), not (isinstance(entry, Alias) and entry.pinned))

    def _directory_mtime(self, entry: Entry) -> int:
        manifest: Manifest | Index | None = None
        if isinstance(entry, Alias):
            manifest = self._catalog.known(entry.repository, entry.name)
        elif isinstance(entry, Folder):
            manifest = entry.manifest
        if manifest is None:
            return self._started_ns
        return self._stamped(manifest.annotations.get(CREATED), manifest.digest)

    def _mtime(self, blob: Descriptor, manifest: Manifest | None) -> int:
        created = blob.annotations.get(CREATED)
        if created is None and manifest is not None:
            created = manifest.annotations.get(CREATED)
        return self._stamped(created, blob.digest) + self._fetcher.generation(blob.digest)

    def _stamped(self, created: str | None, digest: str) -> int:
        """The time of *created*, else the mount's start, with nanoseconds from the digest: other bytes, other time."""
        seconds = _seconds(created)
        start = self._started_ns if seconds is None else seconds * 10**9
        return start + int(digest.partition(":")[2][:8], 16) % 10**9

    def _being_written(self, parts: Path) -> _Writing | None:
        with self._lock:
            writing = self._writing.get(parts)
            return None if writing is None or writing.gone else writing

    def _hold(self, parts: Path) -> _Writing | None:
        with self._lock:
            writing = self._writing.get(parts)
            if writing is None or writing.gone:
                return None
            writing.handles += 1
            return writing

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

    def _written(self, handle: int) -> _Writing:
        opened = self._handle(handle)
        if not opened.writes or opened.staged is None:
            raise OSError(errno.EBADF, "not open for writing")
        return opened.staged


def _split(path: str) -> Path:
    return tuple(part for part in path.split("/") if part)


def _title(name: str) -> Path:
    path = title_path(name)
    if path is None:
        raise OSError(errno.EINVAL, "a file in a registry cannot have that name")
    return path


def _not_permitted(what: str) -> OSError:
    return OSError(errno.EPERM, f"it {what}")


def _is_changeable(blob: Blob) -> bool:
    """Whether there is an alias in which the blob could be another one, or none."""
    return blob.alias is not None and not blob.alias.pinned and (blob.manifest is None or blob.manifest.writable)


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {f"{_XATTR}annotation.{key}": value for key, value in annotations.items()}


def _alias_xattrs(manifest: Manifest | Index) -> dict[str, str]:
    found = {
        f"{_XATTR}digest": manifest.digest,
        f"{_XATTR}manifest_digest": manifest.digest,
        f"{_XATTR}media_type": manifest.media_type,
        **_annotations(manifest.annotations),
    }
    if manifest.artifact_type:
        found[f"{_XATTR}artifact_type"] = manifest.artifact_type
    return found


def _seconds(created: str | None) -> int | None:
    """An RFC 3339 time as seconds since the epoch; None for what is not one, or is before it."""
    match = _RFC3339.fullmatch(created or "")
    if match is None:
        return None
    date, clock, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{offset or '+00:00'}")
    except ValueError:
        return None
    seconds = int(moment.astimezone(timezone.utc).timestamp())
    return seconds if seconds >= 0 else None
