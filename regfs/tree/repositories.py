"""A repository: lists its tags, and as a namespace the repositories nested in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regfs.oci.reference import is_alias
from regfs.tree.namespaces import Namespace
from regfs.tree.node import Node, Stored, TagName
from regfs.tree.repository_blobs import BLOBS, RepositoryBlobs
from regfs.tree.tags import Tag


@dataclass(frozen=True, eq=False)
class Repository(Namespace):
    """Where a nested repository has the name of a tag, the name is the repository's."""

    @property
    def noun(self) -> str:
        return "repository"

    def lookup(self, name: str) -> Node | None:
        if name == BLOBS:
            return RepositoryBlobs(self.context, self.name)
        return super().lookup(name)

    def listed_as(self, name: str) -> Node | None:
        return super().listed_as(name) or self._tag(name)

    def perhaps(self, name: str) -> Node | None:
        return None  # what is not listed is a tag, and the tags are known

    def _tag(self, name: str) -> Node | None:
        if not is_alias(name) or not self.context.catalog.has_tag(self.name, name):
            return None
        return Tag(self.context, (*self.path, name), TagName(self.name, name))

    def _tags(self) -> frozenset[str]:
        return self.context.catalog.shown_tags(self.name)

    def listed(self) -> Iterator[tuple[str, Node]]:
        nested = set()
        if not self.context.is_one_repository:
            for name, child in super().listed():
                nested.add(name)
                yield name, child
        for tag in sorted(self._tags() - nested):
            yield tag, Tag(self.context, (*self.path, tag), TagName(self.name, tag))

    def blobs(self) -> Iterator[Stored]:
        for tag in sorted(self._tags()):
            yield from Tag(self.context, (*self.path, tag), TagName(self.name, tag)).blobs()

    def tag_at(self, name: str) -> TagName | None:
        return super().tag_at(name) or (TagName(self.name, name) if is_alias(name) else None)

    def is_valid(self, name: str) -> bool:
        return is_alias(name)
