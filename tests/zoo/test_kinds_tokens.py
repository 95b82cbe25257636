"""Token servers: redirects, the words of their answers, several challenges, GET and POST, and what logins hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.registries import USER
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call
from tests.zoo.client import Home, login
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Tokens
from tests.zoo.registry import Zoo
from tests.zoo.shapes import bearer, usual_challenge
from tests.zoo.tokens import IDENTITY_TOKEN


@pytest.fixture
def content(memory: Memory) -> None:
    """One private file."""
    memory.artifact("a/b", "v1", {"f": b"content"})


def get(home: Home, registry: Zoo) -> str:
    """Read it."""
    return home("get", f"{registry.host}/a/b:v1", "f", "-o", "-")


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_token_server_that_has_moved_is_followed(home: Home, zoo: NewZoo, status: int) -> None:
    def script(call: Call) -> Answer | None:
        moved = Answer(status, (("Location", f"/token?{call.raw_query}"),))
        return moved if call.path == "/old/token" else None

    def challenge(zoo: Zoo, call: Call) -> str:
        return usual_challenge(zoo, call).replace("/token", "/old/token")

    with zoo(bearer(challenge), tls=True, script=script) as registry:
        home.log_in(registry.host)
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize(
    "tokens",
    [
        Tokens(members=("access_token",)),  # Azure's, AAD-OAuth.md
        Tokens(members=("token",)),
        Tokens(expires_in=0),
        Tokens(expires_in=1),
    ],
)
def test_a_token_is_taken_as_it_comes(home: Home, zoo: NewZoo, tokens: Tokens) -> None:
    with zoo(bearer(tokens=tokens), tls=True) as registry:
        home.log_in(registry.host)
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize("order", ["Basic, Bearer", "Bearer, Basic", "Negotiate, Bearer", "two headers"])
def test_the_challenge_that_can_be_answered_is(home: Home, zoo: NewZoo, order: str) -> None:
    """RFC 9110, 11.6.1: a header may have several."""
    others = {"Basic": 'Basic realm="r, s"', "Negotiate": "Negotiate"}

    def challenge(zoo: Zoo, call: Call) -> str:
        given = {**others, "Bearer": usual_challenge(zoo, call)}
        return ", ".join(given[name] for name in order.split(", "))

    profile = bearer(usual_challenge if order == "two headers" else challenge)
    if order == "two headers":
        refusal = profile.refusal
        profile = replace(profile, refusal=replace(refusal, headers=(("WWW-Authenticate", "Negotiate"),)))
    with zoo(profile, tls=True) as registry:
        home.log_in(registry.host)
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
def test_an_identity_token_is_exchanged_by_post(home: Home, zoo: NewZoo) -> None:
    """Azure/acr, AAD-OAuth.md."""
    tokens = Tokens(members=("access_token",), methods=frozenset({"POST"}))
    with zoo(bearer(tokens=tokens), tls=True) as registry:
        auth = {"auth": login("00000000-0000-0000-0000-000000000000", ""), "identitytoken": IDENTITY_TOKEN}
        home.docker({"auths": {registry.host: auth}})
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
def test_a_token_server_that_takes_forms_alone_gets_one(home: Home, zoo: NewZoo) -> None:
    """Its GET is a 405; OAuth 2 has grant_type=password."""
    with zoo(bearer(tokens=Tokens(methods=frozenset({"POST"}))), tls=True) as registry:
        home.log_in(registry.host)
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
def test_a_registry_token_is_sent_as_it_is(home: Home, zoo: NewZoo) -> None:
    """docker's configuration may hold a bearer token."""

    def script(call: Call) -> Answer | None:
        if call.authorization == "Bearer of-the-registry":
            return registry.backend.answer(call.request)
        return Answer(405) if call.path == "/token" else None

    registry: Zoo
    with zoo(bearer(), tls=True, script=script) as registry:
        home.docker({"auths": {registry.host: {"registrytoken": "of-the-registry"}}})
        assert get(home, registry) == "content"


@pytest.mark.usefixtures("content")
def test_a_plain_realm_of_a_plain_registry_works_or_is_named(home: Home, zoo: NewZoo) -> None:
    """It was asked over HTTPS, and nobody could tell why that failed."""
    with zoo(bearer()) as registry:
        home.log_in(registry.host)
        done = home.run("get", "--insecure", f"{registry.host}/a/b:v1", "f", "-o", "-")
        assert (done.status, done.output) == (0, "content") or f"http://{registry.host}/token" in done.error


@pytest.mark.usefixtures("content")
def test_a_token_that_ends_early_is_renewed(home: Home, zoo: NewZoo) -> None:
    with zoo(bearer(tokens=Tokens(expires_in=3600)), tls=True) as registry:
        home.log_in(registry.host)
        with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
            assert (where / "v1/f").read_bytes() == b"content"
            registry.expire()
            (where / "v1/g").write_bytes(b"more")
            registry.expire()
            assert (where / "v1/g").read_bytes() == b"more"


@pytest.mark.usefixtures("content")
def test_a_wrong_password_is_said_to_be_wrong(home: Home, zoo: NewZoo) -> None:
    with zoo(bearer(), tls=True) as registry:
        home.docker({"auths": {registry.host: {"auth": login(USER, "wrong")}}})
        said = home.fails("get", f"{registry.host}/a/b:v1", "f", "-o", "-")
        assert "incorrect username or password" in said
