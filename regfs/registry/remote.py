"""A registry as the filesystem uses it: the client core over pooled connections, with ranges and resumable uploads.

Every method may be called from any thread. What a registry does not have is None or an empty answer; what went wrong
is an exception of :mod:`regfs.registry.exceptions` or of ``requests``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from regfs.registry import manifest as manifests
from regfs.registry import schema1
from regfs.registry.auth import Access
from regfs.registry.client import DXF
from regfs.registry.exceptions import DXFDigestMismatchError, DXFError, DXFMountFailed, DXFUnauthorizedError
from regfs.registry.manifest import Index, InvalidManifest, Manifest
from regfs.registry.transport import (
    NOT_FOUND,
    UNAUTHORIZED,
    HTTPError,
    PooledTransport,
    RequestException,
    Response,
    UnsafeRedirect,
    check_status,
    location_of,
    read_into,
)
from regfs.registry.upload import Content, PiecewiseUpload, UploadAhead, upload

NOT_MODIFIED = 304
_PARTIAL = 206
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})  # what a redirect target answers once it has expired
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_MANIFEST_BYTES = 8 * manifests.MAX_BYTES  # 100,000 layers with titles; docker-registry takes fewer, others more
_LISTING = 1000  # names on a page
_PAGE_BYTES = 16 << 20
_LISTING_BYTES = 64 << 20  # of all pages
_LISTING_PAGES = 20_000
_LISTING_SECONDS = 120.0
_MAX_NAMES = 1_000_000  # of one listing
_REST = 60  # seconds

log = logging.getLogger(__name__)


class UnexpectedAnswer(DXFError):
    """The registry answered something that the protocol does not allow; the text says what."""


@dataclass(frozen=True)
class NotModified:
    """The alias still has the digest that was asked about."""


class _PooledDXF(DXF):
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


class Remote:
    """One registry.

    :param host: host name and optional port
    :param insecure: plain HTTP
    :param transport: sends the requests
    :param mirrors: registries that may have the same content, asked before this one when something is read
    """

    def __init__(self, host: str, insecure: bool, transport: PooledTransport, mirrors: Sequence[Remote] = ()) -> None:
        self.host = host
        self._insecure = insecure
        self._transport = transport
        self._mirrors = mirrors
        self._rests_until = 0.0  # time.monotonic() before which this registry, as a mirror, is left alone

    def _dxf(self, repository: str) -> _PooledDXF:
        dxf = _PooledDXF(self.host, repository, insecure=self._insecure)
        dxf.pool = self._transport
        return dxf

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()
        for mirror in self._mirrors:
            mirror.close()

    def rest(self) -> None:
        """As a mirror, leave this registry alone for a while: it failed, or lied."""
        log.info("the mirror %s is left alone for %d seconds", self.host, _REST)
        self._rests_until = monotonic() + _REST

    def _awake(self) -> list[Remote]:
        return [mirror for mirror in self._mirrors if monotonic() >= mirror._rests_until]

    def check(self) -> None:
        """Make sure that this is a registry that lets the user in.

        :raises UnexpectedAnswer: when what answers is not a registry
        :raises DXFUnauthorizedError: when it refuses the user
        """
        response = self._dxf("")._send("get", f"{'http' if self._insecure else 'https'}://{self.host}/v2/")
        if response.status_code == UNAUTHORIZED:
            raise DXFUnauthorizedError
        kind = response.headers.get("Content-Type", "")
        is_api = "Docker-Distribution-Api-Version" in response.headers or "json" in kind
        if not response.ok or not is_api:
            raise UnexpectedAnswer(
                f"{self.host} answers /v2/ with status {response.status_code}, not as a registry does"
            )

    def repositories(self) -> list[str] | None:
        """The names in the catalog; None where the registry has none, or shows it to nobody."""
        try:
            return list(self._dxf("").list_repos(batch_size=_LISTING))
        except (HTTPError, DXFUnauthorizedError) as error:
            if isinstance(error, HTTPError) and _status(error) >= 500:
                raise
            return None

    def aliases(self, repository: str) -> list[str] | None:
        """The aliases of a repository; None when the registry does not know it."""
        try:
            return list(self._dxf(repository).list_aliases(batch_size=_LISTING))
        except HTTPError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of an alias or digest, verified against its digest.

        :param mirrored: whether a mirror may answer
        :param known: a digest; when the alias still has it, the answer is NotModified (RFC 9110, If-None-Match)
        :returns: None when there is no such alias
        :raises DXFDigestMismatchError: when the bytes are not what their digest says
        :raises InvalidManifest: when they are no manifest
        :raises DXFUnsupportedSchemaType: when they are one of an unknown type
        """
        for mirror in self._awake() if mirrored else ():
            try:
                answer = mirror.manifest(repository, reference, known)
            except (RequestException, DXFError, InvalidManifest):
                mirror.rest()
            else:
                if answer is not None:
                    return answer
        headers = {"Accept": manifests.ACCEPT} | ({"If-None-Match": f'"{known}"'} if known else {})
        try:
            response = self._dxf(repository)._request("get", f"manifests/{reference}", headers=headers, stream=True)
        except HTTPError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise
        with response:
            if response.status_code == NOT_MODIFIED:
                return NotModified()
            content = read_at_most(response, _MANIFEST_BYTES)
        return verified_manifest(content, response, reference)

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """The digest that an alias has now; None when there is no such alias."""
        try:
            return self._dxf(repository).head_manifest_and_response(reference)[0]
        except HTTPError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to an alias; returns its digest."""
        headers = {"Content-Type": media_type}
        self._dxf(repository)._request("put", f"manifests/{reference}", headers=headers, data=content, repeat=True)
        return manifests.digest_of(content)

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete by alias or by digest; what is not there counts as deleted."""
        try:
            self._dxf(repository)._request("delete", f"manifests/{reference}")
        except HTTPError as error:
            if _status(error) != NOT_FOUND:
                raise

    def delete_tag(self, repository: str, alias: str) -> None:
        """Delete an alias and nothing else (distribution specification 1.1, "Deleting tags").

        :raises requests.HTTPError: where the registry does not do that
        """
        self._dxf(repository)._request("delete", f"manifests/{alias}")

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob; None when the repository does not have it.

        :raises UnexpectedAnswer: when the registry does not say it
        """
        try:
            size = self._dxf(repository).blob_size(digest)
        except HTTPError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise
        except (KeyError, ValueError):
            raise UnexpectedAnswer(f"{self.host} does not say how long {digest} is") from None
        if size < 0:
            raise UnexpectedAnswer(f"{self.host} says that {digest} has {size} bytes")
        return size

    def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let *repository* have a blob that *source* has, moving no bytes; False when the registry did not do it."""
        dxf = self._dxf(repository)
        query = urlencode({"mount": digest, "from": source})
        access = Access(repository, push=True, source=source)
        try:
            response = dxf._request("post", f"blobs/uploads/?{query}", access=access)
        except (HTTPError, DXFUnauthorizedError, DXFMountFailed):
            return False
        if response.status_code == 201:
            return True
        self._cancel(dxf, response)
        return False

    def _cancel(self, dxf: _PooledDXF, started: Response) -> None:
        try:
            dxf._base_request("delete", location_of(started))
        except (RequestException, DXFError):
            return  # the registry purges abandoned uploads by itself

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> None:
        """Upload *content* as the blob *digest*.

        :raises requests.RequestException: when it could not be, also after some tries
        """
        upload(self._dxf(repository), content, digest)

    def upload_ahead(self, repository: str) -> UploadAhead:
        """An upload that can begin before its content is complete."""
        return UploadAhead(lambda: PiecewiseUpload(self._dxf(repository)))

    def source(self, repository: str, digest: str) -> MirroredSource:
        """Where the bytes of a blob come from."""
        mirrors = [(mirror, BlobSource(mirror._dxf(repository), digest)) for mirror in self._awake()]
        return MirroredSource(mirrors, BlobSource(self._dxf(repository), digest))


class MirroredSource:
    """The content of one blob, from the first mirror that has it, else from the registry itself."""

    def __init__(self, mirrors: Sequence[tuple[Remote, BlobSource]], origin: BlobSource) -> None:
        self._mirrors = list(mirrors)
        self._origin = origin

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[Body]:
        """As :meth:`BlobSource.open`; a mirror that fails, also in the middle, is not asked again."""
        with ExitStack() as opened:
            mirror, body = self._first(opened, start, end, size)
            try:
                yield body
            except RequestException:
                if mirror is not None:
                    self._leave(mirror)
                raise

    def _first(self, opened: ExitStack, start: int, end: int, size: int) -> tuple[Remote | None, Body]:
        for mirror, source in list(self._mirrors):
            try:
                return mirror, opened.enter_context(source.open(start, end, size))
            except HTTPError as error:
                self._leave(mirror, rest=_status(error) != NOT_FOUND)  # a mirror need not have everything
            except (RequestException, DXFError):
                self._leave(mirror)
        return None, opened.enter_context(self._origin.open(start, end, size))

    def _leave(self, mirror: Remote, rest: bool = True) -> None:
        self._mirrors = [(other, source) for other, source in self._mirrors if other is not mirror]
        if rest:
            mirror.rest()

    def blame(self) -> bool:
        """Note that what came was not the blob; returns whether somebody else is left to ask."""
        blamed = bool(self._mirrors)
        for mirror, _ in list(self._mirrors):
            self._leave(mirror)
        return blamed


class BlobSource:
    """The content of one blob, in ranges. Remembers where the registry redirected to until that expires."""

    def __init__(self, dxf: _PooledDXF, digest: str) -> None:
        self._dxf = dxf
        self.digest = digest
        self._target: str | None = None
        self._url = urljoin(dxf._base_url, f"{dxf._repo_path}/blobs/{digest}")

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[Body]:
        """Ask for the bytes from *start* up to *end* of a blob of *size* bytes.

        A registry may ignore the range and send the whole blob (RFC 9110 section 14.2): ``Body.start`` says so.

        :raises UnexpectedAnswer: when the answer is of another range or of another size
        :raises requests.HTTPError: when the registry refused
        """
        response = self._get(start, end)
        try:
            if response.status_code == _PARTIAL:
                yield Body(response, start, self._last(response, start, end, size) + 1)
            else:
                self._require_length(response, size)
                yield Body(response, 0, size)
        finally:
            response.close()

    def _get(self, start: int, end: int) -> Response:
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        target = self._target
        if target is not None:
            response = self._follow(target, headers)
            if response.status_code not in _GONE:
                return check_status(response)
            response.close()
            self._target = None
        response = self._dxf._base_request("get", self._url, headers=headers, stream=True, allow_redirects=False)
        if response.status_code not in _REDIRECTS:
            return response
        response.close()
        target = location_of(response)
        if urlsplit(self._url).scheme == "https" and urlsplit(target).scheme != "https":
            raise UnsafeRedirect(f"{urlsplit(self._url).netloc} redirects from HTTPS to plain HTTP")
        answer = check_status(self._follow(target, headers))
        self._target = target
        return answer

    def _follow(self, target: str, headers: dict[str, str]) -> Response:
        return self._dxf.pool.send("get", target, headers=headers, stream=True, access=None, allow_redirects=True)

    def _require_length(self, response: Response, size: int) -> None:
        length = response.headers.get("Content-Length")
        if length is not None and length != str(size):
            raise UnexpectedAnswer(f"{self.digest} has {length} bytes here, its manifest says {size}")

    def _last(self, response: Response, start: int, end: int, size: int) -> int:
        """The last byte of a partial answer, which may be of less than was asked for, but of nothing else."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise UnexpectedAnswer(f"{self.digest}: an answer of a range that does not say which")
        first, last, total = match.groups()
        if total not in ("*", str(size)):
            raise UnexpectedAnswer(f"{self.digest} has {total} bytes here, its manifest says {size}")
        if int(first) != start or not start <= int(last) < end:
            raise UnexpectedAnswer(f"{self.digest}: asked for bytes {start}-{end - 1}, got {first}-{last}")
        return int(last)


class Body:
    """The bytes that an answer brings.

    :param start: offset in the blob of the first one
    :param end: offset after the last one
    """

    def __init__(self, response: Response, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._response = response
        self._left = end - start

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes; returns how many, 0 at the end, which may come too early."""
        count = read_into(self._response, buffer[: self._left]) if self._left else 0
        self._left -= count
        return count


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


def verified_manifest(content: bytes, response: Response, reference: str) -> Manifest | Index:
    """Parse what came for *reference*, checked against the digest in it or in the response."""
    stated = reference if ":" in reference else response.headers.get("Docker-Content-Digest")
    document = manifests.load(content)
    content_type = response.headers.get("Content-Type")
    if manifests.kind(document, content_type) in (manifests.SCHEMA1, manifests.SCHEMA1_SIGNED):
        return schema1.parse(content, stated)
    parsed = manifests.parse(content, content_type, stated)
    if stated is not None and parsed.digest != stated:
        raise DXFDigestMismatchError(parsed.digest, stated)
    return parsed


def _status(error: HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


__all__ = ["BlobSource", "Body", "InvalidManifest", "NotModified", "Remote", "UnexpectedAnswer"]
