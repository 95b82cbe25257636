"""From a reference and the user's options to a registry that answers, or one line that says why not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from regfs.observe.exchange import Observer
from regfs.oci.reference import Reference
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
from regfs.registry.config.mirrors import Mirror
from regfs.registry.credential import Credential
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.tls import Certificates, CertificateUnusable
from regfs.registry.http.transport import PooledTransport
from regfs.registry.hub import registry_host
from regfs.registry.offline import OfflineRegistry

log = logging.getLogger(__name__)


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
    :param logins: says where a login of a repository of a host was looked for, and what was there
    :param mirrors: registries that may have the same content, asked first when something is read
    """

    insecure: bool = False
    offline: bool = False
    certificates: Certificates = field(default_factory=Certificates)
    timeout: float = 30.0
    retries: int = 3
    credential: Callable[[str, str], Credential | None] = lambda host, repository: None
    mirrors: tuple[Mirror, ...] = ()
    observer: Observer = lambda exchange: None
    logins: Callable[[str, str], str] = lambda host, repository: ""


def connect(reference: Reference, connection: Connection) -> Registry:
    """A registry that answered, whatever it did: what a repository answers is what counts.

    Without a scheme, a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only.

    :raises CannotConnect: when none did
    """
    if connection.offline:
        return OfflineRegistry(registry_host(reference.host))
    if not connection.certificates.verify:
        log.warning("certificates are not verified: whoever is in the network can be %s, and be told its password",
                    reference.host)  # fmt: skip
    mirrors = [_mirror(mirror, connection) for mirror in connection.mirrors]
    failure: CannotConnect | None = None
    away: Registry | None = None  # where its mirrors may have what it has
    for insecure in _schemes(reference, connection.insecure):
        origin = _http(reference, connection, insecure)
        registry = mirrored.MirroredRegistry(origin, mirrors) if mirrors else origin
        try:
            registry.check()
        except (Unreachable, TimedOut) as error:
            problem = CannotConnect(explain(error, reference.host))
            if not isinstance(error, Unreachable) or "CERTIFICATE_VERIFY_FAILED" in str(error):
                registry.close()
                raise problem from None  # something that speaks TLS is there: plain HTTP would not be better
            failure = failure or problem
            if mirrors and away is None:
                away = registry
            else:
                registry.close()
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


def _mirror(mirror: Mirror, connection: Connection) -> mirrored.Mirror:
    """A mirror. It need not answer now; without a scheme a loopback one is spoken to in plain HTTP."""
    reference = mirror.reference
    insecure = reference.scheme == "http" or (reference.scheme is None and reference.is_loopback)
    authorities = (*connection.certificates.authorities, *mirror.authorities)
    certificates = replace(connection.certificates, authorities=authorities)
    registry = _http(reference, replace(connection, certificates=certificates), insecure)
    return mirrored.Mirror(registry, mirror.below, mirror.path)


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
    return HttpRegistry(registry_host(host), insecure, transport)


def explain(error: Exception, host: str, logins: str = "") -> str:
    """One line that says what is wrong with *host* and what to do.

    :param logins: where a login was looked for, and what was there
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
        return _refused(error, host, logins)
    if isinstance(error, Denied):
        return "; ".join(part for part in (text, logins) if part)
    if isinstance(error, RegistryError):
        return text
    return f"{host}: {type(error).__name__}: {text}"


def _refused(error: Unauthenticated, host: str, logins: str) -> str:
    said = f"it says: {error.reason}" if error.reason else ""
    advice = f"log in with docker, podman or skopeo login {host}, or give --username"
    return "; ".join(part for part in (f"{host} refuses the login", advice, said, logins) if part)


def _connection_problem(text: str, host: str) -> str:
    if "NameResolutionError" in text or "Failed to resolve" in text:
        if "." not in host and ":" not in host:
            return "no host of that name is known; a reference begins with the host: localhost:5000/REPOSITORY:ALIAS"
        return "no host of that name is known; check its spelling, or the network"
    if "Connection refused" in text:
        return "the connection is refused; is a registry running there, on that port?"
    return "it cannot be reached; check the network and the port"
