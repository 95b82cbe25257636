"""The client core: :class:`DXFBase` for a registry, :class:`DXF` for one of its repositories.

Sends only what an operation needs, and hands out what the registry said. Knows no files but those it is told to push.

Source: OCI distribution specification 1.1; Docker registry HTTP API v2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from regfs.registry import manifest as manifests
from regfs.registry.auth import basic, parse_challenges, scopes_for, token_in, token_url
from regfs.registry.bodies import ReportingFile, VerifiedChunks, body_of
from regfs.registry.exceptions import (
    DXFAuthInsecureError,
    DXFDigestMismatchError,
    DXFMountFailed,
    DXFPlatformDataNotFound,
    DXFUnexpectedStatusCodeError,
    DXFUnsupportedSchemaType,
)
from regfs.registry.fetched import FetchedManifest
from regfs.registry.reference import is_digest
from regfs.registry.transport import (
    NOT_FOUND,
    UNAUTHORIZED,
    HTTPError,
    Response,
    Sessions,
    check_status,
    release,
    rewind,
    status_of,
)

Base = TypeVar("Base", bound="DXFBase")
Repository = TypeVar("Repository", bound="DXF")
Auth = Callable[["DXFBase", Response], None]
Blobs = list[str] | list[tuple[str, int]]

_CREATED = 201
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


class DXFBase:
    """Communicates with a registry; has the operations that concern no repository.

    As a context manager, each context entered gets a session of its own, whose connections are shared by its requests
    and closed when the context exits. Outside of a context each request uses an ephemeral session; an iterator of
    :meth:`DXF.pull_blob` that is not read to its end then keeps its connection until it is collected.

    :param host: host name and optional port, such as ``localhost:5000``
    :param auth: called with this object and a response when the registry asks for authentication; it is expected to
        call :meth:`authenticate` with that response
    :param insecure: use HTTP instead of HTTPS
    :param auth_host: host to ask for tokens, instead of the one that the registry names
    :param tlsverify: False to verify no TLS certificate, or the path of a CA bundle to verify with
    :param timeout: seconds to wait for a connection and for an answer; None waits for ever
    """

    def __init__(
        self,
        host: str,
        auth: Auth | None = None,
        insecure: bool = False,
        auth_host: str | None = None,
        tlsverify: bool | str = True,
        timeout: float | None = None,
    ) -> None:
        self._host = host
        self._auth = auth
        self._insecure = insecure
        self._auth_host = auth_host
        self._tlsverify = tlsverify
        self._timeout = timeout
        self._base_url = f"{self._scheme}://{host}/v2/"
        self._repo: str | None = None
        self._token: str | None = None
        self._headers: dict[str, str] = {}
        self._sessions = Sessions()

    @property
    def _scheme(self) -> str:
        return "http" if self._insecure else "https"

    @property
    def token(self) -> str | None:
        """The bearer token in use. :meth:`authenticate` sets it; one obtained before can be set too, while it lasts."""
        return self._token

    @token.setter
    def token(self, value: str) -> None:
        self._token = value
        self._headers = {"Authorization": f"Bearer {value}"}

    def __enter__(self: Base) -> Base:
        self._sessions.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sessions.leave()

    def _send(self, method: str, url: str, **kwargs: Any) -> Response:
        kwargs.setdefault("allow_redirects", True)
        return self._sessions.send(method, url, verify=self._tlsverify, timeout=self._timeout, **kwargs)

    def _base_request(self, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Response:
        """Send a request; when it needs authentication and there is a way, authenticate and send it again.

        :raises DXFUnauthorizedError: for a 401 that stays
        :raises requests.HTTPError: for another error status
        """
        url = urljoin(self._base_url, path)
        response = self._send(method, url, headers={**(headers or {}), **self._headers}, **kwargs)
        if response.status_code == UNAUTHORIZED and self._auth is not None:
            before = self._headers
            self._auth(self, response)
            if self._headers != before:
                release(response)
                rewind(kwargs.get("data"))
                response = self._send(method, url, headers={**(headers or {}), **self._headers}, **kwargs)
        return check_status(response)

    def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        actions: list[str] | None = None,
        response: Response | None = None,
        authorization: str | None = None,
        user_agent: str = "Docker-Client/19.03.2 (linux)",
    ) -> str | None:
        """Authenticate with a user name and password, an authorization header, or as the anonymous user.

        :param username: whom to authenticate as
        :param password: their password
        :param actions: what is to be done, where it is known: ``pull``, ``push``, ``*``
        :param response: the response that the ``auth`` function was called with; it says which actions are needed
        :param authorization: an ``Authorization`` header value
        :param user_agent: the ``User-Agent`` header value
        :returns: the token where the registry uses bearer tokens, else None (HTTP Basic, or nothing needed)
        :raises DXFAuthInsecureError: over plain HTTP
        :raises DXFUnexpectedStatusCodeError: when the registry answers neither success nor 401
        :raises DXFUnauthorizedError: when the token server refuses
        """
        if response is None:
            response = self._send("get", self._base_url)
        if response.ok:
            return None
        if response.status_code != UNAUTHORIZED:
            raise DXFUnexpectedStatusCodeError(response.status_code, UNAUTHORIZED)
        if self._insecure:
            raise DXFAuthInsecureError
        headers = {"User-Agent": user_agent}
        if username is not None and password is not None:
            headers["Authorization"] = basic(username, password)
        elif authorization is not None:
            headers["Authorization"] = authorization
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        if "bearer" not in challenges:
            self._headers = headers
            return None
        scopes = scopes_for(challenges["bearer"], self._repo, actions)
        url = token_url(challenges["bearer"], scopes, self._auth_host)
        self.token = token_in(check_status(self._send("get", url, headers=headers)).json())
        return self.token

    def _pages(self, path: str, key: str, batch_size: int | None, **kwargs: Any) -> Iterator[str]:
        """The names under *key* of a listing and of the pages that its Link headers lead to (RFC 8288).

        A Link that leads back to a page that was read is the end.
        """
        params: dict[str, int] | None = None if batch_size is None else {"n": batch_size}
        following: str | None = path
        seen: set[str] = set()
        while following and following not in seen:
            seen.add(following)
            response = self._base_request("get", following, params=params, **kwargs)
            yield from self._names(response, key)
            link = response.links.get("next", {}).get("url")
            following, params = self._on_this_host(response.url, link) if link else None, None

    def _names(self, response: Response, key: str) -> Iterable[str]:
        """The names on one page of a listing."""
        names: Iterable[str] = response.json()[key] or ()
        return names

    def _on_this_host(self, base: str, link: str) -> str:
        """The target of a Link header: its path alone, so that no header leads credentials to another host."""
        target = urlsplit(urljoin(base, link))
        return urljoin(self._base_url, urlunsplit(("", "", target.path, target.query, "")))

    def list_repos(self, batch_size: int | None = None, iterate: bool = False) -> list[str] | Iterable[str]:
        """List all repositories of the registry.

        :param batch_size: how many names to ask for at a time
        :param iterate: return an iterator over the names instead of a list
        :returns: repository names
        """
        names = self._pages("_catalog", "repositories", batch_size)
        return names if iterate else list(names)

    def api_version_check(self) -> tuple[str, Response]:
        """Check that the registry speaks version 2 of the API.

        :returns: the response's body (JSON) and the response
        """
        response = self._base_request("get", "")
        return response.content.decode("utf-8"), response


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
        self._repo_path = self._full_name(repo)

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

    def _full_name(self, repo: str) -> str:
        """*repo* as Docker Hub wants it: its official images live under ``library/``."""
        return f"library/{repo}" if self._host.endswith("docker.io") and "/" not in repo else repo

    def _request(self, method: str, path: str, **kwargs: Any) -> Response:
        return self._base_request(method, f"{self._repo_path}/{path}", **kwargs)

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
        url = self._upload_url(self._request("post", "blobs/uploads/"), digest)
        if filename is None:
            self._base_request("put", url, data=body_of(digest, () if data is None else data, progress))
        else:
            with open(filename, "rb") as file:
                self._base_request("put", url, data=ReportingFile(digest, file, progress) if progress else file)
        return digest

    def _has_blob(self, digest: str) -> bool:
        try:
            self._request("head", f"blobs/{digest}")
        except HTTPError as error:
            if status_of(error) != NOT_FOUND:
                raise
            return False
        return True

    def _upload_url(self, response: Response, digest: str) -> str:
        """Where to PUT the content of a started upload: its Location, followed exactly, and the digest."""
        location = urlsplit(urljoin(response.url, response.headers["Location"]))
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
        response = self._request("get", f"blobs/{digest}", stream=True)
        chunks = VerifiedChunks(response, digest, _PULL_BYTES if chunk_size is None else chunk_size)
        return (chunks, int(response.headers["Content-Length"])) if size else chunks

    def blob_size(self, digest: str) -> int:
        """Return the size of a blob.

        :param digest: its digest
        :returns: size in bytes
        """
        return int(self._request("head", f"blobs/{digest}").headers["Content-Length"])

    def mount_blob(self, repo: str, digest: str) -> str:
        """Mount a blob from another repository of the registry.

        :param repo: the repository that has it
        :param digest: its digest
        :returns: its digest
        :raises DXFMountFailed: when the registry starts an upload instead
        """
        query = urlencode({"mount": digest, "from": self._full_name(repo)})
        response = self._request("post", f"blobs/uploads/?{query}")
        if response.status_code != _CREATED:
            raise DXFMountFailed
        got = response.headers.get("Docker-Content-Digest", digest)
        if got != digest:
            raise DXFDigestMismatchError(got, digest)
        return digest

    def del_blob(self, digest: str) -> None:
        """Delete a blob.

        :param digest: its digest
        """
        self._request("delete", f"blobs/{digest}")

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
        media_type = stated if stated and isinstance(stated, str) else manifests.kind(document)
        self._request("put", f"manifests/{alias}", data=content, headers={"Content-Type": media_type})

    def set_alias(self, alias: str, *digests: str) -> str:
        """Give a name to a set of blobs.

        :param alias: the name
        :param digests: digests of the blobs, at least one
        :returns: the manifest that says so: schema 2, the first blob doubling as its configuration
        :raises TypeError: when there are no digests
        """
        if not digests:
            raise TypeError("an alias needs at least one digest")
        manifest_json = manifests.schema2((digest, self.blob_size(digest)) for digest in digests)
        self.set_manifest(alias, manifest_json)
        return manifest_json

    def get_manifest_and_response(self, alias: str) -> tuple[str, Response]:
        """Request the manifest of an alias.

        :param alias: the name
        :returns: the manifest (JSON) and the response
        """
        response = self._request("get", f"manifests/{alias}", headers=_ACCEPT)
        return response.content.decode("utf-8"), response

    def head_manifest_and_response(self, alias: str) -> tuple[str, Response]:
        """Request the digest of the manifest of an alias.

        :param alias: the name
        :returns: the digest and the response
        """
        response = self._request("head", f"manifests/{alias}", headers=_ACCEPT)
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
        self._request("delete", f"manifests/{fetched.digest}")
        return deleted

    def list_aliases(self, batch_size: int | None = None, iterate: bool = False) -> Iterable[str] | list[str]:
        """List all aliases of the repository.

        :param batch_size: how many names to ask for at a time
        :param iterate: return an iterator over the names instead of a list
        :returns: alias names
        """
        names = self._pages(f"{self._repo_path}/tags/list", "tags", batch_size)
        return names if iterate else list(names)

    def _fetch(self, reference: str) -> FetchedManifest:
        response = self._request("get", f"manifests/{reference}", headers=_ACCEPT)
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
