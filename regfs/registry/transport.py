"""Sending requests: sessions, TLS, retries, redirects and the one status check. The owner of ``requests``.

Two ways of sending. :class:`Sessions` is what :class:`regfs.DXF` documents: a session per entered context, else one
per request, no retries. :class:`PooledTransport` is the filesystem's: one pool of connections for all threads,
timeouts, retries with backoff and jitter, and tokens renewed in the middle.
"""

from __future__ import annotations

import io
import json
import ssl
import warnings
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests import HTTPError, RequestException, Response
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import SSLError, Timeout
from requests.utils import super_len
from urllib3.exceptions import ConnectTimeoutError, InsecureRequestWarning, NewConnectionError, ReadTimeoutError
from urllib3.exceptions import HTTPError as Interrupted
from urllib3.util import Retry

from regfs.registry.auth import Access, Authorizer, Credential
from regfs.registry.exceptions import DXFUnauthorizedError

__all__ = [
    "ConnectionFailed",
    "HTTPError",
    "Offline",
    "OfflineTransport",
    "PooledTransport",
    "RequestException",
    "Response",
    "SSLError",
    "Sessions",
    "Timeout",
    "TransferCut",
    "UnsafeRedirect",
    "check_status",
    "read_into",
    "release",
    "rewind",
    "super_len",
]

UNAUTHORIZED = 401
NOT_FOUND = 404
TRANSIENT = frozenset({429, 500, 502, 503, 504})
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
_CONNECTIONS = 16  # per host, for all threads of a mount
_RETRY_AFTER_MAX = 20  # seconds; a registry that asks for more has failed
_DOWN = 2.0  # seconds that a host is not tried again after no connection came about
_TOKEN_BYTES = 1 << 20
_ERROR_BYTES = 1 << 16  # an error's body says why; docker-registry's are of some hundred bytes


class UnsafeRedirect(RequestException):
    """A redirect that would give away what HTTPS protects."""


class TransferCut(ConnectionFailed):
    """A body ended before it was whole."""


class Offline(ConnectionFailed):
    """No request is made: trying again is of no use."""


def check_status(response: Response) -> Response:
    """Return a response that is not an error.

    :raises DXFUnauthorizedError: for a 401
    :raises HTTPError: for any other 4xx or 5xx
    """
    if not response.ok:
        release(response)
    if response.status_code == UNAUTHORIZED:
        raise DXFUnauthorizedError
    response.raise_for_status()
    return response


def release(response: Response) -> None:
    """Give the connection of a response back; of a body that was not read yet, the beginning is kept."""
    try:
        kept = response.raw.read(_ERROR_BYTES, decode_content=True)
    except (Interrupted, OSError):
        kept = b""
    response.close()
    response.raw = io.BytesIO(kept)


def read_into(response: Response, buffer: memoryview) -> int:
    """Read the next bytes of a streamed body into *buffer*; returns how many, 0 at the end.

    :raises Timeout: when none came in time
    :raises ConnectionFailed: when the connection was cut
    """
    try:
        return int(response.raw.readinto(buffer) or 0)
    except (ReadTimeoutError, TimeoutError):
        raise Timeout(f"no bytes from {response.url.partition('?')[0]} in time") from None
    except (Interrupted, OSError) as error:
        raise TransferCut(f"the transfer was cut ({type(error).__name__})") from None


class Sessions:
    """The session of each entered context, innermost first; outside of any, one per request."""

    def __init__(self, entered: tuple[requests.Session, ...] = ()) -> None:
        self._entered = list(entered)

    def current(self) -> Sessions:
        """Sessions that go on using the innermost session of these."""
        return Sessions(tuple(self._entered[-1:]))

    def enter(self) -> None:
        """Begin a session; its connections are kept until :meth:`leave`."""
        self._entered.append(requests.Session())

    def leave(self) -> None:
        """Close the innermost session and its connections."""
        self._entered.pop().close()

    def send(self, method: str, url: str, **kwargs: Any) -> Response:
        """Send one request and return its response, whatever its status.

        :raises RequestException: when there was no response
        """
        request = self._entered[-1].request if self._entered else requests.request
        if kwargs.get("verify") is not False:
            return request(method, url, **kwargs)
        with warnings.catch_warnings():  # not verifying was asked for
            warnings.simplefilter("ignore", InsecureRequestWarning)
            return request(method, url, **kwargs)


class _Authorization(AuthBase):
    """Sets the header itself, so that a .netrc never replaces it."""

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header is not None:
            request.headers["Authorization"] = self._header
        return request


class _Session(requests.Session):
    """Follows no redirect from HTTPS to plain HTTP: what is asked for there could be read, and answered, by anyone."""

    def get_redirect_target(self, resp: Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and resp.url.startswith("https:") and urljoin(resp.url, target).startswith("http:"):
            resp.close()
            raise UnsafeRedirect(f"{urlsplit(resp.url).netloc} redirects from HTTPS to plain HTTP")
        return target


class _Adapter(HTTPAdapter):
    """Connections made with one TLS context, whatever ``requests`` would load from its environment."""

    def __init__(self, tls: ssl.SSLContext, retry: Retry) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=_CONNECTIONS, pool_block=True, max_retries=retry)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._tls)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """The context has it all."""


class _Retries(Retry):
    """Repeats whatever may pass, but not a wait for an answer: that was as long as the user wanted to wait."""

    def increment(self, method: Any = None, url: Any = None, response: Any = None, error: Any = None,
                  _pool: Any = None, _stacktrace: Any = None) -> Any:  # fmt: skip
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


class PooledTransport:
    """Requests to one registry from any number of threads.

    Built after a fork, never before: connections and locks do not survive one.

    :param tls: how to speak TLS; by default with the system's certificate authorities
    :param timeout: seconds to wait for a connection, and for each further answer of the registry
    :param retries: how often a request that can safely be repeated is repeated
    :param credential: who to be for a repository
    :param may_send_credentials: whether they may travel on this connection
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        credential: Callable[[str], Credential | None] = lambda repository: None,
        may_send_credentials: bool = True,
    ) -> None:
        self._timeout = (min(timeout, 10.0), timeout)
        self._down: dict[str, float] = {}  # host → time.monotonic() up to when it is taken for unreachable
        self._tls = tls or ssl.create_default_context()
        self._repeating = self._session(retries)
        self._single = self._session(0)
        self.authorizer = Authorizer(self._ask_token, credential, may_send_credentials)
        if self._tls.verify_mode is ssl.CERT_NONE:
            warnings.simplefilter("ignore", InsecureRequestWarning)

    def _session(self, retries: int) -> requests.Session:
        session = _Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        retry = _Retries(
            total=retries,
            connect=min(retries, 1),
            redirect=0,
            other=0,  # TLS failures do not pass by themselves
            allowed_methods=None,
            status_forcelist=TRANSIENT,
            backoff_factor=0.2,
            backoff_jitter=0.2,
            backoff_max=5,
            raise_on_status=False,
            retry_after_max=_RETRY_AFTER_MAX,
        )
        adapter = _Adapter(self._tls, retry)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def send(self, method: str, url: str, *, access: Access | None = None, **kwargs: Any) -> Response:
        """Send one request, with what *access* needs, and return its response, whatever its status.

        Repeated on connection errors, 429 and transient 5xx where a repeat is safe; one more time with a new token
        after a 401. Arguments are those of ``requests.Session.request``; ``repeat`` overrides whether it is safe.

        :param access: what the request needs to be allowed to do; None sends no credentials
        :raises RequestException: when there was no response
        :raises DXFUnauthorizedError: when the registry refused and there is nothing else to offer
        """
        repeat = kwargs.pop("repeat", method.upper() in _REPEATABLE)
        session = self._repeating if repeat else self._single
        kwargs.setdefault("timeout", self._timeout)
        if access is None:
            return self._request(session, method, url, None, **kwargs)
        used = self.authorizer.header(access)
        response = self._request(session, method, url, used, **kwargs)
        if response.status_code != UNAUTHORIZED:
            return response
        response.close()
        header = self.authorizer.renew(access, response.headers.get("WWW-Authenticate", ""), used)
        rewind(kwargs.get("data"))
        return self._request(session, method, url, header, **kwargs)

    def _request(
        self, session: requests.Session, method: str, url: str, authorization: str | None, **kwargs: Any
    ) -> Response:
        """Send, unless the host could not be reached a moment ago: many callers then wait once, not each."""
        host = urlsplit(url).netloc
        if monotonic() < self._down.get(host, 0.0):
            raise ConnectionFailed(f"{host} could not be reached a moment ago")
        try:
            return session.request(method, url, auth=_Authorization(authorization), **kwargs)
        except ConnectionFailed as error:
            if _is_unreachable(error):
                self._down[host] = monotonic() + _DOWN
            raise

    def _ask_token(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> object:
        response = self._request(
            self._repeating, "get" if form is None else "post", url, headers.get("Authorization"),
            data=form, timeout=self._timeout, allow_redirects=False, stream=True,
        )  # fmt: skip
        with check_status(response):
            content = response.raw.read(_TOKEN_BYTES, decode_content=True)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise DXFUnauthorizedError from None

    def close(self) -> None:
        """Close every connection."""
        self._repeating.close()
        self._single.close()


def _is_unreachable(error: ConnectionFailed) -> bool:
    """Whether no connection came about, rather than one that was cut."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


class OfflineTransport(PooledTransport):
    """No network: every request fails at once, as if no registry could be reached."""

    def send(self, method: str, url: str, *, access: Access | None = None, **kwargs: Any) -> Response:
        """Fail.

        :raises Offline: always
        """
        raise Offline("the mount is offline")


def rewind(data: object) -> None:
    """Put a file that has been sent back to its start, for the second try."""
    seek = getattr(data, "seek", None)
    if seek is not None:
        seek(0)
