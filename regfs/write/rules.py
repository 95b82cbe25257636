"""What may be made, and what removed, where: from a path to what a file there is meant to be. Changes nothing."""

from __future__ import annotations

import errno

from regfs.oci.reference import is_alias, is_component, is_digest, is_repository, split_name
from regfs.tree.attributes import is_changeable
from regfs.tree.tree import (
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
from regfs.write.staging import Target


class Placement:
    """The rules of which names a registry can have where."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def parent(self, parts: Path) -> Entry:
        """The directory that *parts* is, or would be, in.

        :raises OSError: ENOENT when there is none, ENOTDIR when it is a file
        """
        above = self._tree.resolve(parts[:-1])
        if above is None:
            raise OSError(errno.ENOENT, "no such directory")
        parent = self._tree.open_directory(above)
        if isinstance(parent, Blob | Document):
            raise OSError(errno.ENOTDIR, "not a directory")
        return parent

    def target(self, parts: Path) -> Target:
        """What a file at *parts* is meant to be.

        :raises OSError: EROFS in what is immutable, EPERM where a file has no alias, EINVAL for a name that is none
        """
        parent, name = self.parent(parts), parts[-1]
        if isinstance(parent, Platforms):
            raise OSError(errno.EROFS, "a multi-platform alias is read-only")
        if isinstance(parent, Folder):
            return self.target_in(parent, name)
        if isinstance(parent, Nascent):
            *above, alias = parent.path
            if not is_repository("/".join(above)) or not is_alias(alias):
                raise not_permitted("is in no repository's alias; make one: mkdir REPOSITORY:ALIAS")
            return Target("/".join(above), alias, (title(name)))
        if isinstance(parent, Hidden) and parent.blobs and parent.alias is None:
            return Target(parent.repository, None, (name,))
        if isinstance(parent, Hidden):
            raise OSError(errno.EROFS, "what the registry says is read-only")
        raise not_permitted("belongs to no alias; make one and copy it there: mkdir ALIAS")

    def target_in(self, folder: Folder, name: str) -> Target:
        """What a file *name* in a folder of an alias is meant to be.

        :raises OSError: EROFS, EINVAL
        """
        alias = folder.alias
        if alias.pinned or (folder.manifest is not None and not folder.manifest.writable):
            raise OSError(errno.EROFS, f"{alias.repository}:{alias.name} is read-only")
        path = (*folder.prefix, name)
        if path != (name,) or not is_digest(name):
            path = (*folder.prefix, *title(name))
        return Target(alias.repository, alias.name, path)

    def require_makeable(self, parts: Path) -> None:
        """Make sure that there can be a directory at *parts*.

        :raises OSError: EROFS in what is immutable, EINVAL for a name that a registry cannot have
        """
        parent, name = self.parent(parts), parts[-1]
        if isinstance(parent, Folder):
            self.target_in(parent, name)
            title(name)
        elif isinstance(parent, Directory | Nascent):
            self._require_name(parent, name)
        else:
            raise OSError(errno.EROFS, "read-only")

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

    def removable(self, blob: Blob) -> tuple[Alias, Path]:
        """The alias, and the path in it, that a blob can be taken out of.

        :raises OSError: EPERM when no alias names it, EROFS when that is immutable
        """
        if blob.alias is None:
            raise not_permitted("is named by no alias; copy it to one to change it")
        if not is_changeable(blob):
            raise OSError(errno.EROFS, f"{blob.alias.repository}:{blob.alias.name} is read-only")
        return blob.alias, blob.path


def title(name: str) -> Path:
    """A name as the title of a file.

    :raises OSError: EINVAL when it cannot be one
    """
    path = title_path(name)
    if path is None:
        raise OSError(errno.EINVAL, "a file in a registry cannot have that name")
    return path


def not_permitted(what: str) -> OSError:
    """EPERM, and what to do."""
    return OSError(errno.EPERM, f"it {what}")
