"""What any registry can do, whatever it is made of, and the errors that it can answer with.

:class:`Registry` is the port. Every method may be called from any thread. Its implementations are
:mod:`regfs.registry.http`, and :mod:`regfs.registry.mirrored` and :mod:`regfs.registry.offline` around it.

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
    │   ├── UntrustedHost    TLS failed
    │   └── Offline          no request is made
    ├── TimedOut             the registry did not answer in time
    ├── Interrupted          a transfer ended before it was whole
    └── Untrustworthy        an answer that cannot be believed, or worked with
        └── DigestMismatch   bytes that are not those of their digest

No error names a protocol: HTTP statuses end in :mod:`regfs.registry.http`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from regfs.oci.manifest import Index, Manifest

AHEAD_PIECE = 16 << 20  # bytes that one request sends of a file that is still being written


@dataclass(frozen=True)
class NotModified:
    """The tag still has the digest that was asked about."""


class Content(Protocol):
    """Bytes of known length, that can be sent again from any place."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def read(self, size: int = -1) -> bytes: ...

    def seek(self, offset: int) -> None: ...

    def piece(self, start: int, end: int) -> Content:
        """The bytes from *start* up to *end*."""


class Body(Protocol):
    """The bytes that an answer brings: from the offset ``start`` in the blob up to ``end``."""

    start: int
    end: int

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes; returns how many, 0 at the end, which may come too early.

        :raises TimedOut: when none came in time
        :raises Interrupted: when the connection was cut
        """


class Source(Protocol):
    """Where the bytes of one blob come from."""

    def open(self, start: int, end: int, size: int) -> AbstractContextManager[Body]:
        """Ask for the bytes from *start* up to *end* of a blob of *size* bytes.

        What comes may be the whole blob instead: ``Body.start`` and ``Body.end`` say so.

        :raises Untrustworthy: when the answer is of another range, or of a blob of another size
        :raises RegistryError: when the registry refuses, or cannot be reached
        """

    def blame(self) -> bool:
        """Note that what came was not the blob; returns whether somebody else is left to ask."""


class UploadAhead(Protocol):
    """The upload of a large file that is still being written. It never fails: what did not work is pushed anew."""

    def claims(self, written: int) -> bool:
        """Whether there is something to send of a file of which so many bytes are written; :meth:`send` must follow."""

    def send(self, content: Content) -> None:
        """Send the whole pieces of what is written."""

    def finish(self, content: Content, digest: str) -> bool:
        """Send the rest and make it all the blob *digest*; returns whether that was done."""

    def cancel(self) -> None:
        """Let the registry forget what was sent."""


class Registry(Protocol):
    """One registry. What it does not have is None or an empty answer; what went wrong is a :class:`RegistryError`."""

    @property
    def host(self) -> str:
        """Host name and optional port; names the registry."""

    def check(self) -> None:
        """Make sure that this is a registry that lets the user in.

        :raises RegistryError: when it does not
        """

    def close(self) -> None:
        """Close every connection."""

    def repositories(self) -> list[str] | None:
        """The names in the catalog; None where the registry has none, or shows it to nobody."""

    def tags(self, repository: str) -> list[str] | None:
        """The tags of a repository; None when the registry does not know it."""

    def manifest(
        self, repository: str, reference: str, known: str | None = None, *, mirrored: bool = True
    ) -> Manifest | Index | NotModified | None:
        """The manifest of a tag or digest, verified against its digest; None when there is no such tag.

        :param known: a digest; when the tag still has it, the answer is NotModified
        :param mirrored: whether a mirror may answer
        :raises DigestMismatch: when the bytes are not what their digest says
        :raises InvalidManifest: when they are no manifest, or one of an unknown type
        """

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Give a manifest to a tag, or put it by its digest; returns its digest.

        :raises BlobUnknown: when it names a blob that the repository does not have
        :raises DigestMismatch: when the registry says that it got other bytes, more than once
        """

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest, and with it every tag that it has; returns False when the registry says it is not there.

        Some that delete nothing say so, too: then only a look tells.
        """

    def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag and nothing else (distribution specification 1.1, "Deleting tags").

        :raises Unsupported: where the registry does not do that; also Invalid and NotFound mean so
        """

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has a blob; who asks is about to push."""

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob; None when the repository does not have it.

        :raises Untrustworthy: when the registry does not say it
        """

    def source(self, repository: str, digest: str) -> Source:
        """Where the bytes of a blob come from. Makes no request."""

    def expect_push(self, repository: str) -> None:
        """Ask for the right to push from now on, also where something is only looked at. Makes no request."""

    def push_blob(self, repository: str, content: Content | bytes, digest: str) -> None:
        """Upload *content* as the blob *digest*; nothing half is left visible.

        :raises RegistryError: when it could not be done, also after some tries
        """

    def upload_ahead(self, repository: str) -> UploadAhead:
        """An upload that can begin before its content is complete. Makes no request."""

    def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let *repository* have a blob that *source* has, moving no bytes; False when the registry did not do it."""


class RegistryError(Exception):
    """The registry did not do what it was asked for.

    :param message: one line for a person, without secrets and without the queries of addresses
    :param code: the registry's own word, such as ``MANIFEST_UNKNOWN``; empty when it gave none
        (distribution specification, "Error codes")
    :param reason: what the registry itself said, empty when it said nothing
    """

    default = ""  # what it says when nobody knows more

    def __init__(self, message: str = "", *, code: str = "", reason: str = "") -> None:
        super().__init__(message or self.default)
        self.message = message or self.default
        self.code = code
        self.reason = reason


class NotFound(RegistryError):
    """The registry has no such repository, tag, manifest or blob."""


class BlobUnknown(NotFound):
    """A manifest names a blob that the repository does not have."""


class Unauthenticated(RegistryError):
    """The registry wants a login, or refuses the one that it got."""

    default = "unauthorized"


class Denied(RegistryError):
    """The login is known and may not do this."""


class InsecureLogin(RegistryError):
    """A password would travel over a connection that others can read."""

    default = "can't authenticate over an insecure (non-HTTPS) connection"


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


class UntrustedHost(Unreachable):
    """TLS failed: nobody vouches for the certificate, it has run out, or it is another host's."""


class Offline(Unreachable):
    """No request is made, as the user asked for: trying again is of no use."""


class TimedOut(RegistryError):
    """The registry did not answer in time."""


class Interrupted(RegistryError):
    """A transfer ended before it was whole."""


class Untrustworthy(RegistryError):
    """An answer that cannot be believed, or worked with."""


class DigestMismatch(Untrustworthy):
    """Bytes that are not those of their digest.

    :param got: the digest of the bytes
    :param expected: the digest that was asked for
    """

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(f"expected digest {expected}, got {got}")
        self.got = got
        self.expected = expected
