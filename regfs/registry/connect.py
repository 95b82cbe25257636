"""From a reference and the user's options to a registry that answers, or one line that says why not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from regfs.exceptions import DXFAuthInsecureError, DXFError, DXFUnauthorizedError
from regfs.observe.exchange import Observer
from regfs.oci.reference import Reference
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

log = logging.getLogger(__name__)

_DOCKER_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


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
    :param mirrors: registries that may have the same content, asked first when something is read
    """

    insecure: bool = False
    offline: bool = False
    certificates: Certificates = field(default_factory=Certificates)
    timeout: float = 30.0
    retries: int = 3
    credential: Callable[[str, str], Credential | None] = lambda host, repository: None
    mirrors: tuple[Reference, ...] = ()
    observer: Observer = lambda exchange: None


def connect(reference: Reference, connection: Connection) -> Remote:
    """A registry that answered and let the user in.

    Without a scheme, a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only.

    :raises CannotConnect: when none did
    """
    if connection.offline:
        return Remote(_DOCKER_HUB.get(reference.host, reference.host), connection.insecure, OfflineTransport())
    if not connection.certificates.verify:
        log.warning("certificates are not verified: whoever is in the network can be %s, and be told its password",
                    reference.host)  # fmt: skip
    mirrors = [_mirror(mirror, connection) for mirror in connection.mirrors]
    failure: CannotConnect | None = None
    for insecure in _schemes(reference, connection.insecure):
        remote = _remote(reference, connection, insecure, mirrors)
        try:
            remote.check()
        except (RequestException, DXFError) as error:
            remote.close()
            problem = CannotConnect(explain(error, reference.host))
            if not isinstance(error, ConnectionFailed) or "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise problem from None  # something that speaks TLS is there: plain HTTP would not be better
            failure = failure or problem
        else:
            return remote
    raise failure or CannotConnect(f"{reference.host} cannot be reached")


def _schemes(reference: Reference, insecure: bool) -> Iterator[bool]:
    """Whether to speak plain HTTP, in the order to try."""
    if insecure or reference.scheme == "http":
        yield True
    elif reference.scheme == "https" or not reference.is_loopback:
        yield False
    else:
        yield from (False, True)


def _mirror(reference: Reference, connection: Connection) -> Remote:
    """A mirror. It need not answer now; without a scheme a loopback one is spoken to in plain HTTP."""
    insecure = reference.scheme == "http" or (reference.scheme is None and reference.is_loopback)
    return _remote(reference, connection, insecure, ())


def _remote(reference: Reference, connection: Connection, insecure: bool, mirrors: Sequence[Remote]) -> Remote:
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
        observer=connection.observer,
    )
    return Remote(_DOCKER_HUB.get(host, host), insecure, transport, mirrors)


def explain(error: Exception, host: str) -> str:
    """One line that says what is wrong with *host* and what to do."""
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
        return f"{host} refuses the login; log in with docker, podman or skopeo login {host}, or give --username"
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
