"""The tokens of a zoo registry: who got which, and what each lets its bearer do."""

from __future__ import annotations

import base64
import binascii
import itertools
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from tests.registries import PASSWORD, USER
from tests.servers import Answer, Request
from tests.zoo.calls import document, error
from tests.zoo.profile import Scope, Token, Tokens, allowed

IDENTITY_TOKEN = "identity-token-of-fred"  # to be exchanged for access tokens
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class TokenServer:
    """Gives tokens as its settings say. ``asked`` has the scopes of each request, whatever became of it.

    :param public: whether anybody may pull what is public
    """

    def __init__(self, settings: Tokens, public: bool) -> None:
        self.settings, self._public = settings, public
        self.asked: list[list[str]] = []
        self._given: dict[str, Token] = {}
        self._numbers = itertools.count(1)

    def token(self, authorization: str) -> Token | None:
        """The token of an Authorization header; None when it is none, or no longer good."""
        token = self._given.get(authorization.removeprefix("Bearer "))
        return token if token and time.monotonic() < token.until else None

    def revoke(self) -> None:
        """Let every token that was given expire now."""
        self._given.clear()

    def answer(self, request: Request) -> Answer:
        """Answer a request for a token."""
        if request.method not in self.settings.methods:
            return Answer(405, body=b"method not allowed")
        if request.method == "POST":
            form = parse_qs(request.body.decode())
            scopes, user = form.get("scope", [""])[0].split(), _user_of_form(form)
        else:
            scopes = parse_qs(urlsplit(request.path).query).get("scope", [])
            scopes = [scope for value in scopes for scope in value.split()]
            user = user_of(request.headers.get("authorization", ""))
        self.asked.append(scopes)
        if user is None:
            return error(401, "UNAUTHORIZED", "incorrect username or password")
        return self.settings.refuse(scopes, user) or self._token(user, scopes)

    def _token(self, user: str, scopes: Sequence[str]) -> Answer:
        token = f"token-{next(self._numbers)}"
        asked = [Scope.parse(scope) for scope in scopes]
        granted = (Scope(scope.kind, scope.name, allowed(scope, user, self._public)) for scope in asked)
        self._given[token] = Token(
            user, tuple(scope for scope in granted if scope.actions), time.monotonic() + self.settings.lifetime
        )
        made: dict[str, object] = dict.fromkeys(self.settings.members, token)
        if self.settings.expires_in is not None:
            made["expires_in"] = self.settings.expires_in
        return document(200, made)


def user_of(authorization: str) -> str | None:
    """The user whose Basic credential this is; empty for none; None for a wrong one."""
    if not authorization:
        return ""
    try:
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return USER if given == f"{USER}:{PASSWORD}" else None


def _user_of_form(form: dict[str, list[str]]) -> str | None:
    kind = form.get("grant_type", [""])[0]
    if kind == "refresh_token" and form.get("refresh_token") == [IDENTITY_TOKEN]:
        return USER
    if kind == "password" and (form.get("username"), form.get("password")) == ([USER], [PASSWORD]):
        return USER
    return None
