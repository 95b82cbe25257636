"""The one place where failures of HTTP become the errors of :mod:`regfs.registry.api`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from regfs.registry import api
from regfs.registry.http.answers import without_queries
from regfs.registry.http.refusals import error_of
from regfs.registry.http.transport import (
    ConnectionFailed,
    HTTPError,
    RequestException,
    SSLError,
    Timeout,
    TransferCut,
    TransferGarbled,
)

_BY_FAILURE: tuple[tuple[type[RequestException], type[api.RegistryError]], ...] = (  # the first that fits
    (SSLError, api.UntrustedHost),
    (Timeout, api.TimedOut),
    (TransferCut, api.Interrupted),
    (TransferGarbled, api.Interrupted),
    (ConnectionFailed, api.Unreachable),
    (RequestException, api.Untrustworthy),
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise a failure of HTTP as the error of the registry that it means.

    :raises RegistryError: in the place of what was raised
    """
    try:
        yield
    except RequestException as error:
        response = error.response if isinstance(error, HTTPError) else None
        if response is not None:
            raise error_of(response) from None
        kind = next(kind for failure, kind in _BY_FAILURE if isinstance(error, failure))
        raise kind(without_queries(str(error))) from None
