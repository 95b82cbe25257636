"""The grammar of registry names: hosts, repositories, aliases, digests, and references made of them.

Pure: no requests, no files. Names are checked here before they reach a registry, because a registry answers a bad
name with anything from 400 to 500.

Sources: OCI distribution specification 1.1, "Pulling manifests" (repository and tag); OCI image specification 1.1,
descriptor, "Digests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_MAX_REPOSITORY = 255
DOCKER_HUB = "docker.io"
_OFFICIAL = "library"  # the namespace of Docker Hub that its names leave out; a mount of it shows them all
_DOCKER_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DEFAULT_PORTS = {"": "443", "https": "443", "http": "80"}
FORM = "[http://|https://]HOST[:PORT][/REPOSITORY[:ALIAS|@DIGEST]]"


class InvalidReference(ValueError):
    """A reference that does not follow the grammar; its text is one line that says what to write instead."""


def is_component(name: str) -> bool:
    """Whether *name* may be one part, between slashes, of a repository name."""
    return _COMPONENT.fullmatch(name) is not None


def is_repository(name: str) -> bool:
    """Whether *name* is a repository name (at most 255 characters)."""
    return len(name) <= _MAX_REPOSITORY and all(map(is_component, name.split("/")))


def is_alias(name: str) -> bool:
    """Whether *name* may be an alias (a tag)."""
    return _ALIAS.fullmatch(name) is not None


def is_digest(name: str) -> bool:
    """Whether *name* is a digest of an algorithm that is verified here (sha256, sha512)."""
    algorithm, separator, encoded = name.partition(":")
    return bool(separator) and algorithm in _DIGESTS and _DIGESTS[algorithm].fullmatch(encoded) is not None


def split_name(name: str) -> tuple[str, str] | None:
    """Split ``repository:alias`` or ``repository@digest``.

    :returns: the repository and the alias or digest; None when *name* is neither. The repository may be one
        component or several.
    """
    repository, separator, digest = name.partition("@")
    if separator:
        return (repository, digest) if is_repository(repository) and is_digest(digest) else None
    repository, separator, alias = name.partition(":")
    return (repository, alias) if separator and is_repository(repository) and is_alias(alias) else None


def normal_host(host: str, scheme: str = "") -> str:
    """The one form of a host by which names of it are compared: lower case, no default port, Docker Hub as docker.io.

    :param host: host name or address, and optional port
    :param scheme: ``http`` or ``https``; the default port without one is that of HTTPS
    """
    name, port = _split_port(host.lower())
    if name.startswith("[") and name.endswith("]"):
        try:
            name = f"[{IPv6Address(name[1:-1])}]"
        except ValueError:
            return host.lower()
    if port == _DEFAULT_PORTS.get(scheme):
        port = ""
    if name in _DOCKER_HUB_HOSTS and not port:
        return DOCKER_HUB
    return f"{name}:{port}" if port else name


def full_name(host: str, repository: str) -> str:
    """A repository as the API of its registry names it: ``ubuntu`` of Docker Hub is ``library/ubuntu`` there."""
    is_short = repository not in ("", _OFFICIAL) and "/" not in repository
    is_hub = normal_host(host) == DOCKER_HUB or host.endswith(DOCKER_HUB)
    return f"{_OFFICIAL}/{repository}" if is_short and is_hub else repository


def _split_port(host: str) -> tuple[str, str]:
    name, separator, port = host.rpartition(":")
    return (name, port) if separator and port.isdigit() and "]" not in port else (host, "")


def is_loopback(host: str) -> bool:
    """Whether *host*, with or without a port, is this machine by its name or number. A name that only begins like such
    a number, as ``127.0.0.1.example.com``, is somebody else's."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Reference:
    """Where a registry is, and what in it is meant.

    :param host: host name and optional port
    :param scheme: ``http`` or ``https`` when the reference names one
    :param repository: repository name, if any
    :param alias: alias, or digest, in that repository, if any
    """

    host: str
    scheme: str | None = None
    repository: str | None = None
    alias: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its name or number."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        separator = "@" if self.alias and is_digest(self.alias) else ":"
        return (
            (f"{self.scheme}://" if self.scheme else "")
            + self.host
            + (f"/{self.repository}" if self.repository else "")
            + (f"{separator}{self.alias}" if self.alias else "")
        )


def parse_reference(text: str) -> Reference:
    """Parse ``[http://|https://]HOST[:PORT][/REPOSITORY[:ALIAS|@DIGEST]]``.

    :raises InvalidReference: naming the part that is wrong and the right form
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    elif scheme not in ("http", "https"):
        raise InvalidReference(f"{text!r}: unknown scheme {scheme!r}; the form is {FORM}")
    if "@" in rest.split("/", 1)[0]:
        raise InvalidReference(f"credentials do not belong in a reference; the form is {FORM}")
    host, _, path = rest.rstrip("/").partition("/")
    _require_host(text, host)
    repository, alias = _parse_path(text, path) if path else (None, None)
    if normal_host(host, scheme) == DOCKER_HUB:
        host, repository = DOCKER_HUB, full_name(DOCKER_HUB, repository) if repository else None
    return Reference(host, scheme or None, repository, alias)


def _require_host(text: str, host: str) -> None:
    if not host:
        raise InvalidReference(f"{text!r} names no host; the form is {FORM}")
    if not _is_host(host):
        raise InvalidReference(f"{text!r}: {host!r} is not a host name with an optional port; the form is {FORM}")
    _, separator, port = host.rpartition("]")[2].partition(":")
    if separator and not 0 < int(port) < 65536:
        raise InvalidReference(f"{text!r}: port {port} is out of range (1 to 65535)")


def _is_host(host: str) -> bool:
    if not _HOST.fullmatch(host):
        return False
    if host.startswith("["):
        try:
            IPv6Address(host[1:].partition("]")[0])
        except ValueError:
            return False
    return True


def _parse_path(text: str, path: str) -> tuple[str, str | None]:
    name, at, digest = path.partition("@")
    last = name.rpartition("/")[2]
    if at and ":" in last:
        kept = text.replace(f"/{path}", f"/{name.rpartition(':')[0]}@{digest}")
        raise InvalidReference(f"{text!r} has both an alias and a digest; keep one: {kept}")
    if at and not is_digest(digest):
        raise InvalidReference(f"{text!r}: {digest!r} is not a digest; it is written sha256: and 64 hexadecimal digits")
    alias: str | None = digest if at else None
    if ":" in last:
        name, _, alias = name.rpartition(":")
        if not is_alias(alias):
            raise InvalidReference(
                f"{text!r}: {alias!r} is not an alias; "
                "letters, digits, '.', '_' and '-', at most 128, not first '.' or '-'"
            )
    if not is_repository(name):
        meant = text.replace(f"/{name}", f"/{name.lower()}")
        hint = f"; did you mean {meant!r}?" if is_repository(name.lower()) else ""
        raise InvalidReference(
            f"{text!r}: {name!r} is not a repository name: "
            f"lowercase letters and digits, joined by '.', '_', '-', '/'{hint}"
        )
    return name, alias
