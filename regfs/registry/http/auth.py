"""Challenges, scopes and tokens: how a registry asks who is there, and what it is told.

Builds what is sent and remembers what came back; sends nothing itself.

Sources: RFC 9110 section 11.6.1 (WWW-Authenticate); Docker distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from regfs.oci.reference import is_loopback
from regfs.registry.api import Denied, InsecureLogin, Invalid, NotFound, Unauthenticated, Unsupported
from regfs.registry.credential import Credential
from regfs.util.single_flight import SingleFlight

log = logging.getLogger(__name__)

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
    :raises Unauthenticated: when the challenge names no realm that is a URL
    """
    try:
        realm = urlsplit(bearer.get("realm", ""))
    except ValueError:
        raise Unauthenticated from None
    if not realm.netloc:
        raise Unauthenticated
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

    :raises Unauthenticated: when there is none
    """
    if isinstance(document, dict):
        for name in ("access_token", "token"):
            value = document.get(name)
            if isinstance(value, str) and _TOKEN.fullmatch(value):
                return value
    raise Unauthenticated


def _lifetime(document: object) -> float:
    value = document.get("expires_in") if isinstance(document, dict) else None
    return float(min(value, _MAX_LIFETIME)) if isinstance(value, int | float) and value > 0 else _DEFAULT_LIFETIME


@dataclass(frozen=True)
class Access:
    """What a request needs to be allowed to do: one key, one token.

    :param repository: the repository that it is about, as the registry calls it; empty for none
    :param push: whether it changes something, or belongs to a push
    :param source: the repository that a blob is mounted from
    :param delete: whether it deletes something
    :param catalog: whether it lists repositories
    """

    repository: str = ""
    push: bool = False
    source: str = ""
    delete: bool = False
    catalog: bool = False

    def scopes(self) -> list[str]:
        """The scopes that a token needs for it, whatever a challenge names; none for what concerns no repository."""
        if self.catalog:
            return [CATALOG_SCOPE]
        if not self.repository:
            return []
        actions = ["pull", *(["push"] if self.push else []), *(["delete"] if self.delete else [])]
        own = f"repository:{self.repository}:{','.join(actions)}"
        return [f"repository:{self.source}:pull", own] if self.source else [own]


@dataclass(frozen=True)
class _Held:
    header: str = field(repr=False)
    expires: float  # time.monotonic()
    bearer: Mapping[str, str] = field(default_factory=dict)  # the challenge that it answers


def token_form(bearer: Mapping[str, str], scopes: Sequence[str], credential: Credential) -> dict[str, str]:
    """What is posted for a token ("Token Authentication Specification: OAuth 2")."""
    form = {"service": bearer.get("service", ""), "client_id": "regfs", "scope": " ".join(scopes)}
    if credential.refresh_token:
        return {**form, "grant_type": "refresh_token", "refresh_token": credential.refresh_token}
    return {**form, "grant_type": "password", "username": credential.username, "password": credential.password}


class Authorizer:
    """The Authorization headers of one registry's requests: kept per access, renewed once by one thread.

    :param ask: fetches a token document (decoded JSON) from a URL with headers, by POST when there is a form
    :param credential: who to be for a repository; None is anonymous
    :param may_send: whether credentials may travel on this connection (HTTPS, or loopback)
    :param plain: whether this is plain HTTP, whose token server may be so, too
    """

    def __init__(
        self,
        ask: Callable[[str, Mapping[str, str], Mapping[str, str] | None], object],
        credential: Callable[[str], Credential | None],
        may_send: bool,
        plain: bool = False,
    ) -> None:
        self._ask = ask
        self._credential = credential
        self._may_send = may_send
        self._plain = plain
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
        :raises Unauthenticated: when there is nothing else to offer
        :raises InsecureLogin: when credentials would travel over plain HTTP
        """
        current = self.header(access)
        if current is not None and current != refused:
            return current
        header = self._renewals.do(access, lambda: self._renewed(access, parse_challenges(challenge)))
        if header == refused:
            raise Unauthenticated
        return header

    def _renewed(self, access: Access, challenges: Mapping[str, Mapping[str, str]]) -> str:
        credential = self._credential(access.repository)
        if credential is not None and not self._may_send:
            raise InsecureLogin
        if credential is not None and credential.registry_token:
            return self._hold(access, _Held(f"Bearer {credential.registry_token}", float("inf")))
        if "bearer" in challenges:
            return self._token(access, challenges["bearer"], credential)
        if "basic" not in challenges or credential is None or credential.refresh_token:
            raise Unauthenticated
        return self._hold(access, _Held(basic(credential.username, credential.password), float("inf")))

    def _token(self, access: Access, bearer: Mapping[str, str], credential: Credential | None) -> str:
        try:
            document = self._document(bearer, access.scopes(), credential)
        except (Denied, Invalid, Unauthenticated):
            if not access.delete:
                raise
            document = self._document(bearer, replace(access, delete=False).scopes(), credential)
        lifetime = _lifetime(document)
        expires = time.monotonic() + lifetime - min(_MARGIN, lifetime / 5)
        return self._hold(access, _Held(f"Bearer {token_in(document)}", expires, bearer))

    def _document(self, bearer: Mapping[str, str], scopes: Sequence[str], credential: Credential | None) -> object:
        """What the token server answers."""
        if credential is None:
            return self._ask(self._url(bearer, scopes, None), {}, None)
        if not credential.refresh_token:
            headers = {"Authorization": basic(credential.username, credential.password)}
            try:
                return self._ask(self._url(bearer, scopes, credential), headers, None)
            except (NotFound, Unsupported):
                log.debug("a token server takes no GET; it is asked by POST")
        realm = {"realm": bearer.get("realm", "")}
        return self._ask(self._url(realm, (), credential), {}, token_form(bearer, scopes, credential))

    def _url(self, bearer: Mapping[str, str], scopes: Sequence[str], credential: Credential | None) -> str:
        """Where to ask: over plain HTTP only what a plain registry names, and no credential that others could read."""
        url = token_url(bearer, scopes)
        realm = urlsplit(bearer.get("realm", ""))
        if self._plain and realm.scheme.lower() == "http" and (credential is None or is_loopback(realm.netloc)):
            return "http" + url.removeprefix("https")
        return url

    def _hold(self, access: Access, held: _Held) -> str:
        with self._lock:
            self._held[access] = held
        return held.header
