"""A registry whose content is read from its mirrors where they have it. What is written goes to the registry itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic

from regfs.oci.errors import InvalidManifest
from regfs.oci.manifest import Index, Manifest
from regfs.oci.reference import full_name
from regfs.registry.api import (
    Body,
    Content,
    NotFound,
    NotModified,
    Registry,
    RegistryError,
    Source,
    UploadAhead,
)
from regfs.registry.config.mirrors import Mirror as Place

_REST_SECONDS = 60.0

log = logging.getLogger(__name__)


class Mirror:
    """A registry that may have the same content, and is left alone for a while when it failed, or lied.

    :param registry: the registry
    :param place: says which names it has for which repositories
    """

    def __init__(self, registry: Registry, place: Place) -> None:
        self.registry = registry
        self._place = place
        self._rests_until = 0.0  # time.monotonic()

    def name(self, repository: str) -> str | None:
        """What the mirror calls a repository; None when it does not have it, or is left alone."""
        return None if monotonic() < self._rests_until else self._place.name_of(repository)

    def rest(self) -> None:
        """Leave it alone for a while."""
        log.info("the mirror %s is left alone for %d seconds", self.registry.host, _REST_SECONDS)
        self._rests_until = monotonic() + _REST_SECONDS


class MirroredRegistry:
    """One registry and its mirrors.

    :param origin: the registry itself
    :param mirrors: registries that may have the same content, in the order that they are asked; they need not answer
    """

    def __init__(self, origin: Registry, mirrors: Sequence[Mirror]) -> None:
        self.host = origin.host
        self._origin = origin
        self._mirrors = mirrors

    def _named(self, repository: str) -> list[tuple[Mirror, str]]:
        """The mirrors that may have a repository, each with what it calls that."""
        full = full_name(self.host, repository)
        return [(mirror, name) for mirror in self._mirrors if (name := mirror.name(full)) is not None]

    def check(self) -> None:
        """Make sure that the registry itself lets the user in."""
        self._origin.check()

    def close(self) -> None:
        """Close every connection."""
        self._origin.close()
        for mirror in self._mirrors:
            mirror.registry.close()

    def repositories(self) -> list[str] | None:
        """The names in the registry's own catalog."""
        return self._origin.repositories()

    def tags(self, repository: str) -> list[str] | None:
        """The tags that the registry itself has."""
        return self._origin.tags(repository)

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of a tag or digest, from the first mirror that has it, else from the registry itself."""
        for mirror, name in self._named(repository) if mirrored else ():
            try:
                answer = mirror.registry.manifest(name, reference, known)
            except (RegistryError, InvalidManifest):
                mirror.rest()
            else:
                if answer is not None:
                    return answer
        return self._origin.manifest(repository, reference, known, mirrored=mirrored)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to a tag of the registry itself."""
        return self._origin.put_manifest(repository, reference, content, media_type)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest of the registry itself."""
        return self._origin.delete_manifest(repository, digest)

    def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag of the registry itself."""
        self._origin.delete_tag(repository, tag)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the registry itself has a blob."""
        return self._origin.has_blob(repository, digest)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob of the registry itself."""
        return self._origin.blob_size(repository, digest)

    def source(self, repository: str, digest: str) -> MirroredSource:
        """Where the bytes of a blob come from."""
        mirrors = [(mirror, mirror.registry.source(name, digest)) for mirror, name in self._named(repository)]
        return MirroredSource(mirrors, self._origin.source(repository, digest))

    def expect_push(self, repository: str) -> None:
        """Ask the registry itself for the right to push from now on."""
        self._origin.expect_push(repository)

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> None:
        """Upload a blob to the registry itself."""
        self._origin.push_blob(repository, content, digest)

    def upload_ahead(self, repository: str) -> UploadAhead:
        """An upload to the registry itself."""
        return self._origin.upload_ahead(repository)

    def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let a repository of the registry itself have a blob that another one has."""
        return self._origin.mount_blob(repository, source, digest)


class MirroredSource:
    """The content of one blob, from the first mirror that has it, else from the registry itself."""

    def __init__(self, mirrors: Sequence[tuple[Mirror, Source]], origin: Source) -> None:
        self._mirrors = list(mirrors)
        self._origin = origin

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[Body]:
        """As :meth:`regfs.registry.api.Source.open`; a mirror that fails, also in the middle, is not asked again."""
        with ExitStack() as opened:
            mirror, body = self._first(opened, start, end, size)
            try:
                yield body
            except RegistryError:
                if mirror is not None:
                    self._leave(mirror)
                raise

    def _first(self, opened: ExitStack, start: int, end: int, size: int) -> tuple[Mirror | None, Body]:
        for mirror, source in list(self._mirrors):
            try:
                return mirror, opened.enter_context(source.open(start, end, size))
            except RegistryError as error:
                self._leave(mirror, rest=not isinstance(error, NotFound))  # a mirror need not have everything
        return None, opened.enter_context(self._origin.open(start, end, size))

    def _leave(self, mirror: Mirror, rest: bool = True) -> None:
        self._mirrors = [(other, source) for other, source in self._mirrors if other is not mirror]
        if rest:
            mirror.rest()

    def blame(self) -> bool:
        """Note that what came was not the blob; returns whether somebody else is left to ask."""
        blamed = bool(self._mirrors)
        for mirror, _ in list(self._mirrors):
            self._leave(mirror)
        return blamed
