"""The one table from exception to errno, and the one place where an error is logged."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from regfs.exceptions import (
    DXFAuthInsecureError,
    DXFDigestMismatchError,
    DXFError,
    DXFUnauthorizedError,
)
from regfs.oci.manifest import InvalidManifest
from regfs.registry.http.transport import (
    ConnectionFailed,
    HTTPError,
    RequestException,
    SSLError,
    Timeout,
    TransferCut,
    without_queries,
)

log = logging.getLogger(__name__)

_BY_STATUS = {
    401: errno.EACCES,
    403: errno.EACCES,
    404: errno.ENOENT,
    405: errno.EPERM,
    413: errno.EFBIG,
    429: errno.EBUSY,
    507: errno.ENOSPC,
}
_BY_TYPE: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (DXFUnauthorizedError, errno.EACCES),
    (DXFAuthInsecureError, errno.EACCES),
    (DXFDigestMismatchError, errno.EIO),
    (DXFError, errno.EIO),
    (InvalidManifest, errno.EIO),
    (SSLError, errno.EPROTO),
    (Timeout, errno.ETIMEDOUT),
    (TransferCut, errno.EIO),
    (ConnectionFailed, errno.EHOSTUNREACH),
    (RequestException, errno.EIO),
    (UnicodeError, errno.EILSEQ),
)
_ORDINARY = frozenset(
    {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENODATA, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG}
)


def errno_of(error: Exception) -> int:
    """The errno that tells a program what *error* tells a person."""
    if isinstance(error, HTTPError) and error.response is not None:
        return _BY_STATUS.get(error.response.status_code, errno.EIO)
    for kind, number in _BY_TYPE:
        if isinstance(error, kind):
            return number
    return error.errno if isinstance(error, OSError) and error.errno else errno.EIO


def told(error: Exception) -> str:
    """What *error* says, without the queries of addresses: redirects are signed there."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return without_queries(text)


@contextmanager
def errors_as_errno(verb: str, path: str | None) -> Iterator[None]:
    """Raise any error as an OSError with an errno, and log it once unless it is an ordinary answer.

    :raises OSError: in the place of whatever was raised
    """
    try:
        yield
    except OSError as error:
        number = errno_of(error)
        if number not in _ORDINARY:
            log.error("%s %s: %s", verb, path, told(error), extra={"errno": number})  # noqa: TRY400 - one line for a person
        raise OSError(number, told(error)) from None
    except Exception as error:
        number = errno_of(error)
        known = isinstance(error, tuple(kind for kind, _ in _BY_TYPE))
        log.error("%s %s: %s", verb, path, told(error), exc_info=not known, extra={"errno": number})  # noqa: TRY400 - a trace only for a defect
        raise OSError(number, told(error)) from None
