"""Sending requests: sessions, tokens, redirects and the one status check. With ``connections`` it owns ``requests``.

What fails here is an exception of ``requests``, or a refused login; :mod:`regfs.registry.http.errors` translates it.

Two ways of sending. :class:`Sessions` is what :class:`regfs.DXF` documents: a session per entered context, else one
per request, no retries. :class:`PooledTransport` is the filesystem's: one pool of connections for all threads,
timeouts, retries with backoff and jitter, and tokens renewed in the middle.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import warnings
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests import HTTPError, RequestException, Response
from requests.auth import AuthBase
from requests.exceptions import ChunkedEncodingError as TransferGarbled
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import SSLError, Timeout
from requests.utils import super_len
from urllib3.exceptions import ConnectTimeoutError, InsecureRequestWarning, NewConnectionError
from urllib3.exceptions import HTTPError as Interrupted

from regfs.observe.exchange import Exchange, Observer
from regfs.oci.reference import is_loopback
from regfs.registry.api import Unauthenticated
from regfs.registry.credential import Credential
from regfs.registry.http.answers import Unusable, beginning, netloc_of, origin_of, release, target_of, without_queries
from regfs.registry.http.auth import Access, Authorizer
from regfs.registry.http.connections import EXACT_TARGET, Adapter, Retries, without_deadline
from regfs.registry.http.refusals import error_of

__all__ = [
    "ConnectionFailed",
    "HTTPError",
    "PooledTransport",
    "RequestException",
    "Response",
    "SSLError",
    "Sessions",
    "Timeout",
    "TransferCut",
    "TransferGarbled",
    "UnsafeRedirect",
    "check_status",
    "read_into",
    "rewind",
    "status_of",
    "super_len",
]

CREATED = 201
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
TRANSIENT = frozenset({429, 500, 502, 503, 504})
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
_DOWN = 2.0  # seconds that a host is not tried again after no connection came about; longer, when that took longer
_WHOSE = re.compile(r"^\w+\([^)]*\): ")  # urllib3 begins with the connection or the pool that failed
_TOKEN_BYTES = 1 << 20


class UnsafeRedirect(RequestException):
    """A redirect that would give away what HTTPS protects."""


class TransferCut(ConnectionFailed):
    """A body ended before it was whole."""


def check_status(response: Response) -> Response:
    """Return a response that is not an error.

    :raises Unauthenticated: for a 401
    :raises HTTPError: for any other 4xx or 5xx
    """
    if not response.ok:
        release(response)
    if response.status_code == UNAUTHORIZED:
        raise Unauthenticated
    try:
        response.raise_for_status()
    except HTTPError as error:
        error.args = (without_queries(str(error)),)
        raise
    return response


def read_into(response: Response, buffer: memoryview) -> int:
    """Read the next bytes of a streamed body into *buffer*; returns how many, fewer only at the end.

    They come from the socket straight into *buffer*: urllib3 would copy each byte three times on its way.

    :raises Timeout: when none came in time
    :raises ConnectionFailed: when the connection was cut
    """
    answer = cast("http.client.HTTPResponse", response.raw._original_response)
    try:
        count: int = answer.readinto(buffer)
    except TimeoutError:
        raise Timeout(f"no bytes from {response.url.partition('?')[0]} in time") from None
    except (http.client.HTTPException, OSError) as error:
        raise TransferCut(f"the transfer was cut ({type(error).__name__})") from None
    if answer.isclosed():  # at the end of the body
        response.raw.release_conn()
    return count


def status_of(error: HTTPError) -> int:
    """The status of the answer that *error* is about; 0 when there was none."""
    return error.response.status_code if error.response is not None else 0


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
    """Follows no redirect from HTTPS to plain HTTP: what is asked for there could be read, and answered, by anyone.

    Talks to a loopback host without a proxy, as Go's programs do, and takes no credential from a .netrc.
    """

    def get_redirect_target(self, resp: Response) -> str | None:
        """Where to go on. Of the redirect's own body no more is read than of an error's."""
        try:
            target = super().get_redirect_target(resp)
            scheme = "" if target is None else urlsplit(urljoin(resp.url, target)).scheme
        except ValueError:
            resp.close()
            raise Unusable(f"{netloc_of(resp.url)} redirects to what is no address") from None
        if target is not None:
            release(resp)
        if scheme == "http" and resp.url.startswith("https:"):
            raise UnsafeRedirect(f"{netloc_of(resp.url)} redirects from HTTPS to plain HTTP")
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: Response) -> None:
        """Take no credential along to another host."""
        old, new = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> Any:
        if is_loopback(netloc_of(prepared_request.url or "")):
            return {}
        return super().rebuild_proxies(prepared_request, proxies)  # type: ignore[no-untyped-call]

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        settings = super().merge_environment_settings(url, *args, **kwargs)
        return {**settings, "proxies": {}} if is_loopback(netloc_of(url)) else settings


class PooledTransport:
    """Requests to one registry from any number of threads.

    Built after a fork, never before: connections and locks do not survive one.

    :param tls: how to speak TLS; by default with the system's certificate authorities
    :param timeout: seconds to wait for a connection, and for each further answer of the registry
    :param retries: how often a request that can safely be repeated is repeated
    :param credential: who to be for a repository
    :param may_send_credentials: whether they may travel on this connection
    :param plain: whether the registry is spoken to in plain HTTP, whose token server may be, too
    :param observer: told of every request
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        credential: Callable[[str], Credential | None] = lambda repository: None,
        may_send_credentials: bool = True,
        plain: bool = False,
        observer: Observer = lambda exchange: None,
    ) -> None:
        self._observer = observer
        self._timeout = (min(timeout, 10.0), timeout)
        self.pushed: set[str] = set()  # repositories that something is pushed to, where looking is a part of that
        self._down: dict[str, float] = {}  # host → time.monotonic() up to when it is taken for unreachable
        self._tls = tls or ssl.create_default_context()
        self._repeating = self._session(retries)
        self._single = self._session(0)
        self.authorizer = Authorizer(self._ask_token, credential, may_send_credentials, plain)
        if self._tls.verify_mode is ssl.CERT_NONE:
            warnings.simplefilter("ignore", InsecureRequestWarning)

    def _session(self, retries: int) -> requests.Session:
        session = _Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        retry = Retries(
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
        )
        adapter = Adapter(self._tls, retry)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def send(self, method: str, url: str, *, access: Access | None = None, **kwargs: Any) -> Response:
        """Send one request, with what *access* needs, and return its response, whatever its status.

        Repeated on connection errors, 429 and transient 5xx where a repeat is safe; one more time with a new token
        after a 401. Arguments are those of ``requests.Session.request``; ``repeat`` overrides whether it is safe.

        :param access: what the request needs to be allowed to do; None sends no credentials
        :raises RequestException: when there was no response
        :raises Unauthenticated: when the registry refused and there is nothing else to offer
        """
        repeat = kwargs.pop("repeat", method.upper() in _REPEATABLE)
        session = self._repeating if repeat else self._single
        if kwargs.pop("exact", False):
            kwargs["headers"] = {**kwargs.get("headers", {}), EXACT_TARGET: target_of(url)}
        kwargs.setdefault("timeout", self._timeout)
        if access is None:
            return self._request(session, method, url, None, **kwargs)
        used = self.authorizer.ready(access)
        response = self._request(session, method, url, used, **kwargs)
        if response.status_code != UNAUTHORIZED or origin_of(response.url) != origin_of(url):
            return response  # nobody but the registry is believed about whom to ask for a token
        release(response)
        header = self._renewed(response, access, used)
        rewind(kwargs.get("data"))
        return self._request(session, method, url, header, **kwargs)

    def _renewed(self, response: Response, access: Access, used: str | None) -> str:
        """Another header value, after *response* refused the *used* one.

        :raises Unauthenticated: when there is nothing else to offer, with the reason that the registry gives
        """
        try:
            return self.authorizer.renew(access, response.headers.get("WWW-Authenticate", ""), used)
        except Unauthenticated as error:
            refusal = error_of(response)
            raise (refusal if refusal.reason and not error.reason else error) from None

    def _request(
        self, session: requests.Session, method: str, url: str, authorization: str | None, **kwargs: Any
    ) -> Response:
        """Send, unless the host could not be reached a moment ago: many callers then wait once, not each."""
        host = netloc_of(url)
        if monotonic() < self._down.get(host, 0.0):
            raise ConnectionFailed(f"{host} could not be reached a moment ago")
        whole, patient = not kwargs.pop("stream", False), kwargs.pop("patient", False)
        response = self._observed(session, method, url, auth=_Authorization(authorization), **kwargs)
        if whole:
            release(response)  # what is read of such answers is in their headers
        elif patient:
            without_deadline(response)
        return response

    def _observed(self, session: requests.Session, method: str, url: str, **kwargs: Any) -> Response:
        """Send, and tell the observer what came of it."""
        host, began = netloc_of(url), monotonic()
        result, answer = "error", 0
        try:
            response = session.request(method, url, stream=True, **kwargs)
            result, answer = str(response.status_code), _length(response)
        except RequestException as error:
            result = _kind_of(error)
            if isinstance(error, ConnectionFailed) and _is_unreachable(error):
                self._down[host] = monotonic() + max(_DOWN, monotonic() - began)
            error.args = (_plainly(error, host),)
            raise
        except (ValueError, http.client.HTTPException) as error:
            raise Unusable(f"{host}: {type(error).__name__}") from None
        finally:
            data = kwargs.get("data") if result.startswith("2") else None
            sent = 0 if data is None else int(super_len(data))  # type: ignore[no-untyped-call]
            self._observer(Exchange(method.upper(), without_queries(url), result, monotonic() - began, sent, answer))
        return response

    def _ask_token(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> object:
        response = self._request(
            self._repeating, "get" if form is None else "post", url, headers.get("Authorization"),
            data=form, timeout=self._timeout, allow_redirects=form is None, stream=True,
        )  # fmt: skip
        if not response.ok:
            raise error_of(response)
        with response:
            content = beginning(response, _TOKEN_BYTES)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise Unauthenticated from None

    def close(self) -> None:
        """Close every connection."""
        self._repeating.close()
        self._single.close()


def _length(response: Response) -> int:
    """How many bytes its body has, by its headers; 0 when they do not say."""
    text = response.headers.get("Content-Length", "")
    has_body = response.request.method != "HEAD" and text.isascii() and text.isdigit()
    return int(text[:18]) if has_body else 0


def _kind_of(error: RequestException) -> str:
    kinds = ((Timeout, "timeout"), (SSLError, "tls"), (ConnectionFailed, "unreachable"))
    return next((name for kind, name in kinds if isinstance(error, kind)), "error")


def _is_unreachable(error: ConnectionFailed) -> bool:
    """Whether no connection came about, rather than one that was cut."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _plainly(error: RequestException, host: str) -> str:
    """Who could not be reached, and why, for a person: without the names of classes, and without queries."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None) or cause
    if not isinstance(reason, Interrupted):
        return without_queries(str(error))
    told = (str(part).rstrip(".") for part in reason.args if isinstance(part, str | Exception))
    return f"{host}: {without_queries(_WHOSE.sub('', ', '.join(told)))}"


def rewind(data: object) -> None:
    """Put a file that has been sent back to its start, for the second try."""
    seek = getattr(data, "seek", None)
    if seek is not None:
        seek(0)
