"""The one place where errors of regfs become those that the API documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from regfs import exceptions
from regfs.oci import errors as oci
from regfs.registry import api


@contextmanager
def documented() -> Iterator[None]:
    """Raise what the API documents in the place of an error of regfs that it knows; any other one is passed on.

    :raises DXFError: in the place of what was raised
    """
    try:
        yield
    except api.Unauthenticated:
        raise exceptions.DXFUnauthorizedError from None
    except api.InsecureLogin:
        raise exceptions.DXFAuthInsecureError from None
    except oci.UnsupportedManifest as error:
        raise exceptions.DXFUnsupportedSchemaType(error.media_type) from None
    except oci.DigestMismatch as error:
        raise exceptions.DXFDigestMismatchError(error.got, error.expected) from None
    except oci.UnexpectedDigestMethod as error:
        raise exceptions.DXFUnexpectedDigestMethodError(error.got, error.expected) from None
    except oci.UnexpectedKeyType as error:
        raise exceptions.DXFUnexpectedKeyTypeError(error.got, error.expected) from None
    except oci.DisallowedAlgorithm as error:
        raise exceptions.DXFDisallowedSignatureAlgorithmError(error.algorithm) from None
    except oci.SignatureChainUnsupported:
        raise exceptions.DXFSignatureChainNotImplementedError from None
