"""How a program reaches a registry and its cache: the options of sessions, named as other fsspec implementations name
theirs.

Loaded by every program that imports :mod:`regfs.fsspec`: the object graph is imported when a session is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regfs.oci.reference import Reference
    from regfs.registry.connect import Connection
    from regfs.registry.credential import Credential
    from regfs.session import Options

SECRETS = ("password", "token")  # options that are never pickled
_PASSWORD = "REGFS_PASSWORD"  # noqa: S105 - a variable's name
_USERNAME = "REGFS_USERNAME"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Options of a session.

    Without ``username``, ``token`` and ``anon``, the login is ``REGFS_USERNAME`` and ``REGFS_PASSWORD``, else what
    docker, podman or ``regfs login`` keep for the registry.

    :param username: log in as this user; without ``password`` the password is ``REGFS_PASSWORD``
    :param password: its password
    :param token: a bearer token, sent to the registry as it is
    :param anon: log in as nobody, whatever logins there are
    :param insecure: plain HTTP
    :param ssl_verify: whether to verify the registry's certificate
    :param ca_file: CA certificates that verify the registry
    :param client_cert: client certificate
    :param client_key: key of the client certificate
    :param timeout: seconds to wait for an answer of the registry
    :param retries: how often to retry transient failures
    :param mirrors: registries to read from first
    :param cache_dir: the cache, which mounts and other processes share; ``~/.cache/regfs``
    :param cache_size: bytes; None is half of the free space
    :param state_dir: the journal; ``~/.local/state/regfs``
    :param ttl: seconds that names and tags are remembered
    :param strict: verify a whole blob before any byte of it is served
    :param platform: in multi-platform tags, the only platform to show, as ``os-arch[-variant]``
    :param repositories: repositories to list where the registry has no catalog
    :param read_only: refuse every change
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    anon: bool = False
    insecure: bool = False
    ssl_verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout: float = 30.0
    retries: int = 3
    mirrors: Iterable[str] = ()
    cache_dir: str | os.PathLike[str] | None = None
    cache_size: int | None = None
    state_dir: str | os.PathLike[str] | None = None
    ttl: float = 30.0
    strict: bool = False
    platform: str | None = None
    repositories: Iterable[str] = ()
    read_only: bool = False

    def __post_init__(self) -> None:
        """Refuse options that contradict each other.

        :raises ValueError: with the names of the options
        """
        if self.anon and (self.username or self.password or self.token):
            raise ValueError("anon=True contradicts username, password and token")
        if self.token and self.password:
            raise ValueError("token and password are two logins; give one")
        if self.password is not None and self.username is None:
            raise ValueError("password needs username")
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key belong together; give both")
        for name in ("mirrors", "repositories"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the names of all options."""
        return frozenset(known.name for known in fields(cls))

    def options(self, reference: Reference) -> Options:
        """Return the options of the object graph for the registry of *reference*."""
        from pathlib import Path

        from regfs.session import Options
        from regfs.util.places import default_cache_dir, default_state_dir

        return Options(
            reference=reference,
            connection=self._connection(reference),
            read_only=self.read_only,
            repositories=tuple(self.repositories),
            ttl=self.ttl,
            cache_dir=Path(os.path.abspath(self.cache_dir)) if self.cache_dir else default_cache_dir(),
            cache_size=self.cache_size,
            state_dir=Path(os.path.abspath(self.state_dir)) if self.state_dir else default_state_dir(),
            strict=self.strict,
            platform=self.platform,
            whole=False,
        )

    def _connection(self, reference: Reference) -> Connection:
        from regfs.oci.reference import parse_reference
        from regfs.registry.config import mirrors
        from regfs.registry.config.credentials import Credentials
        from regfs.registry.connect import Connection

        named = [mirrors.of_reference(parse_reference(mirror)) for mirror in self.mirrors]
        kept = Credentials(_without_password())
        plain = Connection()
        return Connection(
            insecure=self.insecure,
            certificates=replace(
                plain.certificates,
                authorities=(self.ca_file,) if self.ca_file else (),
                client=(self.client_cert, self.client_key) if self.client_cert and self.client_key else None,
                verify=self.ssl_verify,
            ),
            timeout=self.timeout,
            retries=self.retries,
            credential=self._credential(reference, kept.find),
            mirrors=(*named, *mirrors.configured(os.environ, reference.host)),
            locations=tuple(mirrors.locations(os.environ, reference.host)),
            trail=lambda host, repository: kept.look_up(host, repository).trail,
        )

    def _credential(
        self, reference: Reference, kept: Callable[[str, str], Credential | None]
    ) -> Callable[[str, str], Credential | None]:
        given = self._given()

        def credential(host: str, repository: str) -> Credential | None:
            if self.anon:
                return None
            return given if given is not None and host == reference.host else kept(host, repository)

        return credential

    def _given(self) -> Credential | None:
        """Return the login of the options, else of the environment; None where files have to be asked."""
        from regfs.registry.credential import Credential

        if self.token:
            return Credential(self.username or "", "", registry_token=self.token)
        username = self.username or os.environ.get(_USERNAME)
        password = self.password if self.password is not None else os.environ.get(_PASSWORD)
        return Credential(username, password) if username and password is not None else None


def _without_password() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != _PASSWORD}
