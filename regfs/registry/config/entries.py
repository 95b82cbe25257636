"""The entries of a login file: which key belongs to which registry, and what an entry says. Pure.

docker cuts every key down to its host. podman has keys for a namespace or a repository, ``HOST/TEAM``, and cuts down
only those with a scheme. Both are read: a key with a scheme, or of the API's version, is the host's; any other path is
a namespace.

Sources: containers-auth.json(5), "auths"; docker's ``config.json``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from regfs.oci.reference import DOCKER_HUB, normal_host
from regfs.registry.credential import Credential

_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_VERSIONS = frozenset({"v1", "v2"})


def helper_key(host: str) -> str:
    """The name by which helpers, and docker's file, know a registry."""
    return _DOCKER_HUB_KEY if normal_host(host) == DOCKER_HUB else host


def namespace_keys(host: str, repository: str) -> Iterator[str]:
    """``HOST/TEAM/TOOL``, then ``HOST/TEAM``: the keys below a host that cover *repository*, most specific first."""
    parts = repository.split("/") if repository else []
    for length in range(len(parts), 0, -1):
        yield "/".join([host, *parts[:length]])


def namespace_of(key: str) -> str | None:
    """A key of a namespace or a repository in its normal form; None if it is a key of a whole registry."""
    host, _, path = key.rstrip("/").partition("/")
    return f"{normal_host(host)}/{path}" if "://" not in key and path else None


def is_of_host(key: str, host: str) -> bool:
    """Whether a key is one of the whole registry *host*, however it is written."""
    scheme, separator, rest = key.partition("://")
    if not separator:
        scheme, rest = "", key
    if scheme not in ("", "http", "https"):
        return False
    named, _, path = rest.rstrip("/").partition("/")
    is_whole = bool(scheme) or not path or path in _VERSIONS
    return is_whole and normal_host(named, scheme) == normal_host(host)


def keys_of_host(section: Mapping[str, object], host: str) -> Iterator[str]:
    """The keys of a section that are of a whole registry: those written as the programs write them come first."""
    exact = [key for key in (helper_key(host), host) if key in section]
    yield from dict.fromkeys([*exact, *(key for key in section if is_of_host(key, host))])


def credential_of(entry: object) -> Credential | None:
    """The login in an entry; None if there is none, as in the empty entries that docker writes beside a helper."""
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    username, password = _decoded(entry.get("auth"))
    if not username and isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        username, password = entry["username"], entry["password"]
    if isinstance(token, str) and token:
        return sendable(Credential(username, "", refresh_token=token))
    token = entry.get("registrytoken")
    if isinstance(token, str) and token:
        return sendable(Credential(username, "", registry_token=token))
    return sendable(Credential(username, password)) if username else None


def sendable(credential: Credential) -> Credential | None:
    """A credential that can be written in bytes: half a surrogate pair, which JSON can escape, cannot."""
    try:
        (credential.username + credential.password + credential.refresh_token + credential.registry_token).encode()
    except UnicodeEncodeError:
        return None
    return credential


def _decoded(value: object) -> tuple[str, str]:
    if not isinstance(value, str):
        return "", ""
    try:
        username, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return username, password.rstrip("\0")
