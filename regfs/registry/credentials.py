"""Who the user is at a registry, from where docker and podman keep it. Reads files; asks nobody.

Sources: docker's ``config.json`` (``auths``); containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from regfs.registry.auth import Credential

log = logging.getLogger(__name__)


def from_files(environment: Mapping[str, str], host: str, repository: str = "") -> Credential | None:
    """The credential for *repository* at *host* that the first of the user's files holds; None when none does."""
    for path in _files(environment):
        found = _in_file(path, host, repository)
        if found is not None:
            return found
    return None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    if "REGISTRY_AUTH_FILE" in environment:
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if "XDG_RUNTIME_DIR" in environment:
        yield Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json")
    docker = environment.get("DOCKER_CONFIG")
    yield Path(docker if docker else Path.home() / ".docker") / "config.json"


def _in_file(path: Path, host: str, repository: str) -> Credential | None:
    try:
        entries = json.loads(path.read_bytes()).get("auths", {})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        log.warning(
            "%s: cannot be read as a credentials file (%s); it is left out", os.fspath(path), type(error).__name__
        )
        return None
    for name in _names(host, repository):
        if isinstance(entries, dict) and isinstance(entries.get(name), dict):
            return _decoded(entries[name].get("auth"))
    return None


def _names(host: str, repository: str) -> Iterator[str]:
    """The keys that hold the credential, the most specific first (containers-auth.json(5), "auths")."""
    parts = [host, *(repository.split("/") if repository else ())]
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])
    yield f"https://{host}"
    yield f"https://{host}/v1/"


def _decoded(value: object) -> Credential | None:
    if not isinstance(value, str):
        return None
    try:
        username, separator, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Credential(username, password) if separator else None
