"""Every exception that the client core raises; the tree is drawn where they are defined."""

from regfs.registry.exceptions import (
    DXFAuthInsecureError,
    DXFDigestMismatchError,
    DXFDigestNotAvailableForSchema1,
    DXFDisallowedSignatureAlgorithmError,
    DXFError,
    DXFMountFailed,
    DXFPlatformDataNotFound,
    DXFSignatureChainNotImplementedError,
    DXFUnauthorizedError,
    DXFUnexpectedDigestMethodError,
    DXFUnexpectedError,
    DXFUnexpectedKeyTypeError,
    DXFUnexpectedStatusCodeError,
    DXFUnsupportedSchemaType,
)

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
