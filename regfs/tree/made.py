"""A directory outside of any repository that only the mount has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from regfs.oci.reference import is_alias, is_component, is_repository, split_name
from regfs.oci.target import Target
from regfs.oci.titles import MAX_NAME
from regfs.tree.artifacts import ArtifactDirectory
from regfs.tree.growing import Growing
from regfs.tree.names import join
from regfs.tree.node import Node, Renaming, TagName, invalid_name, not_permitted, title


@dataclass(frozen=True, eq=False)
class MadeDirectory(Growing):
    """The first file decides: the directory it lands in is the tag, the name above it the repository.

    :param name: of the namespace that it may become, or of a repository and a tag
    """

    name: str
    awaits_first_file: ClassVar[bool] = True

    def held(self, name: str) -> Node | None:
        full, catalog = join(self.name, name), self.context.catalog
        if not catalog.has_catalog and is_component(name) and catalog.has_repository(full):
            return self.context.repository(self.context, (*self.path, name), full)
        return None

    def listed(self) -> Iterator[tuple[str, Node]]:
        yield from ()

    def made(self, name: str) -> Node:
        named = split_name(name)
        if named is None:
            return MadeDirectory(self.context, (*self.path, name), join(self.name, name))
        tag = TagName(join(self.name, named[0]), named[1])
        return ArtifactDirectory(self.context, (*self.path, name), tag, None)

    def target(self, name: str) -> Target:
        repository, _, tag = self.name.rpartition("/")
        if not is_repository(repository) or not is_alias(tag):
            raise not_permitted("is in no repository's alias; make one: mkdir REPOSITORY:ALIAS")
        return Target(repository, tag, title(name))

    def require_makeable(self, name: str) -> None:
        named = split_name(name)
        if named is not None:
            valid = is_alias(named[1]) and not self.context.is_one_repository
        else:
            valid = is_component(name) or is_alias(name)
        if not valid or len(name) > MAX_NAME:
            raise invalid_name()

    def removable_tag(self) -> TagName | None:
        return None

    def rename(self, way: Renaming) -> None:
        way.make()
