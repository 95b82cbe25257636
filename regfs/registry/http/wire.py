"""What is asked of a registry over HTTP, in the words of the protocol; who sends it, and how, is the caller's.

Source: OCI distribution specification 1.1.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from regfs.registry.http.transport import Response


class Request(Protocol):
    """Sends one request to a registry, and returns an answer that is not an error."""

    def __call__(self, method: str, path: str, **options: Any) -> Response:
        """Send.

        :param path: below ``/v2/``, or a whole address
        """


def manifest_path(repository: str, reference: str) -> str:
    """Where a manifest is."""
    return f"{repository}/manifests/{reference}"


def blob_path(repository: str, digest: str) -> str:
    """Where a blob is."""
    return f"{repository}/blobs/{digest}"


def tags_path(repository: str) -> str:
    """Where the tags of a repository are listed."""
    return f"{repository}/tags/list"


CATALOG_PATH = "_catalog"


def start_upload(request: Request, repository: str, **options: Any) -> Response:
    """Begin to push a blob ("POST then PUT"); the answer's Location is where to go on."""
    return request("post", f"{repository}/blobs/uploads/", **options)


def mount_blob(request: Request, repository: str, source: str, digest: str, **options: Any) -> Response:
    """Ask for a blob that *source* has ("Mounting a blob from another repository")."""
    query = urlencode({"mount": digest, "from": source})
    return request("post", f"{repository}/blobs/uploads/?{query}", **options)


def upload_url(location: str, digest: str) -> str:
    """Where to PUT the content of a started upload: its Location, byte for byte, and the digest."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def next_page(response: Response, base_url: str) -> str | None:
    """Where the next page of a listing is (RFC 8288): its path alone, so that no Link leads to another host.

    :raises ValueError: when the Link is no address
    """
    link = response.links.get("next", {}).get("url")
    if not link:
        return None
    target = urlsplit(urljoin(response.url, link))
    return urljoin(base_url, urlunsplit(("", "", target.path, target.query, "")))
