"""Giving what is in the registry another name, moving no bytes where the registry can mount them."""

from __future__ import annotations

import errno

from regfs.oci.manifest import Descriptor
from regfs.oci.reference import is_alias, split_name
from regfs.tree.tree import Alias, Blob, Directory, Entry, Folder, Nascent, Path, Tree
from regfs.write.publish import Publisher
from regfs.write.rules import Placement
from regfs.write.staging import Target


class Moves:
    """Renames blobs, directories inside aliases, and aliases."""

    def __init__(self, tree: Tree, placement: Placement, publisher: Publisher) -> None:
        self._tree = tree
        self._placement = placement
        self._publisher = publisher

    def blob(self, blob: Blob, source: Path, target: Target) -> None:
        """Give a blob another name, in its alias or in another one.

        :raises OSError: EXDEV when its bytes would have to move
        """
        alias, title = self._placement.removable(blob)
        if target.alias is None:
            raise OSError(errno.EXDEV, "a blob cannot be moved out of its alias")
        self.keep_directories(source)
        if (alias.repository, alias.name) == (target.repository, target.alias):
            self._publisher.edit(alias.repository, alias.name, {target.title: blob.descriptor, title: None})
            return
        self._publisher.seen(alias.repository, [blob.descriptor])
        if not self._publisher.bring(target.repository, blob.descriptor.digest):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")
        self._publisher.edit(target.repository, target.alias, {target.title: blob.descriptor})
        self._publisher.edit(alias.repository, alias.name, {title: None})

    def directory(self, entry: Entry, source: Path, goal: Path) -> None:
        """Give a directory another name; an alias is retagged, a directory inside one is one manifest.

        :raises OSError: EXDEV for what has to be moved file by file
        """
        opened = self._tree.open_directory(entry)
        if isinstance(opened, Nascent) or (isinstance(opened, Folder) and opened.manifest is None):
            self._placement.require_makeable(goal)
            self._tree.make(goal)
        elif isinstance(opened, Folder) and opened.prefix:
            self._folder(opened, source, goal)
        elif isinstance(entry, Alias) and not entry.pinned:
            self._retag(entry, goal)
        else:
            raise OSError(errno.EXDEV, "moved file by file")
        self._tree.remake(source, goal)

    def _folder(self, folder: Folder, source: Path, goal: Path) -> None:
        """Give every title below *folder* another start, in one manifest."""
        alias = folder.alias
        if isinstance(self._placement.parent(goal), Directory | Nascent):
            raise OSError(errno.EXDEV, "moved file by file")
        target = self._placement.target(goal)
        if (alias.repository, alias.name) != (target.repository, target.alias) or folder.manifest is None:
            raise OSError(errno.EXDEV, "moved file by file")
        self._placement.target_in(folder, "x")
        self.keep_directories(source)
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
        parent, name = self._placement.parent(goal), goal[-1]
        named = split_name(name)
        if isinstance(parent, Directory) and named is not None and is_alias(named[1]):
            repository, tag = "/".join(filter(None, (parent.name, named[0]))), named[1]
        elif isinstance(parent, Directory) and parent.is_repository and is_alias(name):
            repository, tag = parent.name, name
        else:
            raise OSError(errno.EXDEV, "moved file by file")
        if not self._publisher.retag((alias.repository, alias.name), (repository, tag)):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")

    def keep_directories(self, parts: Path) -> None:
        """Directories inside an alias are titles' starts; the last file's leaving must not take them along."""
        for length in range(1, len(parts)):
            entry = self._tree.resolve(parts[:length])
            if isinstance(entry, Folder) and entry.prefix:
                self._tree.make(parts[:length])
