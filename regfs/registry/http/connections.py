"""How one host is talked to: its connections, how long an answer may take, and what is tried again.

Knows no registry; what it is told to send, and to whom, is :mod:`regfs.registry.http.transport`'s.
"""

from __future__ import annotations

import http.client
import io
import math
import ssl
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import urljoin

import requests
from requests import Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as Interrupted
from urllib3.exceptions import InvalidHeader, MaxRetryError, ReadTimeoutError
from urllib3.util import Retry

_CONNECTIONS = 16  # per host, for all threads of a mount
_RETRY_AFTER_MAX = 20  # seconds; a registry that asks for more has failed
_PATIENCE = 10  # times the timeout that a whole answer may take, unless it is a range of a blob
_LEAST = 1024  # bytes that have to come in the time of the timeout; less is a registry that hangs
EXACT_TARGET = "Regfs-Exact-Target"  # a header that is not sent
ERROR_BYTES = 1 << 16  # an error's body says why; docker-registry's are of some hundred bytes


class _Patient(io.RawIOBase):
    """The bytes that a connection brings for one answer, as long as they come at all and before a deadline."""

    def __init__(self, raw: io.RawIOBase, timeout: float | None) -> None:
        self._raw = raw
        self._timeout = math.inf if timeout is None else timeout
        self._waited, self._came = 0.0, 0
        self.deadline = monotonic() + _PATIENCE * self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read.

        :raises TimeoutError: when the answer takes too long as a whole, or comes too slowly
        """
        began = monotonic()
        if began > self.deadline:
            raise TimeoutError("the answer does not end")
        count = self._raw.readinto(buffer)
        self._waited += monotonic() - began
        self._came += count or 0
        if self._came >= _LEAST:
            self._waited, self._came = 0.0, 0
        elif self._waited > self._timeout:
            raise TimeoutError("the answer comes too slowly")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that has to end, headers and all."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.patient = _Patient(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self.patient)


class _PlainConnection(HTTPConnection):
    response_class = _Answer


class _TLSConnection(HTTPSConnection):
    response_class = _Answer


class _Exact:
    """Asks for a target as it is written where a header says so: urllib3 would write its escapes in capitals."""

    def _make_request(self, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        headers = kwargs.get("headers")
        if headers and EXACT_TARGET in headers:
            kwargs["headers"] = headers = headers.copy()
            exact = headers.pop(EXACT_TARGET)
            url = exact if url.startswith("/") else urljoin(url, exact)
        return super()._make_request(conn, method, url, *args, **kwargs)  # type: ignore[misc]


class _PlainPool(_Exact, HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(_Exact, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _PlainPool, "https": _TLSPool}


def without_deadline(response: Response) -> None:
    """Let a body take its time, as long as bytes come."""
    patient = getattr(getattr(response.raw, "_original_response", None), "patient", None)
    if patient is not None:
        patient.deadline = math.inf


class Adapter(HTTPAdapter):
    """Connections made with one TLS context, whatever ``requests`` would load from its environment.

    :param tls: how to speak TLS
    :param retry: what is tried again
    """

    def __init__(self, tls: ssl.SSLContext, retry: Retry) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=_CONNECTIONS, pool_block=True, max_retries=retry)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._tls)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """The context has it all."""

    def close(self) -> None:
        """Close every connection that is not in use. urllib3 leaves that to the end of the last answer's life."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - it cannot be iterated over otherwise
            pools[key].close()
        super().close()


class Retries(Retry):
    """Repeats whatever may pass, but not a wait for an answer: that was as long as the user wanted to wait; and not a
    request whose answer asks for a longer wait than that."""

    def increment(self, method: Any = None, url: Any = None, response: Any = None, error: Any = None,
                  _pool: Any = None, _stacktrace: Any = None) -> Any:  # fmt: skip
        if isinstance(error, ReadTimeoutError):
            raise error
        if response is not None and (self.get_retry_after(response) or 0) > _RETRY_AFTER_MAX:
            raise MaxRetryError(_pool, url)
        again = super().increment(method, url, response, error, _pool, _stacktrace)
        if response is not None:
            with suppress(Interrupted, OSError, http.client.HTTPException):
                response.read(ERROR_BYTES, decode_content=False)
            response.close()  # of a longer body nobody waits for the rest
        return again

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds; None where the header says nothing that can be understood."""
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None
