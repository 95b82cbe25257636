"""The names of Docker Hub, which has many. Pure."""

from __future__ import annotations

_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HUB = "docker.io"
_REGISTRY = "registry-1.docker.io"


def is_hub(host: str) -> bool:
    """Whether a host is one of Docker Hub's."""
    return host.lower().removesuffix(":443") in _HOSTS


def registry_host(host: str) -> str:
    """The host that is asked, where *host* is how users write it."""
    return _REGISTRY if is_hub(host) else host


def full_name(host: str, repository: str) -> str:
    """*repository* as Docker Hub wants it: its official images live under ``library/``."""
    hub = is_hub(host) or host.endswith(HUB)
    return f"library/{repository}" if hub and repository and "/" not in repository else repository
