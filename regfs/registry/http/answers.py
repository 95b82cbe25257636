"""What is read of an answer besides its body: where it came from, where it leads, how long it asks to wait."""

from __future__ import annotations

import http.client
import io
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from requests import RequestException, Response
from urllib3.exceptions import HTTPError as Interrupted

from regfs.registry.http.connections import ERROR_BYTES

_QUERY = re.compile(r"\?[^\s'\")>]+")
_PORTS = {"http": 80, "https": 443}


class Unusable(RequestException):
    """An address, or an answer, that cannot be worked with."""


def without_queries(text: str) -> str:
    """*text* without the queries of addresses: redirects are signed there."""
    return _QUERY.sub("?…", text)


def release(response: Response) -> None:
    """Give the connection of a response back; of a body that was not read yet, the beginning is kept."""
    if isinstance(response.raw, io.BytesIO):
        return  # that was done before
    kept = beginning(response, ERROR_BYTES)
    response.close()
    response.raw = io.BytesIO(kept)


def beginning(response: Response, size: int) -> bytes:
    """The first bytes of a body, decoded; none when they cannot be had."""
    try:
        return bytes(response.raw.read(size, decode_content=True))
    except (Interrupted, OSError, http.client.HTTPException, TypeError):
        return b""


def location_of(response: Response) -> str:
    """Where an answer says to go on.

    :raises Unusable: when it does not say, or what it says is no address of HTTP
    """
    try:
        address = urljoin(response.url, response.headers["Location"])
        usable = urlsplit(address).scheme in ("http", "https") and bool(urlsplit(address).hostname)
    except (KeyError, ValueError):
        usable = False
    if not usable:
        raise Unusable(f"{netloc_of(response.url)} does not say where to go on")
    return address


def retry_after_seconds(response: Response) -> float | None:
    """How long an answer asks to wait; None when it does not say (RFC 9110 section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def netloc_of(url: str) -> str:
    """Host and optional port of an address."""
    return _split(url).netloc


def target_of(url: str) -> str:
    """Path and query of an address, byte for byte."""
    parts = _split(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address, however they are written (RFC 6454; RFC 3986 section 6.2).

    :raises Unusable: when it is none
    """
    parts = _split(url)
    try:
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        raise Unusable("an address that is none") from None
    try:
        host = str(ip_address(host))
    except ValueError:
        host = host.rstrip(".")
    return parts.scheme.lower(), host, port


def _split(url: str) -> SplitResult:
    """The parts of an address.

    :raises Unusable: when it is none
    """
    try:
        return urlsplit(url)
    except ValueError:
        raise Unusable("an address that is none") from None
