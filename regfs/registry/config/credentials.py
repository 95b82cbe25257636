"""Who the user is at a registry, from where docker, podman and skopeo keep it; and putting it there.

Sources: docker's ``config.json``; containers-auth.json(5); the protocol of docker-credential-helpers. Asks no registry.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regfs.registry.http.auth import Credential
from regfs.util.xdg import config_home, home

log = logging.getLogger(__name__)

_HELPER_SECONDS = 30
_IDENTITY_TOKEN = "<token>"  # noqa: S105 - the user name by which a helper says that its secret is a refresh token
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"


class CredentialsUnusable(Exception):
    """A credentials file, or a helper program, cannot be used; the text is one line that says which and why."""


class Credentials:
    """What is in the user's files, read anew each time; each thing that is wrong with them is one warning.

    :param environment: the process environment; says where the files are
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._warned: set[str] = set()

    def find(self, host: str, repository: str = "") -> Credential | None:
        """The credential for *repository* at *host*, from the first of the files that has one.

        In a file a ``credHelpers`` program goes before the ``auths``, the most specific of them first, and
        ``credsStore`` comes last.
        """
        for path in files(self._environment):
            try:
                found = _in_document(_load(path), self._environment, host, repository)
            except CredentialsUnusable as error:
                self._warn(str(error))
                continue
            if found is not None:
                return found
        return None

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s; it is left out", text)


def files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The user's credentials files, in the order that they are asked."""
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json")
    else:
        yield Path("/run/containers", str(os.getuid()), "auth.json")
    yield config_home(environment) / "containers" / "auth.json"
    yield _docker_file(environment)


def _docker_file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or home(environment) / ".docker") / "config.json"


def _load(path: Path) -> dict[str, Any]:
    """What is in a file; nothing when it is not there.

    :raises CredentialsUnusable: when it cannot be read
    """
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CredentialsUnusable(f"{path}: cannot be read as a credentials file ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise CredentialsUnusable(f"{path}: not a credentials file")
    return document


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _in_document(
    document: Mapping[str, Any], environment: Mapping[str, str], host: str, repository: str
) -> Credential | None:
    helpers, auths = _section(document, "credHelpers"), _section(document, "auths")
    for key in _keys(host, repository):
        if isinstance(helpers.get(key), str):
            return _from_helper(helpers[key], environment, key)
        if isinstance(auths.get(key), dict) and auths[key]:
            return _from_entry(auths[key])
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        return _from_helper(store, environment, _store_key(host))
    return None


def _keys(host: str, repository: str) -> Iterator[str]:
    """The keys that may hold the credential, the most specific first (containers-auth.json(5), "auths")."""
    parts = [host, *(repository.split("/") if repository else ())]
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])
    yield f"https://{host}"
    yield f"https://{host}/v1/"
    yield f"https://{host}/v2/"
    if host in _DOCKER_HUB:
        yield from (_DOCKER_HUB_KEY, "docker.io")


def _store_key(host: str) -> str:
    return _DOCKER_HUB_KEY if host in _DOCKER_HUB else host


def _from_entry(entry: Mapping[str, Any]) -> Credential | None:
    token = entry.get("identitytoken")
    username, password = _decoded(entry.get("auth"))
    if not username and isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        username, password = entry["username"], entry["password"]
    if isinstance(token, str) and token:
        return _sendable(Credential(username, "", refresh_token=token))
    return _sendable(Credential(username, password)) if username else None


def _sendable(credential: Credential) -> Credential | None:
    """A credential that can be written in bytes: half a surrogate pair, which JSON can escape, cannot."""
    try:
        (credential.username + credential.password + credential.refresh_token).encode()
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


def _from_helper(name: str, environment: Mapping[str, str], key: str) -> Credential | None:
    try:
        answer = json.loads(_helped(name, "get", environment, key))
        username, secret = answer["Username"], answer["Secret"]
    except CredentialsUnusable as error:
        if "credentials not found" not in str(error):
            raise
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise CredentialsUnusable(f"docker-credential-{name} does not answer as a credential helper does")
    if username == _IDENTITY_TOKEN:
        return _sendable(Credential("", "", refresh_token=secret))
    return _sendable(Credential(username, secret)) if username else None


def _helped(name: str, verb: str, environment: Mapping[str, str], text: str) -> str:
    """Run a helper; what it is told goes through its standard input, never its arguments.

    :raises CredentialsUnusable: when it cannot be run, or says no
    """
    program = f"docker-credential-{name}"
    if "/" in name:
        raise CredentialsUnusable(f"{program}: not the name of a helper")
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, errors="replace",
            timeout=_HELPER_SECONDS, env=dict(environment), check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise CredentialsUnusable(f"{program} cannot be run ({type(error).__name__}); is it installed?") from None
    if done.returncode:
        reason = "credentials not found" if "not found" in done.stdout else f"status {done.returncode}"
        raise CredentialsUnusable(f"{program} {verb}: {reason}")
    return done.stdout


def store(environment: Mapping[str, str], host: str, credential: Credential) -> str:
    """Keep a credential where docker and podman find it; returns where that is.

    :raises CredentialsUnusable: when it cannot be kept there
    """
    path = _file_to_write(environment)
    document = _load(path)
    helper = _helper_of(document, host)
    if helper is not None:
        text = {"ServerURL": _store_key(host), "Username": credential.username, "Secret": credential.password}
        _helped(helper, "store", environment, json.dumps(text))
        return f"docker-credential-{helper}"
    encoded = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
    auths = {**_section(document, "auths"), _store_key(host): {"auth": encoded}}
    _write(path, {**document, "auths": auths})
    return os.fspath(path)


def erase(environment: Mapping[str, str], host: str) -> list[str]:
    """Forget the credential of *host* everywhere; returns the places that had one.

    :raises CredentialsUnusable: when a place cannot be changed
    """
    places = []
    for path in files(environment):
        document = _load(path)
        helper = _helper_of(document, host)
        if helper is not None:
            with suppress(CredentialsUnusable):
                _helped(helper, "erase", environment, _store_key(host))
                places.append(f"docker-credential-{helper}")
        auths = dict(_section(document, "auths"))
        gone = [key for key in (host, _store_key(host)) if auths.pop(key, None) is not None]
        if gone:
            _write(path, {**document, "auths": auths})
            places.append(os.fspath(path))
    return places


def _helper_of(document: Mapping[str, Any], host: str) -> str | None:
    """The program that keeps the credential of *host*; None where the file itself does."""
    helper = _section(document, "credHelpers").get(host) or document.get("credsStore")
    return helper if isinstance(helper, str) and helper else None


def _file_to_write(environment: Mapping[str, str]) -> Path:
    """``REGISTRY_AUTH_FILE`` where it is set, else docker's."""
    given = environment.get("REGISTRY_AUTH_FILE")
    return Path(given) if given else _docker_file(environment)


def _write(path: Path, document: Mapping[str, Any]) -> None:
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
