"""From a reference and the user's options to a registry that answers, or one line that says why not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from regfs.exceptions import DXFAuthInsecureError, DXFError, DXFUnauthorizedError
from regfs.observe.exchange import Observer
from regfs.oci.reference import DOCKER_HUB, Reference, normal_host
from regfs.registry.config.credentials import Step
from regfs.registry.config.mirrors import Mirror
from regfs.registry.http.auth import Credential
from regfs.registry.http.pooled import UnexpectedAnswer
from regfs.registry.http.remote import Remote
from regfs.registry.http.tls import Certificates, CertificateUnusable
from regfs.registry.http.transport import (
    ConnectionFailed,
    OfflineTransport,
    PooledTransport,
    RequestException,
    SSLError,
    Timeout,
)
from regfs.registry.renamed import LocatedRemote, RenamedRemote

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
    :param trail: where a login for a repository of a host was looked for, and what was found; has no secret
    :param observer: told of every request, to mirrors as well
    :param mirrors: registries that may have the same content, asked first when something is read
    :param locations: registries that have the content in the place of the one that names it
    """

    insecure: bool = False
    offline: bool = False
    certificates: Certificates = field(default_factory=Certificates)
    timeout: float = 30.0
    retries: int = 3
    credential: Callable[[str, str], Credential | None] = lambda host, repository: None
    trail: Callable[[str, str], Sequence[Step]] = lambda host, repository: ()
    mirrors: tuple[Mirror, ...] = ()
    locations: tuple[Mirror, ...] = ()
    observer: Observer = lambda exchange: None

    def trail_to(self, reference: Reference) -> Callable[[], Sequence[Step]]:
        """Looks again where the login for a reference was looked for: helper programs are run only to say that."""
        return lambda: self.trail(reference.host, reference.repository or "")


def connect(reference: Reference, connection: Connection) -> Remote:
    """A registry that answered and let the user in.

    Without a scheme, a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only. One that cannot be
    reached is returned as well if it has mirrors, as docker and podman go on to read from those.

    :raises CannotConnect: when none did
    """
    if connection.offline:
        return Remote(_api_host(reference.host), connection.insecure, OfflineTransport())
    if not connection.certificates.verify:
        log.warning("certificates are not verified: whoever is in the network can be %s, and be told its password",
                    reference.host)  # fmt: skip
    mirrors = [_elsewhere(mirror, connection) for mirror in connection.mirrors]
    places = [_elsewhere(place, connection) for place in connection.locations]
    failure: CannotConnect | None = None
    remotes = [
        LocatedRemote(_api_host(reference.host), insecure, _transport(reference, connection, insecure), mirrors, places)
        for insecure in _schemes(reference, connection.insecure)
    ]
    for remote in remotes:
        try:
            remote.check()
        except (RequestException, DXFError) as error:
            remote.close()
            problem = CannotConnect(explain(error, reference.host, connection.trail_to(reference)))
            if not isinstance(error, ConnectionFailed) or "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise problem from None  # something that speaks TLS is there: plain HTTP would not be better
            failure = failure or problem
        else:
            return remote
    if mirrors and failure is not None:
        log.info("%s; its mirrors are asked", failure)
        return remotes[0]
    raise failure or CannotConnect(f"{reference.host} cannot be reached")


def _schemes(reference: Reference, insecure: bool) -> Iterator[bool]:
    """Whether to speak plain HTTP, in the order to try."""
    if insecure or reference.scheme == "http":
        yield True
    elif reference.scheme == "https" or not reference.is_loopback:
        yield False
    else:
        yield from (False, True)


def _elsewhere(place: Mirror, connection: Connection) -> RenamedRemote:
    """A mirror, or a location. It need not answer now; without a scheme a loopback one is spoken to in plain HTTP."""
    reference = place.location
    insecure = reference.scheme == "http" or (reference.scheme is None and reference.is_loopback)
    return RenamedRemote(_api_host(reference.host), insecure, _transport(reference, connection, insecure), place)


def _transport(reference: Reference, connection: Connection, insecure: bool) -> PooledTransport:
    host, named = reference.host, reference.repository or ""
    try:
        tls = connection.certificates.with_certs_d(os.environ, host).context()
    except CertificateUnusable as error:
        raise CannotConnect(str(error)) from None
    return PooledTransport(
        tls=tls,
        timeout=connection.timeout,
        retries=connection.retries,
        credential=lambda repository: connection.credential(host, repository or named),
        may_send_credentials=not insecure or reference.is_loopback,
        observer=connection.observer,
    )


def _api_host(host: str) -> str:
    """The host that has the API: Docker Hub's is not the one of its name."""
    return _DOCKER_HUB_API if normal_host(host) == DOCKER_HUB else host


def explain(error: Exception, host: str, trail: Callable[[], Sequence[Step]] = lambda: ()) -> str:
    """One line that says what is wrong with *host* and what to do.

    :param trail: looks where a login was looked for, and what was found there
    """
    text = str(error)
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{host}: its TLS certificate cannot be verified; name the CA that signed it with --ca-file"
    if isinstance(error, SSLError) and "certificate required" in text:
        return f"{host}: it asks for a client certificate; name one with --client-cert and --client-key"
    if isinstance(error, SSLError):
        return f"{host} does not speak TLS as expected; if it is a plain HTTP registry, use --insecure"
    if isinstance(error, Timeout):
        return f"{host} does not answer in time; check the network, or raise --timeout"
    if isinstance(error, ConnectionFailed):
        return f"{host}: {_connection_problem(text, host)}"
    if isinstance(error, DXFAuthInsecureError):
        return f"{host} asks for a login over plain HTTP, where a password could be read; use HTTPS"
    if isinstance(error, DXFUnauthorizedError):
        advice = f"{host} refuses the login; log in with docker, podman or skopeo login {host}, or give --username"
        steps = "; ".join(map(str, trail()))
        return f"{advice} ({steps})" if steps else advice
    if isinstance(error, UnexpectedAnswer):
        return text
    return f"{host}: {type(error).__name__}: {text}"


def _connection_problem(text: str, host: str) -> str:
    if "NameResolutionError" in text or "Failed to resolve" in text:
        if "." not in host and ":" not in host:
            return "no host of that name is known; a reference begins with the host: localhost:5000/REPOSITORY:ALIAS"
        return "no host of that name is known; check its spelling, or the network"
    if "Connection refused" in text:
        return "the connection is refused; is a registry running there, on that port?"
    return "it cannot be reached; check the network and the port"
