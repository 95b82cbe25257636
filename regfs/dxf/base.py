"""A registry as programs know it: sessions, authentication, and what concerns no repository.

Source: OCI distribution specification 1.1; Docker registry HTTP API v2 and its token authentication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urljoin

from regfs.dxf.errors import documented
from regfs.exceptions import DXFAuthInsecureError, DXFUnexpectedStatusCodeError
from regfs.registry.http import wire
from regfs.registry.http.answers import release
from regfs.registry.http.auth import basic, parse_challenges, scopes_for, token_in, token_url
from regfs.registry.http.transport import UNAUTHORIZED, Response, Sessions, check_status, rewind

_USER_AGENT = "Docker-Client/19.03.2 (linux)"

Base = TypeVar("Base", bound="DXFBase")
Auth = Callable[["DXFBase", Response], None]


class DXFBase:
    """Communicates with a registry; has the operations that concern no repository.

    As a context manager, each context entered gets a session of its own, whose connections are shared by its requests
    and closed when the context exits. Outside of a context each request uses an ephemeral session; an iterator of
    :meth:`DXF.pull_blob` that is not read to its end then keeps its connection until it is collected.

    :param host: host name and optional port, such as ``localhost:5000``
    :param auth: called with this object and a response when the registry asks for authentication; it is expected to
        call :meth:`authenticate` with that response
    :param insecure: use HTTP instead of HTTPS
    :param auth_host: host to ask for tokens, instead of the one that the registry names
    :param tlsverify: False to verify no TLS certificate, or the path of a CA bundle to verify with
    :param timeout: seconds to wait for a connection and for an answer; None waits for ever
    """

    def __init__(
        self,
        host: str,
        auth: Auth | None = None,
        insecure: bool = False,
        auth_host: str | None = None,
        tlsverify: bool | str = True,
        timeout: float | None = None,
    ) -> None:
        self._host = host
        self._auth = auth
        self._insecure = insecure
        self._auth_host = auth_host
        self._tlsverify = tlsverify
        self._timeout = timeout
        self._base_url = f"{self._scheme}://{host}/v2/"
        self._repo: str | None = None
        self._token: str | None = None
        self._headers: dict[str, str] = {}
        self._sessions = Sessions()

    @property
    def _scheme(self) -> str:
        return "http" if self._insecure else "https"

    @property
    def token(self) -> str | None:
        """The bearer token in use. :meth:`authenticate` sets it; one obtained before can be set too, while it lasts."""
        return self._token

    @token.setter
    def token(self, value: str) -> None:
        self._token = value
        self._headers = {"Authorization": f"Bearer {value}"}

    def __enter__(self: Base) -> Base:
        self._sessions.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sessions.leave()

    def _send(self, method: str, url: str, **kwargs: Any) -> Response:
        kwargs.setdefault("allow_redirects", True)
        return self._sessions.send(method, url, verify=self._tlsverify, timeout=self._timeout, **kwargs)

    def _base_request(self, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Response:
        """Send a request; when it needs authentication and there is a way, authenticate and send it again.

        :raises DXFUnauthorizedError: for a 401 that stays
        :raises requests.HTTPError: for another error status
        """
        url = urljoin(self._base_url, path)
        response = self._send(method, url, headers={**(headers or {}), **self._headers}, **kwargs)
        if response.status_code == UNAUTHORIZED and self._auth is not None:
            before = self._headers
            self._auth(self, response)
            if self._headers != before:
                release(response)
                rewind(kwargs.get("data"))
                response = self._send(method, url, headers={**(headers or {}), **self._headers}, **kwargs)
        with documented():
            return check_status(response)

    def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        actions: list[str] | None = None,
        response: Response | None = None,
        authorization: str | None = None,
        user_agent: str = _USER_AGENT,
    ) -> str | None:
        """Authenticate with a user name and password, an authorization header, or as the anonymous user.

        :param username: whom to authenticate as
        :param password: their password
        :param actions: what is to be done, where it is known: ``pull``, ``push``, ``*``
        :param response: the response that the ``auth`` function was called with; it says which actions are needed
        :param authorization: an ``Authorization`` header value
        :param user_agent: the ``User-Agent`` header value
        :returns: the token where the registry uses bearer tokens, else None (HTTP Basic, or nothing needed)
        :raises DXFAuthInsecureError: over plain HTTP
        :raises DXFUnexpectedStatusCodeError: when the registry answers neither success nor 401
        :raises DXFUnauthorizedError: when the token server refuses
        """
        if response is None:
            response = self._send("get", self._base_url)
        if response.ok:
            return None
        if response.status_code != UNAUTHORIZED:
            raise DXFUnexpectedStatusCodeError(response.status_code, UNAUTHORIZED)
        if self._insecure:
            raise DXFAuthInsecureError
        return self._answered(response, username, password, actions, authorization, user_agent)

    def _authenticate_here(self, response: Response, username: str | None, password: str | None) -> None:
        """Authenticate over plain HTTP as well, for a host that nobody else can listen to."""
        self._answered(response, username, password, None, None, _USER_AGENT)

    def _answered(
        self,
        response: Response,
        username: str | None,
        password: str | None,
        actions: list[str] | None,
        authorization: str | None,
        user_agent: str,
    ) -> str | None:
        """Answer the challenge of a 401; returns the token where that is what it asks for."""
        headers = {"User-Agent": user_agent}
        if username is not None and password is not None:
            headers["Authorization"] = basic(username, password)
        elif authorization is not None:
            headers["Authorization"] = authorization
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        if "bearer" not in challenges:
            self._headers = headers
            return None
        scopes = scopes_for(challenges["bearer"], self._repo, actions)
        with documented():
            url = token_url(challenges["bearer"], scopes, self._auth_host)
            self.token = token_in(check_status(self._send("get", url, headers=headers)).json())
        return self.token

    def _pages(self, path: str, key: str, batch_size: int | None) -> Iterator[str]:
        """The names under *key* of a listing and of the pages that its Link headers lead to (RFC 8288).

        A Link that leads back to a page that was read is the end.
        """
        params: dict[str, int] | None = None if batch_size is None else {"n": batch_size}
        following: str | None = path
        asked: set[str] = set()
        while following and following not in asked:
            asked.add(following)
            response = self._base_request("get", following, params=params)
            yield from response.json()[key] or ()
            following, params = wire.next_page(response, self._base_url), None

    def list_repos(self, batch_size: int | None = None, iterate: bool = False) -> list[str] | Iterable[str]:
        """List all repositories of the registry.

        :param batch_size: how many names to ask for at a time
        :param iterate: return an iterator over the names instead of a list
        :returns: repository names
        """
        names = self._pages(wire.CATALOG_PATH, "repositories", batch_size)
        return names if iterate else list(names)

    def api_version_check(self) -> tuple[str, Response]:
        """Check that the registry speaks version 2 of the API.

        :returns: the response's body (JSON) and the response
        """
        response = self._base_request("get", "")
        return response.content.decode("utf-8"), response
