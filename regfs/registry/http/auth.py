"""Challenges, scopes and tokens: how a registry asks who is there, and what it is told.

Builds what is sent and remembers what came back; sends nothing itself.

Sources: RFC 9110 section 11.6.1 (WWW-Authenticate); Docker distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from regfs.exceptions import DXFAuthInsecureError, DXFUnauthorizedError
from regfs.util.single_flight import SingleFlight

CATALOG_SCOPE = "registry:catalog:*"
_PART = re.compile(r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s*(=)\s*("(?:[^"\\]|\\.)*"|[^\s,"]*))?""")
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header can have
_DEFAULT_LIFETIME = 60.0  # seconds; the token specification's default where expires_in is missing
_MAX_LIFETIME = 86400.0  # seconds
_MARGIN = 10.0  # seconds before its expiry that a token is no longer used


def parse_challenges(header: str) -> dict[str, dict[str, str]]:
    """The challenges of a WWW-Authenticate header: scheme in lower case → its parameters.

    What does not parse is passed over.
    """
    challenges: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for name, equals, value in _PART.findall(header):
        if equals:
            current.setdefault(name.lower(), _unquoted(value))
        else:
            current = challenges.setdefault(name.lower(), {})
    return challenges


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def basic(username: str, password: str) -> str:
    """The Authorization header value of HTTP Basic (RFC 7617, UTF-8)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def token_url(bearer: Mapping[str, str], scopes: Sequence[str], auth_host: str | None = None) -> str:
    """Where to ask for a token; always HTTPS.

    :param bearer: parameters of the Bearer challenge
    :param scopes: what the token is for, such as ``repository:name:pull,push``
    :param auth_host: host to ask instead of the one that the challenge names
    :raises DXFUnauthorizedError: when the challenge names no realm that is a URL
    """
    try:
        realm = urlsplit(bearer.get("realm", ""))
    except ValueError:
        raise DXFUnauthorizedError from None
    if not realm.netloc:
        raise DXFUnauthorizedError
    query = parse_qsl(realm.query)
    if "service" in bearer:
        query.append(("service", bearer["service"]))
    query.extend(("scope", scope) for scope in scopes)
    return urlunsplit(("https", auth_host or realm.netloc, realm.path, urlencode(query, errors="replace"), ""))


def scopes_for(bearer: Mapping[str, str], repository: str | None, actions: Sequence[str] | None) -> list[str]:
    """The scopes to ask a token for: those named by *actions*, else those of the challenge, else the catalog."""
    if actions and repository:
        return [f"repository:{repository}:{','.join(actions)}"]
    if "scope" in bearer:
        return bearer["scope"].split()
    return [] if repository else [CATALOG_SCOPE]


def token_in(document: object) -> str:
    """The token of a token server's answer: ``access_token`` when present and usable in a header, else ``token``.

    :raises DXFUnauthorizedError: when there is none
    """
    if isinstance(document, dict):
        for name in ("access_token", "token"):
            value = document.get(name)
            if isinstance(value, str) and _TOKEN.fullmatch(value):
                return value
    raise DXFUnauthorizedError


def _lifetime(document: object) -> float:
    value = document.get("expires_in") if isinstance(document, dict) else None
    return float(min(value, _MAX_LIFETIME)) if isinstance(value, int | float) and value > 0 else _DEFAULT_LIFETIME


@dataclass(frozen=True)
class Credential:
    """Who to be at a registry. Its secrets are in no repr.

    :param refresh_token: an identity token, to be exchanged for access tokens (OAuth 2); instead of a password
    """

    username: str
    password: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)

    def header(self) -> str:
        """The Authorization header value."""
        return basic(self.username, self.password)


@dataclass(frozen=True)
class Access:
    """What a request needs to be allowed to do: one key, one token.

    :param repository: the repository that it is about; empty for the catalog
    :param push: whether it changes something
    :param source: the repository that a blob is mounted from
    """

    repository: str = ""
    push: bool = False
    source: str = ""


@dataclass(frozen=True)
class _Held:
    header: str = field(repr=False)
    expires: float  # time.monotonic()
    bearer: Mapping[str, str] = field(default_factory=dict)  # the challenge that it answers


def _form(bearer: Mapping[str, str], scopes: Sequence[str], credential: Credential) -> dict[str, str]:
    """What is posted to exchange an identity token ("Token Authentication Specification: OAuth 2")."""
    return {
        "grant_type": "refresh_token",
        "service": bearer.get("service", ""),
        "client_id": "regfs",
        "scope": " ".join(scopes),
        "refresh_token": credential.refresh_token,
    }


class Authorizer:
    """The Authorization headers of one registry's requests: kept per access, renewed once by one thread.

    :param ask: fetches a token document (decoded JSON) from a URL with headers, by POST when there is a form
    :param credential: who to be for a repository; None is anonymous
    :param may_send: whether credentials may travel on this connection (HTTPS, or loopback)
    """

    def __init__(
        self,
        ask: Callable[[str, Mapping[str, str], Mapping[str, str] | None], object],
        credential: Callable[[str], Credential | None],
        may_send: bool,
    ) -> None:
        self._ask = ask
        self._credential = credential
        self._may_send = may_send
        self._lock = threading.Lock()
        self._held: dict[Access, _Held] = {}
        self._renewals: SingleFlight[Access, str] = SingleFlight()

    def header(self, access: Access) -> str | None:
        """The header value held for *access*; None when there is none or it is about to expire."""
        with self._lock:
            held = self._held.get(access)
        return held.header if held and time.monotonic() < held.expires else None

    def ready(self, access: Access) -> str | None:
        """As :meth:`header`, but what is about to expire is renewed, before a request is sent only to be refused."""
        with self._lock:
            held = self._held.get(access)
        if held is None or time.monotonic() < held.expires or not held.bearer:
            return self.header(access)
        try:
            return self._renewals.do(access, lambda: self._renewed(access, {"bearer": held.bearer}))
        except Exception:  # noqa: BLE001 - the request itself will tell what is wrong
            return None

    def renew(self, access: Access, challenge: str, refused: str | None) -> str:
        """A header value other than the *refused* one, for a request that got a 401.

        :param challenge: the 401's WWW-Authenticate header
        :raises DXFUnauthorizedError: when there is nothing else to offer
        :raises DXFAuthInsecureError: when credentials would travel over plain HTTP
        """
        current = self.header(access)
        if current is not None and current != refused:
            return current
        header = self._renewals.do(access, lambda: self._renewed(access, parse_challenges(challenge)))
        if header == refused:
            raise DXFUnauthorizedError
        return header

    def _renewed(self, access: Access, challenges: Mapping[str, Mapping[str, str]]) -> str:
        credential = self._credential(access.repository)
        if credential is not None and not self._may_send:
            raise DXFAuthInsecureError
        if "bearer" in challenges:
            return self._token(access, challenges["bearer"], credential)
        if "basic" not in challenges or credential is None or credential.refresh_token:
            raise DXFUnauthorizedError
        return self._hold(access, _Held(credential.header(), float("inf")))

    def _token(self, access: Access, bearer: Mapping[str, str], credential: Credential | None) -> str:
        scopes = scopes_for(bearer, access.repository or None, None)
        if credential is not None and credential.refresh_token:
            document = self._ask(
                token_url({"realm": bearer.get("realm", "")}, ()), {}, _form(bearer, scopes, credential)
            )
        else:
            headers = {"Authorization": credential.header()} if credential else {}
            document = self._ask(token_url(bearer, scopes), headers, None)
        lifetime = _lifetime(document)
        expires = time.monotonic() + lifetime - min(_MARGIN, lifetime / 5)
        return self._hold(access, _Held(f"Bearer {token_in(document)}", expires, bearer))

    def _hold(self, access: Access, held: _Held) -> str:
        with self._lock:
            self._held[access] = held
        return held.header
