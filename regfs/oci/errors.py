"""What can be wrong with a manifest.

::

    InvalidManifest                  bytes that claim to be a manifest and are not one
    ├── UnsupportedManifest          of a media type that nobody here knows
    ├── DigestMismatch               they do not hash to the digest that they go by
    ├── UnexpectedDigestMethod       a digest of another algorithm than sha256
    ├── UnexpectedKeyType            signed with another key than EC P-256
    ├── DisallowedAlgorithm          signed with an algorithm that proves nothing
    └── SignatureChainUnsupported    signed through a chain of certificates
"""

from __future__ import annotations


class InvalidManifest(ValueError):
    """Bytes that claim to be a manifest and are not one."""


class UnsupportedManifest(InvalidManifest):
    """A manifest of a type that nobody here knows.

    :param media_type: its media type, or what stands in its place
    """

    def __init__(self, media_type: object = None) -> None:
        super().__init__(f"unsupported manifest type: {media_type}")
        self.media_type = media_type


class Unexpected(InvalidManifest):
    """A value was not the expected one.

    :param got: the value received
    :param expected: the value that was expected
    """

    what = "value"

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(f"expected {self.what} {expected}, got {got}")
        self.got = got
        self.expected = expected


class DigestMismatch(Unexpected):
    """Bytes that do not hash to the digest that they go by."""

    what = "digest"


class UnexpectedDigestMethod(Unexpected):
    """A digest of another algorithm than sha256."""

    what = "digest method"


class UnexpectedKeyType(Unexpected):
    """Signed with a key of a type or curve that is not supported."""

    what = "key type"


class DisallowedAlgorithm(InvalidManifest):
    """Signed with an algorithm that proves nothing.

    :param algorithm: the forbidden algorithm
    """

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"disallowed signature algorithm: {algorithm}")
        self.algorithm = algorithm


class SignatureChainUnsupported(InvalidManifest):
    """Signed through a chain of certificates."""

    def __init__(self) -> None:
        super().__init__("verification with a chain of certificates is not implemented")
