"""A registry, some of whose repositories are in other registries under other names. Asks for each where it is.

Source: containers-registries.conf(5), ``location``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regfs.oci.manifest import Index, Manifest
from regfs.oci.reference import full_name
from regfs.registry.api import Content, NotModified, Registry, Source, UploadAhead
from regfs.registry.config.mirrors import Mirror as Place


@dataclass(frozen=True)
class Location:
    """Another registry that has repositories of the registry.

    :param registry: the other registry
    :param place: says which repositories it has, and under which names
    """

    registry: Registry
    place: Place


class LocatedRegistry:
    """One registry, some or all of whose repositories are elsewhere, to be read and to be written.

    :param origin: the registry itself, which has the others
    :param locations: the other registries; no repository is in two of them
    """

    def __init__(self, origin: Registry, locations: Sequence[Location]) -> None:
        self.host = origin.host
        self._origin = origin
        self._locations = locations

    def _at(self, repository: str) -> tuple[Registry, str]:
        """The registry that has a repository, and its name there; the empty one stands for the whole registry."""
        for location in self._locations:
            name = location.place.name_of(full_name(self.host, repository))
            if name is not None:
                return location.registry, name
        return self._origin, repository

    def check(self) -> None:
        """Make sure that the registry that is asked for what no other has lets the user in."""
        self._at("")[0].check()

    def close(self) -> None:
        """Close every connection."""
        self._origin.close()
        for location in self._locations:
            location.registry.close()

    def repositories(self) -> list[str] | None:
        """The names in the catalog, as they are here; None where there is none."""
        registry, below = self._at("")
        names = registry.repositories()
        if names is None or not below:
            return names
        return [name.removeprefix(f"{below}/") for name in names if name.startswith(f"{below}/")]

    def tags(self, repository: str) -> list[str] | None:
        """The tags of a repository where it is."""
        registry, name = self._at(repository)
        return registry.tags(name)

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of a tag or digest."""
        registry, name = self._at(repository)
        return registry.manifest(name, reference, known, mirrored=mirrored)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to a tag; returns its digest."""
        registry, name = self._at(repository)
        return registry.put_manifest(name, reference, content, media_type)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest; returns False if it is said not to be there."""
        registry, name = self._at(repository)
        return registry.delete_manifest(name, digest)

    def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag and nothing else."""
        registry, name = self._at(repository)
        registry.delete_tag(name, tag)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a repository has a blob."""
        registry, name = self._at(repository)
        return registry.has_blob(name, digest)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob; None if the repository does not have it."""
        registry, name = self._at(repository)
        return registry.blob_size(name, digest)

    def source(self, repository: str, digest: str) -> Source:
        """Where the bytes of a blob come from."""
        registry, name = self._at(repository)
        return registry.source(name, digest)

    def expect_push(self, repository: str) -> None:
        """Ask for the right to push from now on."""
        registry, name = self._at(repository)
        registry.expect_push(name)

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> None:
        """Upload a blob."""
        registry, name = self._at(repository)
        registry.push_blob(name, content, digest)

    def upload_ahead(self, repository: str) -> UploadAhead:
        """An upload that can begin before its content is complete."""
        registry, name = self._at(repository)
        return registry.upload_ahead(name)

    def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let a repository have a blob of another one; False if those are in different registries."""
        registry, name = self._at(repository)
        other, source_name = self._at(source)
        return registry is other and registry.mount_blob(name, source_name, digest)
