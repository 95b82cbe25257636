"""The names of a listing, page by page, up to some number of them, of bytes, of pages and of seconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from time import monotonic

from regfs.oci import manifest as manifests
from regfs.oci.errors import InvalidManifest
from regfs.registry.api import Untrustworthy
from regfs.registry.http.client import Client, read_at_most
from regfs.registry.http.transport import Response
from regfs.registry.http.wire import next_page

_PAGE_NAMES = 1000
_PAGE_BYTES = 16 << 20
_LISTING_BYTES = 64 << 20  # of all pages
_LISTING_PAGES = 20_000
_LISTING_SECONDS = 120.0
_MAX_NAMES = 1_000_000  # of one listing

log = logging.getLogger(__name__)


def names(client: Client, path: str, key: str) -> list[str]:
    """All names under *key* of the listing at *path*.

    :raises Untrustworthy: when what comes is no listing
    :raises RegistryError: when the registry refuses, or cannot be reached
    """
    return list(islice(_pages(client, path, key), _MAX_NAMES))


def _pages(client: Client, path: str, key: str) -> Iterator[str]:
    """The names of each page and of those that Link headers lead to; one that leads back is the end."""
    left, pages, until = _LISTING_BYTES, _LISTING_PAGES, monotonic() + _LISTING_SECONDS
    following: str | None = path
    params: dict[str, int] | None = {"n": _PAGE_NAMES}
    asked: set[str] = set()
    while following and following not in asked:
        asked.add(following)
        response = client.request("get", following, params=params, stream=True)
        with response:
            content = read_at_most(response, _PAGE_BYTES)
        yield from _names(client, content, key)
        left, pages = left - len(content), pages - 1
        if left < 0 or pages <= 0 or monotonic() > until:
            log.warning("%s: a listing that does not end is cut off", client.host)
            return
        following, params = _next(client, response), None


def _names(client: Client, content: bytes, key: str) -> Iterator[str]:
    try:
        found = manifests.load(content)[key]
    except (InvalidManifest, KeyError):
        raise Untrustworthy(f"{client.host} answers a listing with what is none") from None
    return (name for name in found if isinstance(name, str)) if isinstance(found, list) else iter(())


def _next(client: Client, response: Response) -> str | None:
    try:
        return next_page(response, client.base_url)
    except ValueError:
        raise Untrustworthy(f"{client.host} links to a page that is no address") from None
