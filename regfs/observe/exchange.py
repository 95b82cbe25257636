"""Record of one HTTP request, passed to observers. Pure; has no header, no body and no query."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_KINDS = (  # the first match of the path
    ("token", re.compile(r"/token$|/auth$|/oauth2")),
    ("upload", re.compile(r"^/v2/.+/blobs/uploads/")),
    ("blob", re.compile(r"^/v2/.+/blobs/")),
    ("manifest", re.compile(r"^/v2/.+/manifests/")),
    ("tags", re.compile(r"^/v2/.+/tags/list$")),
    ("catalog", re.compile(r"^/v2/_catalog$")),
    ("ping", re.compile(r"^/v2/?$")),
)


@dataclass(frozen=True)
class Exchange:
    """One request.

    :param address: without its query
    :param result: the status of the answer, or the kind of error if there was none
    :param seconds: from the request to the answer's headers, with retries
    :param sent: bytes of the request's body
    :param answer: bytes of the answer's body, by its headers
    """

    method: str
    address: str
    result: str
    seconds: float
    sent: int = 0
    answer: int = 0

    @property
    def kind(self) -> str:
        """Return the kind of its target: manifest, blob, upload, tags, catalog, token, ping, other."""
        path = "/" + self.address.partition("://")[2].partition("/")[2]
        return next((kind for kind, pattern in _KINDS if pattern.search(path)), "other")


Observer = Callable[[Exchange], object]
