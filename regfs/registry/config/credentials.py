"""Who the user is at a registry, from where docker, podman and skopeo keep it.

The order in one file: an entry of a namespace, a helper of the host, ``credsStore``, an entry of the host. docker asks
its helpers first and so leaves old entries in the file; podman has namespaces, and nothing else that is as specific.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regfs.oci.reference import normal_host
from regfs.registry.config import credential_helper
from regfs.registry.config.entries import credential_of, helper_key, keys_of_host, namespace_keys, namespace_of
from regfs.registry.config.login_files import CredentialsUnusable, LoginSource, section, sources
from regfs.registry.credential import Credential

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One place where a login was looked for. It has no secret and no user name, as some tokens are user names.

    :param place: a file, a variable or a helper program
    :param finding: what was found there
    """

    place: str
    finding: str

    def __str__(self) -> str:
        return f"{self.place}: {self.finding}"


@dataclass(frozen=True)
class LookUp:
    """The credential that was found, if any, and the places that were looked at."""

    credential: Credential | None
    trail: tuple[Step, ...]


class Credentials:
    """What is in the user's files, read anew each time; each thing that is wrong with them is one warning.

    :param environment: the process environment; says where the files are
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._warned: set[str] = set()

    def find(self, host: str, repository: str = "") -> Credential | None:
        """The most specific credential for *repository* at *host*, from the first file that has one."""
        return self.look_up(host, repository).credential

    def look_up(self, host: str, repository: str = "") -> LookUp:
        """As :meth:`find`, with the places that were looked at."""
        trail: list[Step] = []
        for source in sources(self._environment):
            found = self._in_source(source, normal_host(host), repository, trail)
            if found is not None:
                return LookUp(found, tuple(trail))
        return LookUp(None, tuple(trail))

    def _in_source(self, source: LoginSource, host: str, repository: str, trail: list[Step]) -> Credential | None:
        try:
            document = source.load()
        except CredentialsUnusable as error:
            self._warn(error)
            trail.append(Step(source.place, "cannot be read"))
            return None
        if document is None:
            trail.append(Step(source.place, "does not exist"))
            return None
        return (
            self._of_namespace(document, source.place, host, repository, trail)
            or self._of_helpers(document, host, trail)
            or self._of_host(document, source.place, host, trail)
        )

    def _of_namespace(
        self, document: Mapping[str, Any], place: str, host: str, repository: str, trail: list[Step]
    ) -> Credential | None:
        auths = {namespace_of(key): entry for key, entry in section(document, "auths").items()}
        helpers = {namespace_of(key): name for key, name in section(document, "credHelpers").items()}
        for key in namespace_keys(host, repository):
            found = self._ask(helpers[key], key, trail) if key in helpers else credential_of(auths.get(key))
            if found is not None:
                trail.append(Step(place, f"a login for {key}"))
                return found
        return None

    def _of_helpers(self, document: Mapping[str, Any], host: str, trail: list[Step]) -> Credential | None:
        """From the helper that is named for the host, else from the one for every host, as docker chooses."""
        helpers = section(document, "credHelpers")
        for key in keys_of_host(helpers, host):
            return self._ask(helpers[key], key, trail)
        store = document.get("credsStore")
        return self._ask(store, helper_key(host), trail) if store else None

    def _ask(self, name: object, key: str, trail: list[Step]) -> Credential | None:
        if not isinstance(name, str) or not name:
            return None
        # Some programs, jib and older ones of docker, store a login under the registry's URL.
        for stored in dict.fromkeys((key, key if "://" in key else f"https://{key}")):
            try:
                found = credential_helper.get(name, self._environment, stored)
            except CredentialsUnusable as error:
                self._warn(error)
                trail.append(Step(credential_helper.program(name), "failed"))
                return None
            if found is not None:
                trail.append(Step(credential_helper.program(name), f"a login for {stored}"))
                return found
        trail.append(Step(credential_helper.program(name), f"no login for {key}"))
        return None

    def _of_host(self, document: Mapping[str, Any], place: str, host: str, trail: list[Step]) -> Credential | None:
        auths = section(document, "auths")
        keys = list(keys_of_host(auths, host))
        for key in keys:
            found = credential_of(auths[key])
            if found is not None:
                trail.append(Step(place, f"a login for {host}"))
                return found
        trail.append(Step(place, f"an entry for {host} without a login" if keys else f"no entry for {host}"))
        return None

    def _warn(self, error: CredentialsUnusable) -> None:
        text = str(error)
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s; it is left out", text)
