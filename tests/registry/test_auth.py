"""What is understood of a challenge, and what is asked of a token server."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regfs.exceptions import DXFAuthInsecureError, DXFUnauthorizedError
from regfs.registry.http import auth
from regfs.registry.http.auth import Access, Authorizer, Credential, parse_challenges

REALM = "https://auth.example/token"
BEARER = f'Bearer realm="{REALM}",service="registry.example"'
BASIC = 'Basic realm="Registry Realm"'
FRED = Credential("fred", "secret")
PULL = Access("a/b")

names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", {}),
        ("Basic", {"basic": {}}),
        (BASIC, {"basic": {"realm": "Registry Realm"}}),
        (BEARER, {"bearer": {"realm": REALM, "service": "registry.example"}}),
        ("bearer realm=https://h/t", {"bearer": {"realm": "https://h/t"}}),
        ('BEARER REALM = "x" , scope="a b"', {"bearer": {"realm": "x", "scope": "a b"}}),
        (f"{BEARER}, {BASIC}", {
            "bearer": {"realm": REALM, "service": "registry.example"}, "basic": {"realm": "Registry Realm"},
        }),
        ('Negotiate, Basic realm="x"', {"negotiate": {}, "basic": {"realm": "x"}}),
        (r'Basic realm="a \"b\", c=d"', {"basic": {"realm": 'a "b", c=d'}}),
        ('Bearer realm="x",error=,scope="y"', {"bearer": {"realm": "x", "error": "", "scope": "y"}}),
        ('Bearer realm="x",error="",scope="y"', {"bearer": {"realm": "x", "error": "", "scope": "y"}}),
        ('Bearer realm="x",realm="y"', {"bearer": {"realm": "x"}}),
        ('Bearer scope="repository:a/b:pull,push"', {"bearer": {"scope": "repository:a/b:pull,push"}}),
    ],
)  # fmt: skip
def test_a_challenge_has_schemes_and_parameters(header: str, challenges: dict[str, dict[str, str]]) -> None:
    assert parse_challenges(header) == challenges


@given(st.text() | st.text('aB=",\\ '))
def test_no_header_breaks_the_parser(header: str) -> None:
    for scheme, parameters in parse_challenges(header).items():
        assert scheme == scheme.lower()
        assert all(name == name.lower() for name in parameters)


@given(st.dictionaries(names, st.dictionaries(names, st.text("aé =,\"\\'"), min_size=1), min_size=1))
def test_what_is_quoted_is_parsed_back(challenges: dict[str, dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        scheme + " " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges.items()
    )
    assert parse_challenges(header) == challenges


@pytest.mark.parametrize("unit", [",", " ", '"', "a ", 'a="', "a=", "\\", "a= "])
def test_the_longest_header_is_parsed_quickly(unit: str) -> None:
    began = time.process_time()
    parse_challenges(unit * (65536 // len(unit)))
    assert time.process_time() - began < 1


def test_basic_is_the_user_and_password_in_utf_8() -> None:
    assert auth.basic("fred", "pässword") == "Basic ZnJlZDpww6Rzc3dvcmQ="


def test_a_token_is_asked_for_with_service_and_each_scope() -> None:
    url = auth.token_url({"realm": f"{REALM}?account=x", "service": "s p"}, ["repository:a:pull", "registry:catalog:*"])
    scopes = [("scope", "repository:a:pull"), ("scope", "registry:catalog:*")]
    assert url.startswith(f"{REALM}?")
    assert parse_qsl(urlsplit(url).query) == [("account", "x"), ("service", "s p"), *scopes]


def test_a_token_is_asked_for_over_https_alone() -> None:
    assert auth.token_url({"realm": "http://h/t"}, []) == "https://h/t"


def test_a_token_is_asked_of_the_host_that_was_given() -> None:
    assert auth.token_url({"realm": REALM}, [], "other:444") == "https://other:444/token"


@pytest.mark.parametrize("bearer", [{}, {"realm": ""}, {"realm": "nonsense"}, {"realm": "http://["}])
def test_a_challenge_without_a_usable_realm_cannot_be_answered(bearer: dict[str, str]) -> None:
    with pytest.raises(DXFUnauthorizedError):
        auth.token_url(bearer, [])


@pytest.mark.parametrize(
    ("bearer", "repository", "actions", "scopes"),
    [
        ({}, "a/b", ["pull", "push"], ["repository:a/b:pull,push"]),
        ({"scope": "x:y:z"}, "a/b", ["*"], ["repository:a/b:*"]),
        ({"scope": "x:y:z w:v:u"}, "a/b", None, ["x:y:z", "w:v:u"]),
        ({"scope": "x:y:z"}, None, ["pull"], ["x:y:z"]),
        ({}, "a/b", None, []),
        ({}, None, None, ["registry:catalog:*"]),
    ],
)
def test_scopes_are_those_of_the_actions_else_of_the_challenge(
    bearer: dict[str, str], repository: str | None, actions: list[str] | None, scopes: list[str]
) -> None:
    assert auth.scopes_for(bearer, repository, actions) == scopes


@pytest.mark.parametrize(
    ("document", "token"),
    [({"token": "t"}, "t"), ({"access_token": "a", "token": "t"}, "a"), ({"access_token": "", "token": "t"}, "t")],
)
def test_the_access_token_comes_first_unless_it_is_empty(document: object, token: str) -> None:
    assert auth.token_in(document) == token


@pytest.mark.parametrize("document", [None, [], {}, {"token": ""}, {"token": 3}, "token"])
def test_an_answer_without_a_token_is_a_refusal(document: object) -> None:
    with pytest.raises(DXFUnauthorizedError):
        auth.token_in(document)


def test_a_password_is_in_no_repr() -> None:
    assert "secret" not in repr(FRED)


class TokenService:
    """Answers with one token after the other."""

    def __init__(self, lifetime: object = 300) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._lifetime = lifetime

    def __call__(self, url: str, headers: object, form: object = None) -> object:
        assert isinstance(headers, dict)
        self.asked.append((url, headers))
        return {"token": f"t{len(self.asked)}", "expires_in": self._lifetime}


def test_a_token_is_held_for_the_access_that_it_was_asked_for() -> None:
    authorizer = Authorizer(TokenService(), lambda repository: None, True)
    assert authorizer.renew(PULL, BEARER, None) == "Bearer t1"
    assert (authorizer.header(PULL), authorizer.header(Access("a/b", push=True))) == ("Bearer t1", None)


def test_a_token_that_another_thread_renewed_is_used() -> None:
    service = TokenService()
    authorizer = Authorizer(service, lambda repository: None, True)
    authorizer.renew(PULL, BEARER, None)
    assert authorizer.renew(PULL, BEARER, "Bearer t0") == "Bearer t1"
    assert len(service.asked) == 1


@pytest.mark.parametrize(("lifetime", "used_for"), [(300, 290), (5, 4), (0.5, 0.4)])
def test_a_token_that_is_about_to_expire_is_not_used(
    lifetime: float, used_for: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("regfs.registry.http.auth.time.monotonic", lambda: now)
    authorizer = Authorizer(TokenService(lifetime), lambda repository: None, True)
    authorizer.renew(PULL, BEARER, None)
    now += used_for - 0.01
    assert authorizer.header(PULL) == "Bearer t1"
    now += 0.02
    assert authorizer.header(PULL) is None


@pytest.mark.parametrize("lifetime", [None, 0, -1, "soon", float("inf"), 10**400])
def test_a_token_without_a_sane_lifetime_is_held_for_a_while(lifetime: object) -> None:
    authorizer = Authorizer(TokenService(lifetime), lambda repository: None, True)
    authorizer.renew(PULL, BEARER, None)
    assert authorizer.header(PULL) == "Bearer t1"


def test_the_token_server_is_told_who_asks() -> None:
    service = TokenService()
    Authorizer(service, lambda repository: FRED, True).renew(PULL, BEARER, None)
    assert service.asked[0][1] == {"Authorization": FRED.header()}


def test_a_refused_password_is_not_offered_again() -> None:
    authorizer = Authorizer(TokenService(), lambda repository: FRED, True)
    held = authorizer.renew(PULL, BASIC, None)
    with pytest.raises(DXFUnauthorizedError):
        authorizer.renew(PULL, BASIC, held)


@pytest.mark.parametrize(("challenge", "credential"), [(BASIC, None), ("", FRED), ("Negotiate", FRED)])
def test_a_challenge_that_cannot_be_answered_is_a_refusal(challenge: str, credential: Credential | None) -> None:
    with pytest.raises(DXFUnauthorizedError):
        Authorizer(TokenService(), lambda repository: credential, True).renew(PULL, challenge, None)


def test_a_password_does_not_travel_over_plain_http() -> None:
    with pytest.raises(DXFAuthInsecureError):
        Authorizer(TokenService(), lambda repository: FRED, False).renew(PULL, BASIC, None)
