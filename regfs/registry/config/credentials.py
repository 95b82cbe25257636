"""Who the user is at a registry, from where docker, podman and skopeo keep it; and putting it there.

Sources: docker's ``config.json``; containers-auth.json(5); the protocol of docker-credential-helpers. Asks no registry.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regfs.registry.credential import Credential
from regfs.registry.hub import HUB, is_hub
from regfs.util.xdg import config_home, home

log = logging.getLogger(__name__)

_HELPER_SECONDS = 30
_IDENTITY_TOKEN = "<token>"  # noqa: S105 - the user name by which a helper says that its secret is a refresh token
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_INLINE = "DOCKER_AUTH_CONFIG"
_SCHEME = re.compile(r"^https?://", re.IGNORECASE)
_VERSION = re.compile(r"/v[12]$")
_NO_LOGIN = re.compile(r"not (be )?found|no credentials", re.IGNORECASE)  # how helpers say that they have none


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
        """The credential for *repository* at *host*, from the first place that has one.

        In a place a ``credHelpers`` program goes before ``credsStore``, and that before the ``auths``, as in docker.
        """
        for document in self._documents():
            for found in self._in_document(document, host, repository):
                if found is not None:
                    return found
        return None

    def describe(self, host: str, repository: str = "") -> str:
        """Where a login was looked for, and what was there, for who was refused."""
        places = []
        for path in files(self._environment):
            if not path.exists():
                continue
            has = "has none"
            with suppress(CredentialsUnusable):
                document = _load(path)
                has = "has one" if any(self._in_document(document, host, repository)) else "has none"
            places.append(f"{path} {has}")
        if self._environment.get(_INLINE):
            places.insert(0, f"{_INLINE} is set")
        return (
            f"logins for {host}: {', '.join(places)}" if places else f"no file has logins, as none is there for {host}"
        )

    def _documents(self) -> Iterator[Mapping[str, Any]]:
        inline = self._environment.get(_INLINE)
        if inline:
            try:
                document = json.loads(inline)
            except (ValueError, RecursionError):
                document = None
            if isinstance(document, dict):
                yield document
            else:
                self._warn(f"{_INLINE} is not a credentials file")
        for path in files(self._environment):
            try:
                yield _load(path)
            except CredentialsUnusable as error:
                self._warn(str(error))

    def _in_document(self, document: Mapping[str, Any], host: str, repository: str) -> Iterator[Credential | None]:
        helpers, auths = _by_name(document, "credHelpers"), _by_name(document, "auths")
        names = list(_names(host, repository))
        programs = [(helpers[name], key) for name in names if isinstance(helpers.get(name), str)
                    for key in _server_keys(name)]  # fmt: skip
        store = document.get("credsStore")
        if isinstance(store, str) and store:
            programs += [(store, key) for key in _server_keys(host)]
        for program, key in programs:
            try:
                yield _from_helper(program, self._environment, key)
            except CredentialsUnusable as error:
                self._warn(str(error))
        for name in names:
            if isinstance(auths.get(name), dict):
                yield _from_entry(auths[name])

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


def _by_name(document: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The entries of a section by the names that their keys mean; a key that is that name itself goes first."""
    entries = _section(document, section)
    named: dict[str, Any] = {}
    for key, value in entries.items():
        if value:
            named.setdefault(_name_of(key), value)
    return {**named, **{key: value for key, value in entries.items() if key == _name_of(key) and value}}


def _name_of(key: str) -> str:
    """What a key names: a host, or a namespace of one. In the wild it has a scheme, a version, a slash at its end."""
    name = _SCHEME.sub("", key).rstrip("/")
    name = _VERSION.sub("", name)
    host, slash, below = name.partition("/")
    return f"{HUB if is_hub(host) else host.lower()}{slash}{below}"


def _names(host: str, repository: str) -> Iterator[str]:
    """What may hold the credential, the most specific first (containers-auth.json(5), "auths")."""
    parts = [HUB if is_hub(host) else host.lower(), *(repository.split("/") if repository else ())]
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])


def _server_keys(name: str) -> Iterator[str]:
    """What a helper is asked for: most know a host, some an address."""
    yield _store_key(name)
    if not is_hub(name):
        yield f"https://{name}"


def _store_key(host: str) -> str:
    return _DOCKER_HUB_KEY if is_hub(host) else host


def _from_entry(entry: Mapping[str, Any]) -> Credential | None:
    token = entry.get("identitytoken")
    username, password = _decoded(entry.get("auth"))
    if not username and isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        username, password = entry["username"], entry["password"]
    if isinstance(token, str) and token:
        return _sendable(Credential(username, "", refresh_token=token))
    registry_token = entry.get("registrytoken")
    if isinstance(registry_token, str) and registry_token:
        return _sendable(Credential(username, "", registry_token=registry_token))
    return _sendable(Credential(username, password)) if username else None


def _sendable(credential: Credential) -> Credential | None:
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
        reason = "credentials not found" if _NO_LOGIN.search(done.stdout) else f"status {done.returncode}"
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
        gone = [key for key in list(auths) if _name_of(key) == next(_names(host, "")) and auths.pop(key) is not None]
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
