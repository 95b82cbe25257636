"""What any registry can do, whatever it is made of, and the errors that it can answer with.

::

    RegistryError
    ├── NotFound             the registry has no such repository, tag, manifest or blob
    │   └── BlobUnknown      a manifest names a blob that the repository does not have
    ├── Unauthenticated      the registry wants a login, or refuses this one
    ├── Denied               the login is known and may not do this
    ├── InsecureLogin        a password would travel in the clear
    ├── Busy                 the registry asks for patience
    ├── Unsupported          the registry does not do this
    ├── TooLarge             the registry takes no blob, or no manifest, of this size
    ├── NoSpace              the registry's disk, or the user's quota there, is full
    ├── Invalid              the registry refuses what it was sent
    ├── Failed               the registry failed by itself
    ├── Unreachable          there is no connection
    │   └── Offline          no request is made
    ├── TimedOut             the registry did not answer in time
    ├── Interrupted          a transfer ended before it was whole
    ├── UntrustedHost        TLS failed
    └── Untrustworthy        an answer that cannot be believed, or worked with
        └── DigestMismatch   bytes that are not those of their digest

No error names a protocol: HTTP statuses end in :mod:`regfs.registry.http`.
"""

from __future__ import annotations


class RegistryError(Exception):
    """The registry did not do what it was asked for.

    :param message: one line for a person, without secrets and without the queries of addresses
    :param code: the registry's own word, such as ``MANIFEST_UNKNOWN``; empty when it gave none
        (distribution specification, "Error codes")
    :param reason: what the registry itself said, empty when it said nothing
    """

    def __init__(self, message: str = "", *, code: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class NotFound(RegistryError):
    """The registry has no such repository, tag, manifest or blob."""


class BlobUnknown(NotFound):
    """A manifest names a blob that the repository does not have."""


class Unauthenticated(RegistryError):
    """The registry wants a login, or refuses the one that it got."""


class Denied(RegistryError):
    """The login is known and may not do this."""


class InsecureLogin(RegistryError):
    """A password would travel over a connection that others can read."""


class Busy(RegistryError):
    """The registry asks for patience.

    :param retry_after_seconds: how long; None when the registry does not say
    """

    def __init__(
        self, message: str = "", *, code: str = "", reason: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class Unsupported(RegistryError):
    """The registry does not do this."""


class TooLarge(RegistryError):
    """The registry takes no blob, or no manifest, of this size."""


class NoSpace(RegistryError):
    """The registry's disk, or the user's quota there, is full."""


class Invalid(RegistryError):
    """The registry refuses what it was sent."""


class Failed(RegistryError):
    """The registry failed by itself; the same request can succeed later."""


class Unreachable(RegistryError):
    """There is no connection to the registry."""


class Offline(Unreachable):
    """No request is made, as the user asked for: trying again is of no use."""


class TimedOut(RegistryError):
    """The registry did not answer in time."""


class Interrupted(RegistryError):
    """A transfer ended before it was whole."""


class UntrustedHost(RegistryError):
    """TLS failed: nobody vouches for the certificate, it has run out, or it is another host's."""


class Untrustworthy(RegistryError):
    """An answer that cannot be believed, or worked with."""


class DigestMismatch(Untrustworthy):
    """Bytes that are not those of their digest.

    :param got: the digest of the bytes
    :param expected: the digest that was asked for
    """

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(f"the bytes have the digest {got}, not {expected}")
        self.got = got
        self.expected = expected
