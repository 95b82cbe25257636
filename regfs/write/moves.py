"""Giving a name to something else, or to nothing: renames and removals of what is in the registry, or on its way there.

No bytes move where the registry can mount them.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from regfs.oci.edits import Change
from regfs.oci.target import Target
from regfs.oci.titles import Files, Path
from regfs.tree.node import Node, TagName
from regfs.tree.tree import Tree
from regfs.write.blobs import BlobPusher
from regfs.write.open_files import Writings
from regfs.write.tags import TagEditor


class Moves:
    """Renames and removes files, directories inside tags, and tags; also those that are being written."""

    def __init__(self, tree: Tree, blobs: BlobPusher, tags: TagEditor, writings: Writings) -> None:
        self._tree = tree
        self._blobs = blobs
        self._tags = tags
        self._writings = writings

    def remove_file(self, path: Path, trees: Sequence[Path] = ()) -> None:
        """Take a file out of its tag. Handles that have it open keep it.

        :param trees: the directories that its program removes with everything in them
        :raises OSError: ENOENT, EISDIR; EPERM or EROFS for what cannot be taken out
        """
        if self._goes_along(path, trees):
            return
        with self._writings.still(path):
            writing, node = self._writings.at(path), self._tree.resolve(path)
            if node is None and writing is None:
                raise OSError(errno.ENOENT, "no such file")
            if node is not None:
                place = node.removable()
                if any(_holds(tree, path, len(path) - len(place.title)) for tree in trees):
                    self._tags.require_deletable(place.repository)
                _keep_directories(self._tree, path)
                self._tags.edit(place.repository, place.alias or "", {place.title: None})
            if writing is not None:
                self._writings.abandon(writing)

    def _goes_along(self, path: Path, trees: Sequence[Path]) -> bool:
        """Whether a path lies in a directory that is one layer, which its program is removing with all in it.

        :raises OSError: EROFS, EPERM when that layer cannot be removed
        """
        for above, node in self._tree.above(path) if trees else ():
            if node.is_packed and any(above[: len(tree)] == tree for tree in trees):
                place = node.packed_at()
                if place is not None and any(_holds(tree, above, len(above) - len(place.title)) for tree in trees):
                    self._tags.require_deletable(place.repository)
                return True
        return False

    def _remove_layer(self, path: Path, place: Target, trees: Sequence[Path]) -> None:
        """Remove a directory that is one layer, when its program removes it with all in it."""
        if not any(path[: len(tree)] == tree for tree in trees):
            raise OSError(errno.ENOTEMPTY, "its files are one layer of the tag; remove it with rm -r")
        _keep_directories(self._tree, path)
        self._tags.edit(place.repository, place.alias or "", {place.title: None})

    def remove_directory(self, path: Path, trees: Sequence[Path] = ()) -> None:
        """Remove an empty directory; of a tag without files, the tag, and no other of the same manifest.

        :param trees: the directories that its program removes with everything in them
        :raises OSError: ENOENT, ENOTDIR, ENOTEMPTY; EPERM for a repository, which no registry can remove; EROFS
        """
        if self._goes_along(path, trees):
            return
        self._resolved(path).refresh()
        node = self._resolved(path)
        place = node.packed_at()
        if place is not None:
            self._remove_layer(path, place, trees)
            return
        self._require_empty(path, node)
        tag = node.removable_tag()
        if tag is not None:
            self._tags.delete(tag.repository, tag.name)
        self._tree.made.remove(path)

    def rename(self, source: Path, goal: Path) -> None:
        """Give a file, or a directory, another name.

        :raises OSError: ENOENT, EISDIR, ENOTEMPTY; EXDEV for what has to be copied instead
        """
        with self._writings.still(source, goal):
            node = self._tree.resolve(source)
            if node is not None and (not node.is_directory or node.vanishes_when_empty):
                node.refresh()  # a tag is asked for when it is retagged
                node = self._tree.resolve(source)
            if node is not None and node.is_directory:
                self._rename_directory(node, source, goal)
            else:
                self._rename_file(node, source, goal)

    def _rename_file(self, node: Node | None, source: Path, goal: Path) -> None:
        writing = self._writings.at(source)
        if node is None and writing is None:
            raise OSError(errno.ENOENT, "no such file")
        target = self._tree.target(goal)
        there = self._tree.resolve(goal)
        if there is not None and there.is_directory:
            raise OSError(errno.EISDIR, "is a directory")
        if node is not None:
            self._move_blob(node, source, target)
            self._tree.made.landed(goal)
        replaced = self._writings.at(goal)
        if replaced is not None:
            self._writings.abandon(replaced)
        if writing is not None:
            self._writings.rename(writing, goal, target)

    def _move_blob(self, node: Node, source: Path, target: Target) -> None:
        place, stored = node.removable(), node.stored
        if stored is None or target.alias is None:
            raise OSError(errno.EXDEV, "a blob cannot be moved out of its alias")
        _keep_directories(self._tree, source)
        new: dict[Path, Change] = {target.title: stored.descriptor}
        old: dict[Path, Change] = {place.title: None}
        if (place.repository, place.alias) == (target.repository, target.alias):
            self._tags.edit(target.repository, target.alias, new | old)
            return
        self._blobs.seen(place.repository, [stored.descriptor])
        if not self._blobs.bring(target.repository, stored.descriptor.digest):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")
        self._tags.edit(target.repository, target.alias, new)
        self._tags.edit(place.repository, place.alias or "", old)

    def _rename_directory(self, node: Node, source: Path, goal: Path) -> None:
        """Give a directory another name, and the files that are being written in it."""
        there = self._tree.resolve(goal)
        if there is not None:
            self._require_empty(goal, there)
        within = self._writings.within(source)
        if within and node.awaits_first_file and source[:-1] != goal[:-1]:
            raise OSError(errno.EBUSY, "a file in it is being written; whose it is was decided when it was made")
        node.rename(_Renaming(self._tree, self._tags, source, goal))
        self._tree.made.move(source, goal)
        for path, writing in within:
            self._writings.rename(writing, goal + path, self._tree.target(goal + path))

    def _resolved(self, path: Path) -> Node:
        node = self._tree.resolve(path)
        if node is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        return node

    def _require_empty(self, path: Path, node: Node) -> None:
        node.require_empty()
        if self._writings.below(path):
            raise OSError(errno.ENOTEMPTY, "directory not empty")


class _Renaming:
    """One rename of a directory, in the way that its node takes."""

    def __init__(self, tree: Tree, tags: TagEditor, source: Path, goal: Path) -> None:
        self._tree = tree
        self._tags = tags
        self._source = source
        self._goal = goal

    def make(self) -> None:
        self._tree.parent(self._goal).require_makeable(self._goal[-1])
        self._tree.made.add(self._goal)

    def retitle(self, tag: TagName, prefix: Path, files: Files) -> None:
        """Give every title below *prefix* another start, in one manifest."""
        if any(path[: len(prefix)] == prefix for path in files.packed):
            raise OSError(errno.EROFS, "a directory that is one layer cannot be renamed: the layer has its name")
        target = self._target()
        if target is None or (tag.repository, tag.name) != (target.repository, target.alias):
            raise OSError(errno.EXDEV, "moved file by file")
        _keep_directories(self._tree, self._source)
        edits: dict[Path, Change] = {}
        for path, blob in files.blobs.items():
            if path[: len(prefix)] == prefix:
                edits[path] = None
                edits[target.title + path[len(prefix) :]] = blob
        if edits:
            self._tags.edit(tag.repository, tag.name, edits)
        else:
            self._tree.made.add(self._goal)

    def _target(self) -> Target | None:
        """The start of the new titles; None where there are no titles."""
        try:
            return self._tree.target(self._goal)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            return None

    def retag(self, tag: TagName) -> None:
        new = self._tree.parent(self._goal).tag_at(self._goal[-1])
        if new is None:
            raise OSError(errno.EXDEV, "moved file by file")
        if not self._tags.rename((tag.repository, tag.name), (new.repository, new.name)):
            raise OSError(errno.EXDEV, "the registry does not mount blobs across repositories")


def _holds(tree: Path, path: Path, depth: int) -> bool:
    """Whether a directory is that of the tag of a file, or one above.

    :param path: of the file
    :param depth: how many names of *path* lead to the tag; none in the mount of a tag, which is not deleted with it
    """
    return len(tree) <= depth > 0 and path[: len(tree)] == tree


def _keep_directories(tree: Tree, path: Path) -> None:
    """Keep the directories above *path*. Inside a tag they are titles' starts: the last file would take them along."""
    for above, node in tree.above(path):
        if node.vanishes_when_empty:
            tree.made.add(above)
