"""A multi-platform tag: a directory for each entry of its index."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from regfs.oci.manifest import CREATED, Descriptor, Index
from regfs.oci.platforms import platforms_of
from regfs.oci.target import Target
from regfs.oci.titles import OCI
from regfs.tree.attributes import Attributes, Kind, seconds_of, stamped, xattrs_of_tag
from regfs.tree.context import Context
from regfs.tree.node import Directory, Node, Stored
from regfs.tree.oci_directory import OciDirectory


@dataclass(frozen=True, eq=False)
class PlatformIndex(Directory):
    """Lists the platforms of an index. Read-only.

    :param entry: makes the node of an entry, of its name and its descriptor
    """

    context: Context
    repository: str
    index: Index
    entry: Callable[[str, Descriptor], Node]

    def attributes(self) -> Attributes:
        created = self.index.annotations.get(CREATED)
        return Attributes(Kind.DIRECTORY, 0, stamped(created, self.index.digest, self.context.started_ns), True)

    def xattrs(self) -> Mapping[str, bytes]:
        return xattrs_of_tag(self.index)

    @property
    def created(self) -> int | None:
        return seconds_of(self.index.annotations.get(CREATED))

    def lookup(self, name: str) -> Node | None:
        if name == OCI:
            return OciDirectory(self.context, self.repository, self.index)
        found = platforms_of(self.index).get(name)
        return None if found is None else self.entry(name, found)

    def children(self) -> Iterator[tuple[str, Node]]:
        yield from self.platforms().items()

    def platforms(self) -> Mapping[str, Node]:
        return {name: self.entry(name, descriptor) for name, descriptor in platforms_of(self.index).items()}

    def blobs(self) -> Iterator[Stored]:
        for _, child in self.children():
            child.require_complete()
            yield from child.blobs()

    def target(self, name: str) -> Target:
        raise OSError(errno.EROFS, "a multi-platform alias is read-only")
