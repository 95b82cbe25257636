"""From a reference and the user's options to a registry that answers, or one line that says why not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from regfs.observe.exchange import Observer
from regfs.oci.reference import DOCKER_HUB, Reference, normal_host
from regfs.registry import mirrored
from regfs.registry.api import (
    Denied,
    InsecureLogin,
    Registry,
    RegistryError,
    TimedOut,
    Unauthenticated,
    Unreachable,
    UntrustedHost,
)
from regfs.registry.config.credentials import Step
from regfs.registry.config.mirrors import Mirror
from regfs.registry.credential import Credential
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.tls import Certificates, CertificateUnusable
from regfs.registry.http.transport import PooledTransport
from regfs.registry.located import LocatedRegistry, Location
from regfs.registry.offline import OfflineRegistry

log = logging.getLogger(__name__)

_DOCKER_HUB_API = "registry-1.docker.io"


class CannotConnect(Exception):
    """There is no registry to work with; the text is one line that says what to do."""


@dataclass(frozen=True)
class Connection:
    """How to reach a registry.

    :param insecure: plain HTTP
    :param offline: make no request; what is cached is all there is
    :param certificates: whom to trust, and who to be, beside what ``certs.d`` directories say
    :param timeout: seconds to wait for a connection, and for each further answer
    :param retries: how often a request that can safely be repeated is repeated
    :param credential: who to be at a repository of a host
    :param observer: told of every request, to mirrors as well
    :param trail: where a login for a repository of a host was looked for, and what was found; has no secret
    :param mirrors: registries that may have the same content, asked first when something is read
    :param locations: registries that have the content in the place of the one that names it
    """

    insecure: bool = False
    offline: bool = False
    certificates: Certificates = field(default_factory=Certificates)
    timeout: float = 30.0
    retries: int = 3
    credential: Callable[[str, str], Credential | None] = lambda host, repository: None
    mirrors: tuple[Mirror, ...] = ()
    locations: tuple[Mirror, ...] = ()
    observer: Observer = lambda exchange: None
    trail: Callable[[str, str], Sequence[Step]] = lambda host, repository: ()

    def trail_to(self, reference: Reference) -> Callable[[], Sequence[Step]]:
        """Looks again where the login for a reference was looked for: helper programs are run only to say that."""
        return lambda: self.trail(reference.host, reference.repository or "")


def connect(reference: Reference, connection: Connection) -> Registry:
    """A registry that answered, whatever it did: what a repository answers is what counts.

    Without a scheme, a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only.

    :raises CannotConnect: when none did
    """
    if connection.offline:
        return OfflineRegistry(_api_host(reference.host))
    if not connection.certificates.verify:
        log.warning("certificates are not verified: whoever is in the network can be %s, and be told its password",
                    reference.host)  # fmt: skip
    mirrors = [mirrored.Mirror(_elsewhere(mirror, connection), mirror) for mirror in connection.mirrors]
    locations = [Location(_elsewhere(place, connection), place) for place in connection.locations]
    failure: CannotConnect | None = None
    away: Registry | None = None  # where other registries may have what it has
    for insecure in _schemes(reference, connection.insecure):
        own = _http(reference, connection, insecure)
        origin = LocatedRegistry(own, locations) if locations else own
        registry = mirrored.MirroredRegistry(origin, mirrors) if mirrors else origin
        try:
            registry.check()
        except (Unreachable, TimedOut) as error:
            problem = CannotConnect(explain(error, reference.host, connection.trail_to(reference)))
            if not isinstance(error, Unreachable) or "CERTIFICATE_VERIFY_FAILED" in str(error):
                registry.close()
                raise problem from None  # something that speaks TLS is there: plain HTTP would not be better
            failure = failure or problem
            if (mirrors or locations) and away is None:
                away = registry
            else:
                own.close()
        except RegistryError as error:  # it answers; what a repository answers counts
            log.debug("%s: the ping is refused: %s", reference.host, error)
            return registry
        else:
            return registry
    if away is not None:
        return away
    raise failure or CannotConnect(f"{reference.host} cannot be reached")


def _schemes(reference: Reference, insecure: bool) -> Iterator[bool]:
    """Whether to speak plain HTTP, in the order to try."""
    if insecure or reference.scheme == "http":
        yield True
    elif reference.scheme == "https" or not reference.is_loopback:
        yield False
    else:
        yield from (False, True)


def _elsewhere(place: Mirror, connection: Connection) -> HttpRegistry:
    """A mirror, or a location. It need not answer now; without a scheme a loopback one is spoken to in plain HTTP."""
    reference = place.location
    insecure = reference.scheme == "http" or (reference.scheme is None and reference.is_loopback)
    authorities = (*connection.certificates.authorities, *place.authorities)
    certificates = replace(connection.certificates, authorities=authorities)
    return _http(reference, replace(connection, certificates=certificates), insecure)


def _http(reference: Reference, connection: Connection, insecure: bool) -> HttpRegistry:
    host = reference.host
    try:
        tls = connection.certificates.with_certs_d(os.environ, host).context()
    except CertificateUnusable as error:
        raise CannotConnect(str(error)) from None
    transport = PooledTransport(
        tls=tls,
        timeout=connection.timeout,
        retries=connection.retries,
        credential=lambda repository: connection.credential(host, repository),
        may_send_credentials=not insecure or reference.is_loopback,
        plain=insecure,
        observer=connection.observer,
    )
    return HttpRegistry(_api_host(host), insecure, transport)


def _api_host(host: str) -> str:
    """The host that has the API: Docker Hub's is not the one of its name."""
    return _DOCKER_HUB_API if normal_host(host) == DOCKER_HUB else host


def explain(error: Exception, host: str, trail: Callable[[], Sequence[Step]] = lambda: ()) -> str:
    """One line that says what is wrong with *host* and what to do.

    :param trail: looks where a login was looked for, and what was found there; asked only for a refusal
    """
    text = str(error)
    if isinstance(error, UntrustedHost) and "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{host}: its TLS certificate cannot be verified; name the CA that signed it with --ca-file"
    if isinstance(error, UntrustedHost) and "certificate required" in text:
        return f"{host}: it asks for a client certificate; name one with --client-cert and --client-key"
    if isinstance(error, UntrustedHost):
        return f"{host} does not speak TLS as expected; if it is a plain HTTP registry, use --insecure"
    if isinstance(error, TimedOut):
        return f"{host} does not answer in time; check the network, or raise --timeout"
    if isinstance(error, Unreachable):
        return f"{host}: {_connection_problem(text, host)}"
    if isinstance(error, InsecureLogin):
        return f"{host} asks for a login over plain HTTP, where a password could be read; use HTTPS"
    if isinstance(error, Unauthenticated):
        return _refused(error, host, trail())
    if isinstance(error, Denied):
        return _with_trail(text, trail())
    if isinstance(error, RegistryError):
        return text
    return f"{host}: {type(error).__name__}: {text}"


def _with_trail(text: str, trail: Sequence[Step]) -> str:
    return f"{text} ({'; '.join(map(str, trail))})" if trail else text


def _refused(error: Unauthenticated, host: str, trail: Sequence[Step]) -> str:
    said = f"it says: {error.reason}" if error.reason else ""
    advice = f"log in with docker, podman or skopeo login {host}, or give --username"
    return _with_trail("; ".join(part for part in (f"{host} refuses the login", advice, said) if part), trail)


def _connection_problem(text: str, host: str) -> str:
    if "NameResolutionError" in text or "Failed to resolve" in text:
        if "." not in host and ":" not in host:
            return "no host of that name is known; a reference begins with the host: localhost:5000/REPOSITORY:ALIAS"
        return "no host of that name is known; check its spelling, or the network"
    if "Connection refused" in text:
        return "the connection is refused; is a registry running there, on that port?"
    return "it cannot be reached; check the network and the port"
