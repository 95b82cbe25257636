"""The one table from exception to errno, and the one place where an error is logged."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from regfs.oci.errors import InvalidManifest
from regfs.registry import api

log = logging.getLogger(__name__)

_BY_TYPE: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (api.Unauthenticated, errno.EACCES),
    (api.Denied, errno.EACCES),
    (api.InsecureLogin, errno.EACCES),
    (api.BlobUnknown, errno.EIO),
    (api.NotFound, errno.ENOENT),
    (api.Unsupported, errno.EPERM),
    (api.TooLarge, errno.EFBIG),
    (api.Busy, errno.EBUSY),
    (api.NoSpace, errno.ENOSPC),
    (api.UntrustedHost, errno.EPROTO),
    (api.TimedOut, errno.ETIMEDOUT),
    (api.Unreachable, errno.EHOSTUNREACH),
    (api.RegistryError, errno.EIO),
    (InvalidManifest, errno.EIO),
    (UnicodeError, errno.EILSEQ),
)
_ORDINARY = frozenset(
    {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ENODATA,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ERANGE,
        errno.ESTALE,
    }
)


def errno_of(error: Exception) -> int:
    """The errno that tells a program what *error* tells a person."""
    for kind, number in _BY_TYPE:
        if isinstance(error, kind):
            return number
    return error.errno if isinstance(error, OSError) and error.errno else errno.EIO


def told(error: Exception) -> str:
    """What *error* says."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def explained(error: Exception) -> tuple[int, str]:
    """The errno of *error*, and what it says."""
    return errno_of(error), told(error)


@contextmanager
def errors_as_errno(verb: str, path: str | None) -> Iterator[None]:
    """Raise any error as an OSError with an errno, and log it once unless it is an ordinary answer.

    :raises OSError: in the place of whatever was raised
    """
    try:
        yield
    except Exception as error:
        number = errno_of(error)
        known = isinstance(error, (OSError, *(kind for kind, _ in _BY_TYPE)))
        if not known or number not in _ORDINARY:
            log.error("%s %s: %s", verb, path, told(error), exc_info=not known, extra={"errno": number})  # noqa: TRY400 - a trace only for a defect
        raise OSError(number, told(error)) from None
