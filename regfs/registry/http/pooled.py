"""The client core over pooled connections: for many threads, and for answers that may not end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from regfs.dxf.client import DXF
from regfs.exceptions import DXFError
from regfs.oci import manifest as manifests
from regfs.oci.manifest import InvalidManifest
from regfs.registry.http.auth import Access
from regfs.registry.http.transport import PooledTransport, Response, UnsafeRedirect, location_of

_PAGE_BYTES = 16 << 20
_LISTING_BYTES = 64 << 20  # of all pages
_LISTING_PAGES = 20_000
_LISTING_SECONDS = 120.0
_MAX_NAMES = 1_000_000  # of one listing

log = logging.getLogger(__name__)


class UnexpectedAnswer(DXFError):
    """The registry answered something that the protocol does not allow; the text says what."""


class PooledDXF(DXF):
    """The client core, sending through the pool with the access that each request needs."""

    pool: PooledTransport
    _left: int  # bytes that a listing may still have
    _until: float  # time.monotonic() up to when it is read
    _pages_left: int

    def _send(self, method: str, url: str, **kwargs: Any) -> Response:
        push = method.lower() not in ("get", "head")
        kwargs.setdefault("access", Access(self._repo or "", push))
        target = urlsplit(url)
        if target.netloc != self._host:
            kwargs["access"] = None  # an upload's Location may lead elsewhere; credentials do not go along
        if target.scheme == "http" and not self._insecure:
            if target.netloc != self._host:
                raise UnsafeRedirect(f"{self._host} leads from HTTPS to plain HTTP")
            url = target._replace(scheme="https").geturl()  # a registry behind a proxy does not know that it is HTTPS
        kwargs.setdefault("allow_redirects", True)
        return self.pool.send(method, url, **kwargs)

    def _pages(self, path: str, key: str, batch_size: int | None, **kwargs: Any) -> Iterator[str]:
        """The names of a listing, up to some number of them, of bytes, of pages and of seconds."""
        self._left = _LISTING_BYTES
        self._until = monotonic() + _LISTING_SECONDS
        self._pages_left = _LISTING_PAGES
        return islice(super()._pages(path, key, batch_size, stream=True), _MAX_NAMES)

    def _names(self, response: Response, key: str) -> Iterable[str]:
        with response:
            content = read_at_most(response, _PAGE_BYTES)
        try:
            names = manifests.load(content)[key]
        except (InvalidManifest, KeyError):
            raise UnexpectedAnswer(f"{self._host} answers a listing with what is none") from None
        self._left -= len(content)
        self._pages_left -= 1
        if self._left < 0 or self._pages_left <= 0 or monotonic() > self._until:
            log.warning("%s: a listing that does not end is cut off", self._host)
            response.headers.pop("Link", None)
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else ()

    def _on_this_host(self, base: str, link: str) -> str:
        try:
            return super()._on_this_host(base, link)
        except ValueError:
            raise UnexpectedAnswer(f"{self._host} links to a page that is no address") from None

    def _upload_url(self, response: Response, digest: str) -> str:
        location_of(response)
        return super()._upload_url(response, digest)


def read_at_most(response: Response, limit: int) -> bytes:
    """The decoded body of a streamed response.

    :raises UnexpectedAnswer: when it is longer than *limit* bytes
    """
    content = bytearray()
    for chunk in response.iter_content(1 << 16):
        content += chunk
        if len(content) > limit:
            raise UnexpectedAnswer(f"an answer of more than {limit} bytes")
    return bytes(content)
