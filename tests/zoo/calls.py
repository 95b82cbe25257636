"""What a request asks of a registry, and the common answers. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.servers import Answer, Request

_PATHS = (  # the first that fits
    ("ping", re.compile(r"/v2/?")),
    ("catalog", re.compile(r"/v2/_catalog")),
    ("tags", re.compile(r"/v2/(?P<repository>.+)/tags/list")),
    ("manifest", re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<reference>[^/]+)")),
    ("upload", re.compile(r"/v2/(?P<repository>.+)/blobs/uploads/?(?P<reference>[^/]*)")),
    ("blob", re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<reference>[^/]+)")),
    (
        "upload",
        re.compile(r"/artifacts-uploads/namespaces/(?P<repository>.+)/uploads/(?P<reference>[^/]+)"),
    ),  # Google's
    ("referrers", re.compile(r"/v2/(?P<repository>.+)/referrers/(?P<reference>[^/]+)")),
)
JSON = ("Content-Type", "application/json")
API = ("Docker-Distribution-Api-Version", "registry/2.0")


@dataclass(frozen=True)
class Call:
    """One request, taken apart. ``kind`` is other for what the distribution specification does not have."""

    request: Request
    kind: str
    path: str
    repository: str
    reference: str
    raw_query: str
    query: Mapping[str, str]

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def authorization(self) -> str:
        return self.request.headers.get("authorization", "")

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def by_tag(self) -> bool:
        """Whether its reference is a tag."""
        return ":" not in self.reference


def call_of(request: Request) -> Call:
    """Take a request apart."""
    target = urlsplit(request.path)
    kind, named = _kind_and_names(target.path)
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    repository, reference = named.get("repository", ""), named.get("reference", "")
    return Call(request, kind, target.path, repository, reference, target.query, query)


def _kind_and_names(path: str) -> tuple[str, Mapping[str, str]]:
    for kind, pattern in _PATHS:
        if found := pattern.fullmatch(path):
            return kind, found.groupdict()
    return "other", {}


def digest_of(content: bytes) -> str:
    """The sha256 digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def error(status: int, code: str, message: str = "", *headers: tuple[str, str], detail: object = None) -> Answer:
    """An error as the distribution specification writes it."""
    entry = {"code": code, "message": message or code.lower().replace("_", " "), "detail": detail}
    return Answer(status, (JSON, *headers), json.dumps({"errors": [entry]}).encode())


def document(status: int, content: object, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """A JSON document."""
    return Answer(status, (JSON, *headers), json.dumps(content).encode())


def ranged(content: bytes, headers: tuple[tuple[str, str], ...], asked: str) -> Answer:
    """A blob, or the one range of it that is asked for."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if found is None:
        return Answer(200, headers, content)
    first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
    if first >= len(content):
        return Answer(416, (*headers, ("Content-Range", f"bytes */{len(content)}")))
    return Answer(206, (*headers, ("Content-Range", f"bytes {first}-{last}/{len(content)}")), content[first : last + 1])
