"""A registry over HTTP."""

from __future__ import annotations

import logging

from regfs.oci import manifest as manifests
from regfs.oci.errors import DigestMismatch as ManifestMismatch
from regfs.oci.manifest import Index, Manifest
from regfs.oci.reference import full_name
from regfs.registry.ahead import Ahead
from regfs.registry.api import (
    Content,
    Denied,
    DigestMismatch,
    Invalid,
    NotFound,
    NotModified,
    RegistryError,
    TimedOut,
    Unauthenticated,
    Unreachable,
    Unsupported,
    Untrustworthy,
)
from regfs.registry.http import wire
from regfs.registry.http.auth import Access
from regfs.registry.http.client import Client, read_at_most
from regfs.registry.http.listing import names
from regfs.registry.http.ranges import BlobSource
from regfs.registry.http.refusals import error_of
from regfs.registry.http.transport import CREATED, FORBIDDEN, UNAUTHORIZED, PooledTransport, Response
from regfs.registry.http.upload import PiecewiseUpload, cancel, has_blob, upload

_NOT_MODIFIED = 304
_MANIFEST_BYTES = 8 * manifests.MAX_BYTES  # 100,000 layers with titles; docker-registry takes fewer, others more
_PUTS = 3  # times that a manifest is put whose bytes change on the way

log = logging.getLogger(__name__)


class HttpRegistry:
    """One registry.

    :param host: host name and optional port
    :param insecure: plain HTTP
    :param transport: sends the requests
    """

    def __init__(self, host: str, insecure: bool, transport: PooledTransport) -> None:
        self.host = host
        self._insecure = insecure
        self._transport = transport
        self._pinged = False
        self._refusal: RegistryError | None = None  # of the ping

    def _pushing(self, repository: str) -> Client:
        """Requests of a push, those that only look included."""
        return Client(self.host, repository, insecure=self._insecure, transport=self._transport, pushes=True)

    def expect_push(self, repository: str) -> None:
        """Ask for the right to push from now on, also where something is only looked at."""
        self._transport.pushed.add(full_name(self.host, repository))

    def _client(self, repository: str = "") -> Client:
        return Client(self.host, repository, insecure=self._insecure, transport=self._transport)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def check(self) -> None:
        """Make sure that this is a registry that lets the user in; asks it once.

        :raises RegistryError: when it does not
        """
        if not self._pinged:
            try:
                self._ping()
            except (Unreachable, TimedOut):
                raise
            except RegistryError as error:
                self._refusal = error
            self._pinged = True
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)

    def _ping(self) -> None:
        """Ask for ``/v2/``, where 200 is all that is wanted ("Determining support")."""
        response = self._client().request("get", "", errors=False)
        if response.status_code in (UNAUTHORIZED, FORBIDDEN):
            raise error_of(response)
        has_name = "Docker-Distribution-Api-Version" in response.headers
        is_page = "html" in response.headers.get("Content-Type", "") and not has_name
        if not response.ok or is_page:
            raise Untrustworthy(f"{self.host} answers /v2/ with status {response.status_code}, not as a registry does")

    def repositories(self) -> list[str] | None:
        """The names in the catalog; None where the registry has none, or shows it to nobody."""
        try:
            return names(self._client(), wire.CATALOG_PATH, "repositories", Access(catalog=True))
        except (Unauthenticated, Denied, NotFound, Unsupported, Invalid):
            return None

    def tags(self, repository: str) -> list[str] | None:
        """The tags of a repository; None when the registry does not know it."""
        client = self._client(repository)
        try:
            return names(client, wire.tags_path(client.repository), "tags")
        except NotFound as error:
            if not error.code:
                raise Unsupported(error.message, reason=error.reason) from None  # of a server that has no lists
            return None

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of a tag or digest, verified against its digest; None when there is no such tag.

        :param known: a digest; when the tag still has it, the answer is NotModified (RFC 9110, If-None-Match)
        :raises DigestMismatch: when the bytes are not what their digest says
        :raises InvalidManifest: when they are no manifest, or one of an unknown type
        """
        headers = {"Accept": manifests.ACCEPT_ALL} | ({"If-None-Match": f'"{known}"'} if known else {})
        client = self._client(repository)
        try:
            path = wire.manifest_path(client.repository, reference)
            response = client.request("get", path, headers=headers, stream=True)
        except NotFound:
            return None
        with response:
            if response.status_code == _NOT_MODIFIED:
                return NotModified()
            content = read_at_most(response, _MANIFEST_BYTES)
        return verified_manifest(content, response, reference)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to a tag, or put it by its digest; returns its digest.

        :raises DigestMismatch: when the registry says that it got other bytes, more than once
        """
        digest, headers = manifests.digest_of(content), {"Content-Type": media_type}
        client = self._pushing(repository)
        path = wire.manifest_path(client.repository, reference)
        for _ in range(_PUTS):
            answer = client.request("put", path, headers=headers, data=content, repeat=True)
            stated = answer.headers.get("Docker-Content-Digest", digest)
            if stated == digest or media_type in manifests.SIGNED:
                return digest  # of a signed schema 1 manifest the registry states another one
            log.warning("%s: the registry got another manifest than was sent for %s", self.host, reference)
        raise DigestMismatch(stated, digest)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest, and with it every tag that it has; returns False when it is said not to be there."""
        try:
            self.delete_tag(repository, digest)
        except NotFound:
            return False
        return True

    def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag and nothing else (distribution specification 1.1, "Deleting tags").

        :raises Unsupported: where the registry does not do that; also Invalid and NotFound mean so
        """
        client = self._pushing(repository)
        client.request("delete", wire.manifest_path(client.repository, tag))

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has a blob; who asks is about to push."""
        return has_blob(self._pushing(repository), digest)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob; None when the repository does not have it.

        :raises Untrustworthy: when the registry does not say it
        """
        client = self._client(repository)
        try:
            size = int(client.request("head", wire.blob_path(client.repository, digest)).headers["Content-Length"])
        except NotFound:
            return None
        except (KeyError, ValueError):
            raise Untrustworthy(f"{self.host} does not say how long {digest} is") from None
        if size < 0:
            raise Untrustworthy(f"{self.host} says that {digest} has {size} bytes")
        return size

    def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let *repository* have a blob that *source* has, moving no bytes; False when the registry did not do it."""
        client = self._pushing(repository)
        source = full_name(self.host, source)
        access = Access(client.repository, push=True, source=source)
        try:
            response = wire.mount_blob(client.request, client.repository, source, digest, access=access)
        except (Unreachable, TimedOut):
            raise
        except RegistryError:
            return False
        if response.status_code == CREATED:
            return True
        cancel(client, response)
        return False

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> None:
        """Upload *content* as the blob *digest*.

        :raises RegistryError: when it could not be, also after some tries
        """
        upload(self._pushing(repository), content, digest)

    def upload_ahead(self, repository: str) -> Ahead:
        """An upload that can begin before its content is complete."""
        return Ahead(lambda: PiecewiseUpload(self._pushing(repository)))

    def source(self, repository: str, digest: str) -> BlobSource:
        """Where the bytes of a blob come from."""
        return BlobSource(self._client(repository), digest)


def verified_manifest(content: bytes, response: Response, reference: str) -> Manifest | Index:
    """Parse what came for *reference*, checked against the digest in it or in the response.

    :raises DigestMismatch: when it is not what that says
    :raises InvalidManifest: when it is no manifest, or one of an unknown type
    """
    stated = reference if ":" in reference else response.headers.get("Docker-Content-Digest")
    document = manifests.load(content)
    content_type = response.headers.get("Content-Type")
    if manifests.kind(document, content_type) in manifests.SIGNED:
        return _verified_schema1(content, stated)
    parsed = manifests.parse(content, content_type, stated)
    if stated is not None and parsed.digest != stated:
        raise DigestMismatch(parsed.digest, stated)
    return parsed


def _verified_schema1(content: bytes, stated: str | None) -> Manifest:
    from regfs.oci import schema1

    try:
        return schema1.parse(content, stated)
    except ManifestMismatch as error:
        raise DigestMismatch(error.got, error.expected) from None
