"""A registry to which no request is made: what is cached is all there is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NoReturn

from regfs.registry.ahead import Ahead
from regfs.registry.api import Body, Content, Offline


def _refuse() -> NoReturn:
    raise Offline("the mount is offline")


class OfflineRegistry:
    """Fails at once, as if no registry could be reached.

    :param host: host name and optional port; names what is cached
    """

    def __init__(self, host: str) -> None:
        self.host = host

    def check(self) -> None:
        """Do nothing: nobody is asked whether the user is let in."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def repositories(self) -> NoReturn:
        """Fail."""
        _refuse()

    def tags(self, repository: str) -> NoReturn:
        """Fail."""
        _refuse()

    def manifest(self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True) -> NoReturn:
        """Fail."""
        _refuse()

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> NoReturn:
        """Fail."""
        _refuse()

    def delete_manifest(self, repository: str, digest: str) -> NoReturn:
        """Fail."""
        _refuse()

    def delete_tag(self, repository: str, tag: str) -> NoReturn:
        """Fail."""
        _refuse()

    def has_blob(self, repository: str, digest: str) -> NoReturn:
        """Fail."""
        _refuse()

    def blob_size(self, repository: str, digest: str) -> NoReturn:
        """Fail."""
        _refuse()

    def source(self, repository: str, digest: str) -> _Nowhere:
        """A source that fails when it is opened."""
        return _Nowhere()

    def expect_push(self, repository: str) -> None:
        """Do nothing: nobody is asked for a right."""

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> NoReturn:
        """Fail."""
        _refuse()

    def upload_ahead(self, repository: str) -> Ahead:
        """An upload that fails when it begins."""
        return Ahead(_refuse)

    def mount_blob(self, repository: str, source: str, digest: str) -> NoReturn:
        """Fail."""
        _refuse()


class _Nowhere:
    def open(self, start: int, end: int, size: int) -> AbstractContextManager[Body]:
        _refuse()

    def blame(self) -> bool:
        return False
