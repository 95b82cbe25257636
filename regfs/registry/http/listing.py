"""The names of a listing, page by page, up to some number of them, of bytes, of pages and of seconds.

Source: OCI distribution specification 1.1, "Listing tags"; RFC 8288. Registries differ in all of it: the number of
names that they take, the form of the Link, whether there is one, and where it leads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from time import monotonic
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from regfs.oci import manifest as manifests
from regfs.oci.errors import InvalidManifest
from regfs.registry.api import Failed, Invalid, NotFound, Unsupported, Untrustworthy
from regfs.registry.http.auth import Access
from regfs.registry.http.client import Client, read_at_most
from regfs.registry.http.transport import Response

_PAGE_NAMES = (1000, 100, None)  # asked for; a smaller number when one is refused, at last none
# Some registries cut a page at a number of their own and have no Link; it is always a multiple of this.
_ROUND = 50
_PAGE_BYTES = 16 << 20
_LISTING_BYTES = 64 << 20  # of all pages
_LISTING_PAGES = 20_000
_LISTING_SECONDS = 120.0
_MAX_NAMES = 1_000_000  # of one listing
_LINK = re.compile(r'(?:<([^>]*)>|([^\s<>;,]+))\s*((?:;[^,;"]*(?:"[^"]*")?[^,;"]*)*)')
_RELATION = re.compile(r';\s*rel\s*=\s*"?([^";]*)', re.IGNORECASE)
_LINK_CHARACTERS = 8192

log = logging.getLogger(__name__)


def names(client: Client, path: str, key: str, access: Access | None = None) -> list[str]:
    """All names under *key* of the listing at *path*, each once.

    :param access: what the listing needs to be allowed to do, unless it is of the client's repository
    :raises Untrustworthy: when what comes is no listing
    :raises RegistryError: when the registry refuses, or cannot be reached
    """
    found: dict[str, None] = {}
    left, pages, until = _LISTING_BYTES, _LISTING_PAGES, monotonic() + _LISTING_SECONDS
    response, asked = _first(client, path, access)
    while True:
        with response:
            content = read_at_most(response, _PAGE_BYTES)
        page = list(_names(client, content, key))
        before = len(found)
        found.update(dict.fromkeys(page[: _MAX_NAMES - before]))
        left, pages = left - len(content), pages - 1
        following = _following(client, response, path, page, asked)
        if following is None or len(found) == before or len(found) >= _MAX_NAMES:
            return list(found)  # a page that says nothing new is the last
        if left < 0 or pages <= 0 or monotonic() > until:
            log.warning("%s: a listing that does not end is cut off", client.host)
            return list(found)
        response = client.request("get", following, access=access, stream=True)


def _first(client: Client, path: str, access: Access | None) -> tuple[Response, int | None]:
    """The first page, and how many names were asked for."""
    for number in _PAGE_NAMES:
        query = "" if number is None else f"?n={number}"
        try:
            return client.request("get", path + query, access=access, stream=True), number
        except (Invalid, Failed, Unsupported, NotFound) as error:
            if number is None or (isinstance(error, Failed | NotFound) and not _may_mind_the_query(error)):
                raise
    raise AssertionError("the last number is none")


def _may_mind_the_query(error: Exception) -> bool:
    """Whether a 404 may be of the query rather than of the repository: the latter says so with a code."""
    return isinstance(error, NotFound) and not error.code


def _names(client: Client, content: bytes, key: str) -> Iterator[str]:
    try:
        found = manifests.load(content)[key]
    except (InvalidManifest, KeyError):
        raise Untrustworthy(f"{client.host} answers a listing with what is none") from None
    return (name for name in found if isinstance(name, str)) if isinstance(found, list) else iter(())


def _following(client: Client, response: Response, path: str, page: list[str], asked: int | None) -> str | None:
    """Where the next page is: where the Link says, or after the last name of a page without one that may be full."""
    link = response.headers.get("Link", "")
    if link:
        return _linked(client, link, path, response.url)
    if page and (len(page) == asked or len(page) % _ROUND == 0):
        return f"{path}?{urlencode(({} if asked is None else {'n': asked}) | {'last': page[-1]})}"
    return None


def _linked(client: Client, link: str, path: str, base: str) -> str | None:
    """The listing's own path with the query of the Link: some name another host, or a path that is not there.

    :raises Untrustworthy: when the Link is no address
    """
    for target, bare, parameters in _LINK.findall(link[:_LINK_CHARACTERS]):
        relation = _RELATION.search(parameters)
        if relation is None or "next" not in relation[1].lower().split():
            continue
        try:
            parts = urlsplit(urljoin(base, target or bare))
        except ValueError:
            raise Untrustworthy(f"{client.host} links to a page that is no address") from None
        if parse_qsl(parts.query, keep_blank_values=True):
            return f"{path}?{parts.query}"
        return parts.path or None
    return None
