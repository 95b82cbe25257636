"""The API that programs know: :class:`DXF` for a repository of a registry, :class:`DXFBase` for the registry itself.

Sends only what an operation needs, and hands out what the registry said. Knows no files but those it is told to push.

Source: OCI distribution specification 1.1; Docker registry HTTP API v2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from regfs.dxf.base import Auth, DXFBase
from regfs.dxf.bodies import ReportingFile, VerifiedChunks, body_of
from regfs.dxf.errors import documented
from regfs.dxf.fetched import FetchedManifest
from regfs.exceptions import (
    DXFDigestMismatchError,
    DXFMountFailed,
    DXFPlatformDataNotFound,
    DXFUnsupportedSchemaType,
)
from regfs.oci import manifest as manifests
from regfs.oci.reference import full_name, is_digest
from regfs.registry.http import wire
from regfs.registry.http.transport import CREATED, NOT_FOUND, HTTPError, Response, status_of

__all__ = ["DXF", "DXFBase", "hash_bytes", "hash_file"]

Repository = TypeVar("Repository", bound="DXF")
Blobs = list[str] | list[tuple[str, int]]

_HASH_BYTES = 1 << 20
_PULL_BYTES = 8192
_ACCEPT = {"Accept": manifests.ACCEPT}


def hash_bytes(buf: bytes) -> str:
    """Hash bytes as the registry does (SHA-256).

    :param buf: the bytes
    :returns: ``sha256:`` and the hash in hexadecimal
    """
    return manifests.digest_of(buf)


def hash_file(filename: str) -> str:
    """Hash a file as the registry does (SHA-256).

    :param filename: name of the file
    :returns: ``sha256:`` and the hash in hexadecimal
    :raises OSError: when the file cannot be read
    """
    sha256 = hashlib.sha256()
    with open(filename, "rb") as file:
        while chunk := file.read(_HASH_BYTES):
            sha256.update(chunk)
    return "sha256:" + sha256.hexdigest()


class DXF(DXFBase):
    """Operates on one repository.

    :param repo: name of the repository, usually ``username/reponame``

    The other parameters are those of :class:`DXFBase`.
    """

    def __init__(
        self,
        host: str,
        repo: str,
        auth: Auth | None = None,
        insecure: bool = False,
        auth_host: str | None = None,
        tlsverify: bool | str = True,
        timeout: float | None = None,
    ) -> None:
        super().__init__(host, auth, insecure, auth_host, tlsverify, timeout)
        self._repo = repo
        self._repo_path = full_name(self._host, repo)

    @classmethod
    def from_base(cls: type[Repository], base: DXFBase, repo: str) -> Repository:
        """Make an object for a repository that shares host, settings and session with an existing one.

        :param base: the existing object
        :param repo: name of the repository
        """
        made = cls(base._host, repo, base._auth, base._insecure, base._auth_host, base._tlsverify, base._timeout)
        made._token, made._headers = base._token, base._headers
        made._sessions = base._sessions.current()
        return made

    def push_blob(
        self,
        filename: str | None = None,
        progress: Callable[..., None] | None = None,
        data: Iterable[bytes] | None = None,
        digest: str | None = None,
        check_exists: bool = True,
    ) -> str:
        """Upload a file and return its digest.

        :param filename: file to upload
        :param progress: called as the upload goes on with the digest, the bytes just read, and, for a file, its total
            size in bytes
        :param data: chunks to upload when no file is given; *digest* is needed then
        :param digest: digest of *data*
        :param check_exists: upload only what the repository does not have yet
        :returns: the digest
        :raises TypeError: when there is neither a file nor a digest
        """
        if filename is not None:
            digest = hash_file(filename)
        elif digest is None:
            raise TypeError("digest must be given when filename is not")
        if check_exists and self._has_blob(digest):
            return digest
        started = wire.start_upload(self._base_request, self._repo_path)
        url = self._upload_url(started, digest)
        if filename is None:
            self._base_request("put", url, data=body_of(digest, () if data is None else data, progress))
        else:
            with open(filename, "rb") as file:
                self._base_request("put", url, data=ReportingFile(digest, file, progress) if progress else file)
        return digest

    def _has_blob(self, digest: str) -> bool:
        try:
            self._base_request("head", wire.blob_path(self._repo_path, digest))
        except HTTPError as error:
            if status_of(error) != NOT_FOUND:
                raise
            return False
        return True

    def _upload_url(self, started: Response, digest: str) -> str:
        """Where to PUT the content of a started upload: its Location and the digest, as python-dxf writes them."""
        location = urlsplit(urljoin(started.url, started.headers["Location"]))
        query = [(name, value) for name, value in parse_qsl(location.query, True) if name != "digest"]
        query.append(("digest", digest))
        return urlunsplit((self._scheme, location.netloc, location.path, urlencode(query), ""))

    def pull_blob(
        self, digest: str, size: bool = False, chunk_size: int | None = None
    ) -> Iterable[bytes] | tuple[Iterable[bytes], int]:
        """Download a blob.

        :param digest: its digest
        :param size: return its size too
        :param chunk_size: bytes to download at a time; 8192 when not given
        :returns: an iterator over the content, with *size* a tuple of it and the size in bytes. The iterator raises
            DXFDigestMismatchError at its end when the content does not hash to *digest*.
        """
        response = self._base_request("get", wire.blob_path(self._repo_path, digest), stream=True)
        chunks = VerifiedChunks(response, digest, _PULL_BYTES if chunk_size is None else chunk_size)
        return (chunks, int(response.headers["Content-Length"])) if size else chunks

    def blob_size(self, digest: str) -> int:
        """Return the size of a blob.

        :param digest: its digest
        :returns: size in bytes
        """
        return int(self._base_request("head", wire.blob_path(self._repo_path, digest)).headers["Content-Length"])

    def mount_blob(self, repo: str, digest: str) -> str:
        """Mount a blob from another repository of the registry.

        :param repo: the repository that has it
        :param digest: its digest
        :returns: its digest
        :raises DXFMountFailed: when the registry starts an upload instead
        """
        source = full_name(self._host, repo)
        response = wire.mount_blob(self._base_request, self._repo_path, source, digest)
        if response.status_code != CREATED:
            raise DXFMountFailed
        got = response.headers.get("Docker-Content-Digest", digest)
        if got != digest:
            raise DXFDigestMismatchError(got, digest)
        return digest

    def del_blob(self, digest: str) -> None:
        """Delete a blob.

        :param digest: its digest
        """
        self._base_request("delete", wire.blob_path(self._repo_path, digest))

    def set_manifest(self, alias: str, manifest_json: str) -> None:
        """Give a name to a manifest.

        :param alias: the name
        :param manifest_json: the manifest (JSON), of whatever type it says it is
        :raises InvalidManifest: when it is not a JSON object
        :raises DXFUnsupportedSchemaType: when it does not say, and is of no known type
        """
        content = manifest_json.encode("utf-8")
        document = manifests.load(content)
        stated = document.get("mediaType")
        with documented():
            media_type = stated if stated and isinstance(stated, str) else manifests.kind(document)
        path = wire.manifest_path(self._repo_path, alias)
        self._base_request("put", path, data=content, headers={"Content-Type": media_type})

    def make_manifest(self, *digests: str) -> str:
        """Make the manifest of a set of blobs, without giving it a name.

        :param digests: digests of the blobs, at least one
        :returns: the manifest (JSON): schema 2, the first blob doubling as its configuration
        :raises TypeError: when there are no digests
        """
        if not digests:
            raise TypeError("an alias needs at least one digest")
        return manifests.schema2((digest, self.blob_size(digest)) for digest in digests)

    def set_alias(self, alias: str, *digests: str) -> str:
        """Give a name to a set of blobs.

        :param alias: the name
        :param digests: digests of the blobs, at least one
        :returns: the manifest that says so: schema 2, the first blob doubling as its configuration
        :raises TypeError: when there are no digests
        """
        manifest_json = self.make_manifest(*digests)
        self.set_manifest(alias, manifest_json)
        return manifest_json

    def get_manifest_and_response(self, alias: str) -> tuple[str, Response]:
        """Request the manifest of an alias.

        :param alias: the name
        :returns: the manifest (JSON) and the response
        """
        response = self._base_request("get", wire.manifest_path(self._repo_path, alias), headers=_ACCEPT)
        return response.content.decode("utf-8"), response

    def head_manifest_and_response(self, alias: str) -> tuple[str, Response]:
        """Request the digest of the manifest of an alias.

        :param alias: the name
        :returns: the digest and the response
        """
        response = self._base_request("head", wire.manifest_path(self._repo_path, alias), headers=_ACCEPT)
        return cast(str, response.headers.get("Docker-Content-Digest")), response

    def get_manifest(self, alias: str, platform: str | None = None) -> str | dict[str, str]:
        """Get the manifest of an alias.

        :param alias: the name
        :param platform: of a multi-platform alias, only this platform, as ``os/arch[/variant]``
        :returns: the manifest (JSON); for a multi-platform alias a dict of platform to manifest
        :raises DXFPlatformDataNotFound: when the alias does not have *platform*
        """
        return cast("str | dict[str, str]", self._resolve(self._fetch(alias), platform, FetchedManifest.text))

    def get_alias(
        self,
        alias: str | None = None,
        manifest: str | None = None,
        verify: bool = True,
        sizes: bool = False,
        platform: str | None = None,
    ) -> Blobs | dict[str, Blobs]:
        """Get the blobs of an alias.

        :param alias: the name
        :param manifest: a manifest obtained before, instead of a name
        :param verify: for schema 1, whether to verify its signatures
        :param sizes: return tuples of digest and size in bytes
        :param platform: of a multi-platform alias, only this platform, as ``os/arch[/variant]``
        :returns: digests, or tuples; for a multi-platform alias a dict of platform to those
        :raises DXFPlatformDataNotFound: when the alias does not have *platform*
        :raises DXFDigestMismatchError: when the manifest is not what its digest says
        :raises DXFUnsupportedSchemaType: when the manifest is of an unknown type
        """

        def blobs(fetched: FetchedManifest) -> Blobs:
            return self._sized(fetched, verify) if sizes else fetched.layers(verify)

        return cast("Blobs | dict[str, Blobs]", self._resolve(self._given(alias, manifest), platform, blobs))

    def _sized(self, fetched: FetchedManifest, verify: bool) -> list[tuple[str, int]]:
        digests = fetched.layers(verify)
        if fetched.is_schema1:
            return [(digest, self.blob_size(digest)) for digest in digests]
        return list(zip(digests, fetched.sizes(), strict=True))

    def get_digest(
        self, alias: str | None = None, manifest: str | None = None, platform: str | None = None
    ) -> str | dict[str, str]:
        """Get the digest of the configuration blob of an alias: for one made here, that of its first blob.

        :param alias: the name
        :param manifest: a manifest obtained before, instead of a name
        :param platform: of a multi-platform alias, only this platform, as ``os/arch[/variant]``
        :returns: the digest; for a multi-platform alias a dict of platform to digest
        :raises DXFDigestNotAvailableForSchema1: for a schema 1 manifest
        :raises DXFPlatformDataNotFound: when the alias does not have *platform*
        """
        found = self._resolve(self._given(alias, manifest), platform, FetchedManifest.config)
        return cast("str | dict[str, str]", found)

    def del_alias(self, alias: str) -> list[str] | dict[str, str]:
        """Delete an alias, and with it every other alias of the same manifest. Its blobs stay; see :meth:`del_blob`.

        :param alias: the name
        :returns: digests of the blobs that it had; for a multi-platform alias a dict of platform to the digest of the
            manifest, to be deleted in turn
        """
        fetched = self._fetch(alias)
        if fetched.is_index:
            deleted: list[str] | dict[str, str] = dict(fetched.platforms())
        else:
            deleted = fetched.layers(True)
        self._base_request("delete", wire.manifest_path(self._repo_path, fetched.digest))
        return deleted

    def list_aliases(self, batch_size: int | None = None, iterate: bool = False) -> Iterable[str] | list[str]:
        """List all aliases of the repository.

        :param batch_size: how many names to ask for at a time
        :param iterate: return an iterator over the names instead of a list
        :returns: alias names
        """
        names = self._pages(wire.tags_path(self._repo_path), "tags", batch_size)
        return names if iterate else list(names)

    def _fetch(self, reference: str) -> FetchedManifest:
        response = self._base_request("get", wire.manifest_path(self._repo_path, reference), headers=_ACCEPT)
        digest = reference if is_digest(reference) else response.headers.get("Docker-Content-Digest")
        return FetchedManifest(response.content, digest, response.headers.get("Content-Type"))

    def _given(self, alias: str | None, manifest: str | None) -> FetchedManifest:
        if alias:
            return self._fetch(alias)
        if manifest is None:
            raise TypeError("an alias or a manifest is needed")
        return FetchedManifest(manifest.encode("utf-8"), None, None)

    def _resolve(
        self, fetched: FetchedManifest, platform: str | None, read: Callable[[FetchedManifest], object]
    ) -> object:
        """*read* of a manifest; of an index, that of each platform's manifest or of the one asked for."""
        if not fetched.is_index:
            return read(fetched)
        entries = fetched.platforms()
        if not platform:
            return {name: read(self._child(digest)) for name, digest in entries}
        for name, digest in entries:
            if name == platform:
                return read(self._child(digest))
        raise DXFPlatformDataNotFound(platform)

    def _child(self, digest: str) -> FetchedManifest:
        child = self._fetch(digest)
        if child.is_index:
            raise DXFUnsupportedSchemaType(child.media_type)
        return child
