"""A registry as the filesystem uses it: the client core over pooled connections, with ranges and resumable uploads.

Every method may be called from any thread. What a registry does not have is None or an empty answer; what went wrong
is an exception of :mod:`regfs.exceptions` or of ``requests``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlencode

from regfs.exceptions import DXFDigestMismatchError, DXFError, DXFUnauthorizedError
from regfs.oci import manifest as manifests
from regfs.oci import schema1
from regfs.oci.manifest import Index, InvalidManifest, Manifest
from regfs.registry.http.auth import Access
from regfs.registry.http.pooled import PooledDXF, UnexpectedAnswer, read_at_most
from regfs.registry.http.ranges import BlobSource, MirroredSource
from regfs.registry.http.transport import (
    CREATED,
    NOT_FOUND,
    TRANSIENT,
    UNAUTHORIZED,
    HTTPError,
    PooledTransport,
    RequestException,
    Response,
    location_of,
    status_of,
)
from regfs.registry.http.upload import Content, PiecewiseUpload, UploadAhead, upload

NOT_MODIFIED = 304
_MANIFEST_BYTES = 8 * manifests.MAX_BYTES  # 100,000 layers with titles; docker-registry takes fewer, others more
_LISTING = 1000  # names on a page
_REST = 60  # seconds
_PUTS = 3  # times that a manifest is put whose bytes change on the way

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NotModified:
    """The alias still has the digest that was asked about."""


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

    def _dxf(self, repository: str) -> PooledDXF:
        dxf = PooledDXF(self.host, repository, insecure=self._insecure)
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
        dxf = self._dxf("")
        response = dxf._send("get", dxf._base_url)
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
            if isinstance(error, HTTPError) and (status_of(error) >= 500 or status_of(error) in TRANSIENT):
                raise
            return None

    def aliases(self, repository: str) -> list[str] | None:
        """The aliases of a repository; None when the registry does not know it."""
        try:
            return list(self._dxf(repository).list_aliases(batch_size=_LISTING))
        except HTTPError as error:
            if status_of(error) == NOT_FOUND:
                return None
            raise

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of an alias or digest, verified against its digest.

        :param known: a digest; when the alias still has it, the answer is NotModified (RFC 9110, If-None-Match)
        :param mirrored: whether a mirror may answer
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
            if status_of(error) == NOT_FOUND:
                return None
            raise
        with response:
            if response.status_code == NOT_MODIFIED:
                return NotModified()
            content = read_at_most(response, _MANIFEST_BYTES)
        return verified_manifest(content, response, reference)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to an alias; returns its digest.

        :raises DXFDigestMismatchError: when the registry says that it got other bytes, more than once
        """
        digest, headers = manifests.digest_of(content), {"Content-Type": media_type}
        for _ in range(_PUTS):
            answer = self._dxf(repository)._request(
                "put", f"manifests/{reference}", headers=headers, data=content, repeat=True
            )
            stated = answer.headers.get("Docker-Content-Digest", digest)
            if stated == digest or media_type in manifests.SIGNED:
                return digest  # of a signed schema 1 manifest the registry states another one
            log.warning("%s: the registry got another manifest than was sent for %s", self.host, reference)
        raise DXFDigestMismatchError(stated, digest)

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete by alias or by digest; what is not there counts as deleted."""
        try:
            self._dxf(repository)._request("delete", f"manifests/{reference}")
        except HTTPError as error:
            if status_of(error) != NOT_FOUND:
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
            if status_of(error) == NOT_FOUND:
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
        except (HTTPError, DXFUnauthorizedError):
            return False
        if response.status_code == CREATED:
            return True
        self._cancel(dxf, response)
        return False

    def _cancel(self, dxf: PooledDXF, started: Response) -> None:
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


def verified_manifest(content: bytes, response: Response, reference: str) -> Manifest | Index:
    """Parse what came for *reference*, checked against the digest in it or in the response.

    :raises DXFDigestMismatchError: when it is not what that says
    :raises InvalidManifest: when it is no manifest
    :raises DXFUnsupportedSchemaType: when it is one of an unknown type
    """
    stated = reference if ":" in reference else response.headers.get("Docker-Content-Digest")
    document = manifests.load(content)
    content_type = response.headers.get("Content-Type")
    if manifests.kind(document, content_type) in manifests.SIGNED:
        return schema1.parse(content, stated)
    parsed = manifests.parse(content, content_type, stated)
    if stated is not None and parsed.digest != stated:
        raise DXFDigestMismatchError(parsed.digest, stated)
    return parsed
