"""The files in which docker, podman and skopeo keep logins: where they are, reading one, replacing one.

Sources: docker's ``config.json``; containers-auth.json(5). Knows no entry of theirs and asks no registry.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regfs.util.xdg import config_home, home

VARIABLE = "DOCKER_AUTH_CONFIG"


class CredentialsUnusable(Exception):
    """A login file, or a helper program, cannot be used; the text is one line that says which and why."""


@dataclass(frozen=True)
class LoginSource:
    """A login file, or the environment variable that holds one.

    :param place: the file's path, or the variable's name
    :param text: what the variable holds; it has secrets
    :param path: the file, if it is one
    """

    place: str
    text: str | None = None
    path: Path | None = None

    def __repr__(self) -> str:
        return f"LoginSource({self.place!r})"

    def load(self) -> dict[str, Any] | None:
        """The JSON object in it; None if the file does not exist.

        :raises CredentialsUnusable: if it cannot be read, or is no JSON object
        """
        if self.path is not None:
            return load(self.path)
        return _parsed(self.place, self.text or "")


def sources(environment: Mapping[str, str]) -> Iterator[LoginSource]:
    """Where logins are looked for, in this order. Docker, too, reads the variable before its file."""
    if environment.get(VARIABLE):
        yield LoginSource(VARIABLE, text=environment[VARIABLE])
    for path in dict.fromkeys(files(environment)):
        yield LoginSource(os.fspath(path), path=path)


def files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The user's login files, in the order that they are read."""
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json")
    else:
        yield Path("/run/containers", str(os.getuid()), "auth.json")
    yield config_home(environment) / "containers" / "auth.json"
    yield _docker_file(environment)


def file_to_write(environment: Mapping[str, str]) -> Path:
    """``REGISTRY_AUTH_FILE`` where it is set, else docker's."""
    given = environment.get("REGISTRY_AUTH_FILE")
    return Path(given) if given else _docker_file(environment)


def _docker_file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or home(environment) / ".docker") / "config.json"


def load(path: Path) -> dict[str, Any] | None:
    """The JSON object in a login file; None if the file does not exist.

    :raises CredentialsUnusable: if it cannot be read, or is no JSON object
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise CredentialsUnusable(f"{path}: cannot be read as a credentials file ({type(error).__name__})") from None
    return _parsed(os.fspath(path), content)


def _parsed(place: str, content: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CredentialsUnusable(f"{place}: cannot be read as a credentials file ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise CredentialsUnusable(f"{place}: not a credentials file")
    return document


def section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object of the file, such as ``auths``; an empty one if the file has none."""
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file whole, readable by the user alone. A link to it stays a link.

    :raises CredentialsUnusable: when it cannot be written
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            try:
                json.dump(document, file, indent="\t")
                file.flush()
                os.replace(file.name, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(file.name)
    except OSError as error:
        raise CredentialsUnusable(f"{path}: {error.strerror}") from None
