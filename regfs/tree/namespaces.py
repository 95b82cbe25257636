"""A namespace: a part of the names of repositories, from their start. The root of a registry is one without a name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.reference import is_alias, is_component, is_digest, is_repository, split_name
from regfs.oci.target import Target
from regfs.oci.titles import MAX_NAME
from regfs.tree.artifacts import ArtifactDirectory
from regfs.tree.growing import Growing
from regfs.tree.made import MadeDirectory
from regfs.tree.names import join
from regfs.tree.node import Node, TagName, invalid_name, not_permitted
from regfs.tree.tags import Tag


@dataclass(frozen=True, eq=False)
class Namespace(Growing):
    """Lists namespaces and repositories; ``repository:tag`` and ``repository@digest`` are found, and not listed.

    :param name: ``""`` for the root
    :param certain: False where no catalog tells whether there is anything in it
    """

    name: str
    certain: bool = True

    def lookup(self, name: str) -> Node | None:
        return super().lookup(name) or self.perhaps(name)

    def held(self, name: str) -> Node | None:
        named = split_name(name)
        if named is not None:
            return self._referenced(name, *named)
        return self.listed_as(name) or self._unlisted(name)

    def _referenced(self, name: str, left: str, right: str) -> Node | None:
        repository, catalog = join(self.name, left), self.context.catalog
        if self.context.is_one_repository or not is_repository(repository):
            return None
        if catalog.manifest(repository, right) is None:
            return None
        catalog.visited(repository)
        return Tag(self.context, (*self.path, name), TagName(repository, right, is_digest(right)))

    def listed_as(self, name: str) -> Node | None:
        """Return what is listed by that name."""
        if self.context.is_one_repository or not is_component(name):
            return None
        full = join(self.name, name)
        repositories, below = self.context.repositories.get()
        if full in repositories:
            return self.context.repository(self.context, (*self.path, name), full)
        return Namespace(self.context, (*self.path, name), full) if full in below else None

    def _unlisted(self, name: str) -> Node | None:
        """A repository that is not listed, where no catalog lists any."""
        full = join(self.name, name)
        if self.context.is_one_repository or not is_component(name) or not self.context.catalog.has_repository(full):
            return None
        return self.context.repository(self.context, (*self.path, name), full)

    def perhaps(self, name: str) -> Node | None:
        """Return a namespace that may be there: without a catalog, the names below it are found by going through it."""
        full, catalog = join(self.name, name), self.context.catalog
        if not is_component(name) or catalog.has_catalog or not catalog.may_be_namespace(full):
            return None
        return Namespace(self.context, (*self.path, name), full, certain=False)

    def listed(self) -> Iterator[tuple[str, Node]]:
        """Namespaces and repositories; beside a repository the tags that one nested in it hides."""
        repositories, below = self.context.repositories.get()
        for name in sorted(below.get(self.name, ())):
            full = join(self.name, name)
            if full not in repositories:
                yield name, Namespace(self.context, (*self.path, name), full)
                continue
            yield name, self.context.repository(self.context, (*self.path, name), full)
            if full in below:
                for tag in sorted(below[full] & (self.context.catalog.aliases(full) or frozenset())):
                    there = f"{name}:{tag}"
                    yield there, Tag(self.context, (*self.path, there), TagName(full, tag))

    def made(self, name: str) -> Node:
        tag = self.tag_at(name)
        if tag is None:
            return MadeDirectory(self.context, (*self.path, name), join(self.name, name))
        return ArtifactDirectory(self.context, (*self.path, name), tag, None)

    def require_listable(self) -> None:
        if not self.certain:
            self.context.catalog.aliases(self.name)  # tells whether it is denied, or not there
            raise OSError(errno.ENOENT, "the registry does not tell what is there; name a repository below it")

    def children(self) -> Iterator[tuple[str, Node]]:
        self.require_listable()
        yield from super().children()

    def target(self, name: str) -> Target:
        raise not_permitted("belongs to no alias; make one and copy it there: mkdir ALIAS")

    def tag_at(self, name: str) -> TagName | None:
        named = split_name(name)
        if named is None or not is_alias(named[1]):
            return None
        return TagName(join(self.name, named[0]), named[1])

    def require_makeable(self, name: str) -> None:
        if split_name(name) is not None:
            valid = self.tag_at(name) is not None and not self.context.is_one_repository
        else:
            valid = self.is_valid(name)
        if not valid or len(name) > MAX_NAME:
            raise invalid_name()

    def is_valid(self, name: str) -> bool:
        """Whether a directory can have that name, which has no colon."""
        return is_component(name) or (bool(self.name) and is_alias(name))

    def removable_tag(self) -> TagName | None:
        raise not_permitted("is a repository, which a registry's protocol cannot remove")
