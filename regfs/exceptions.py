"""The errors that a registry, or what it sent, can cause.

::

    Exception
    └── DXFError
        ├── DXFAuthInsecureError                  credentials would travel over plain HTTP
        ├── DXFDigestNotAvailableForSchema1       schema 1 has no configuration blob
        ├── DXFDisallowedSignatureAlgorithmError  .alg
        ├── DXFMountFailed                        the registry started an upload instead
        ├── DXFPlatformDataNotFound               .platform
        ├── DXFSignatureChainNotImplementedError  schema 1 signed by an X.509 chain
        ├── DXFUnauthorizedError                  401 after authentication
        ├── DXFUnsupportedSchemaType              a manifest of a media type nobody here knows
        └── DXFUnexpectedError                    .got, .expected
            ├── DXFDigestMismatchError
            ├── DXFUnexpectedDigestMethodError
            ├── DXFUnexpectedKeyTypeError
            └── DXFUnexpectedStatusCodeError

Answers that have no name here (a 404, a 500) are ``requests.HTTPError``.
"""

from __future__ import annotations

__all__ = [
    "DXFAuthInsecureError",
    "DXFDigestMismatchError",
    "DXFDigestNotAvailableForSchema1",
    "DXFDisallowedSignatureAlgorithmError",
    "DXFError",
    "DXFMountFailed",
    "DXFPlatformDataNotFound",
    "DXFSignatureChainNotImplementedError",
    "DXFUnauthorizedError",
    "DXFUnexpectedDigestMethodError",
    "DXFUnexpectedError",
    "DXFUnexpectedKeyTypeError",
    "DXFUnexpectedStatusCodeError",
    "DXFUnsupportedSchemaType",
]


class DXFError(Exception):
    """Base of every error of this module."""


class DXFUnexpectedError(DXFError):
    """A value was not the expected one.

    :param got: the value received
    :param expected: the value that was expected
    """

    what = "value"

    def __init__(self, got: object, expected: object) -> None:
        super().__init__(got, expected)
        self.got = got
        self.expected = expected

    def __str__(self) -> str:
        return f"expected {self.what} {self.expected}, got {self.got}"


class DXFUnexpectedStatusCodeError(DXFUnexpectedError):
    """An HTTP status other than the expected one."""

    what = "status code"


class DXFDigestMismatchError(DXFUnexpectedError):
    """Bytes that do not hash to the digest they were asked by."""

    what = "digest"


class DXFUnexpectedKeyTypeError(DXFUnexpectedError):
    """A signature key of a type or curve that is not supported."""

    what = "key type"


class DXFUnexpectedDigestMethodError(DXFUnexpectedError):
    """A digest of an algorithm that is not supported."""

    what = "digest method"


class DXFDisallowedSignatureAlgorithmError(DXFError):
    """A signature made with an algorithm that proves nothing.

    :param alg: the forbidden algorithm
    """

    def __init__(self, alg: str) -> None:
        super().__init__(alg)
        self.alg = alg

    def __str__(self) -> str:
        return f"disallowed signature algorithm: {self.alg}"


class DXFSignatureChainNotImplementedError(DXFError):
    """A schema 1 manifest signed through a certificate chain."""

    def __str__(self) -> str:
        return "verification with a chain of certificates is not implemented"


class DXFUnauthorizedError(DXFError):
    """The registry refused the credentials, or asked for some and got none."""

    def __str__(self) -> str:
        return "unauthorized"


class DXFAuthInsecureError(DXFError):
    """Credentials were about to travel over a connection that is not HTTPS."""

    def __str__(self) -> str:
        return "can't authenticate over an insecure (non-HTTPS) connection"


class DXFMountFailed(DXFError):
    """The registry did not mount the blob from the other repository."""

    def __str__(self) -> str:
        return "the registry did not mount the blob"


class DXFDigestNotAvailableForSchema1(DXFError):
    """A schema 1 manifest names no configuration blob."""

    def __str__(self) -> str:
        return "a schema 1 manifest has no configuration digest"


class DXFPlatformDataNotFound(DXFError):
    """A multi-platform alias does not have the platform asked for.

    :param platform: the platform, as ``os/arch[/variant]``
    """

    def __init__(self, platform: str) -> None:
        super().__init__(platform)
        self.platform = platform

    def __str__(self) -> str:
        return f"no data for platform {self.platform}"


class DXFUnsupportedSchemaType(DXFError):
    """A manifest of an unknown type.

    :param schema_type: its media type, or what stands in its place
    """

    def __init__(self, schema_type: object = None) -> None:
        super().__init__(schema_type)
        self.schema_type = schema_type

    def __str__(self) -> str:
        return f"unsupported manifest type: {self.schema_type}"
