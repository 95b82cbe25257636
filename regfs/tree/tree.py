"""From a path to its node. Reads no blob and writes nothing; keeps the directories that only the mount has."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from dataclasses import replace

from regfs.cache.fetcher import Fetcher
from regfs.metadata.archives import Archives
from regfs.metadata.catalog import Catalog
from regfs.oci.manifest import Index, Manifest
from regfs.oci.reference import is_digest
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.tree.context import Context, MadeDirectories
from regfs.tree.names import FileNames, RepositoryNames
from regfs.tree.namespaces import Namespace
from regfs.tree.node import Node, TagName
from regfs.tree.repositories import Repository
from regfs.tree.rootfs import image_root
from regfs.tree.tags import Tag


class Tree:
    """What a mount shows: a registry, one repository, or one tag.

    :param repository: the one that is shown, or a namespace; None for all
    :param tag: the one of it that is shown, or a digest
    :param platform: of multi-platform tags that have it, only this one is shown, as ``os-arch[-variant]``
    :param rootfs: whether the merged root of the tag's image is shown in the place of the tag
    :raises NoImage: when the tag has none
    """

    def __init__(
        self,
        catalog: Catalog,
        fetcher: Fetcher,
        archives: Archives,
        *,
        repository: str | None = None,
        tag: str | None = None,
        platform: str | None = None,
        rootfs: bool = False,
    ) -> None:
        self.made = MadeDirectories()
        self.files = FileNames()
        self._context = Context(
            catalog=catalog,
            fetcher=fetcher,
            archives=archives,
            made=self.made,
            repositories=RepositoryNames(catalog),
            files=self.files,
            started_ns=time.time_ns() // 10**9 * 10**9,
            platform=platform,
            is_one_repository=repository is not None and tag is None and catalog.aliases(repository) is not None,
            repository=Repository,
        )
        self._root = image_root(self._context, repository or "", tag or "") if rootfs else self._rooted(repository, tag)

    def _rooted(self, repository: str | None, tag: str | None) -> Node:
        if repository is None:
            return Namespace(self._context, (), "")
        if tag is None and not self._context.is_one_repository:
            return Namespace(self._context, (), repository)
        if tag is None:
            return Repository(self._context, (), repository)
        return Tag(self._context, (), TagName(repository, tag, is_digest(tag)))

    def resolve(self, path: Path) -> Node | None:
        """Return what is at *path*; None when nothing is."""
        node: Node | None = self._root
        while path and node is not None:
            node, path = node.step(path)
        return node

    def above(self, path: Path) -> Iterator[tuple[Path, Node]]:
        """Yield the directories above *path*, from the root on, as far as there are any; without the root."""
        node = self._root
        for length, name in enumerate(path[:-1], 1):
            found = node.lookup(name)
            if found is None:
                return
            node = found
            yield path[:length], node

    def parent(self, path: Path) -> Node:
        """Return the directory that *path* is, or would be, in.

        :raises OSError: ENOENT when there is none
        """
        found = self.resolve(path[:-1])
        if found is None:
            raise OSError(errno.ENOENT, "no such directory")
        return found

    def target(self, path: Path) -> Target:
        """Return what a file at *path* is meant to be.

        :raises OSError: as :meth:`parent` and :meth:`regfs.tree.node.Node.target`
        """
        return self.parent(path).target(path[-1])

    def artifact(self, repository: str, reference: str, manifest: Manifest | Index) -> Node:
        """Return the node of what a tag, or a digest, stands for at this moment, whatever the mount shows.

        All platforms of an index are in it.
        """
        context = replace(self._context, made=MadeDirectories(), platform=None)
        return Tag(context, (), TagName(repository, reference, is_digest(reference))).showing(manifest)
