"""The ping decides nothing: whoever names a repository is let in, or not, by that repository."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, error
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Listing, Token, Tokens
from tests.zoo.registry import Zoo
from tests.zoo.shapes import PLAIN, basic, bearer, only
from tests.zoo.tokens import BASIC

PUBLIC = "public/tool"


@pytest.mark.parametrize("kind", ["", "text/html; charset=utf-8", "application/octet-stream"])
def test_a_ping_of_any_type_is_an_answer(home: Home, memory: Memory, zoo: NewZoo, kind: str) -> None:
    """openshift/origin#15995, moby/moby#15173: registries that are static files say 200 and nothing else."""
    memory.artifact("a/b", "v1", {"f": b"static"})
    ping = Answer(200, (("Content-Type", kind),) if kind else ())
    with zoo(replace(PLAIN, ping=ping)) as registry:
        assert home("get", f"{registry.host}/a/b:v1", "f", "-o", "-") == "static"


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refused_ping_ends_nothing(home: Home, memory: Memory, zoo: NewZoo, status: int) -> None:
    """genuinetools/reg#198, in general."""
    memory.artifact("a/b", "v1", {"f": b"there"})
    with zoo(replace(PLAIN, ping=Answer(status))) as registry:
        assert home("get", "--retries", "0", f"{registry.host}/a/b:v1", "f", "-o", "-") == "there"
        with home.mount("--retries", "0", f"{registry.host}/a/b") as where:
            assert (where / "v1/f").read_bytes() == b"there"


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_server_that_refuses_the_pings_scope_ends_nothing(
    home: Home, memory: Memory, zoo: NewZoo, status: int
) -> None:
    """genuinetools/reg#198: Quay and GitLab, anonymously."""
    memory.artifact(PUBLIC, "v1", {"f": b"public"})
    refusal = error(status, "DENIED", "access forbidden")
    tokens = Tokens(refuse=lambda scopes, user: None if list(scopes) == [f"repository:{PUBLIC}:pull"] else refusal)
    with zoo(bearer(tokens=tokens), tls=True) as registry:
        assert home("get", f"{registry.host}/{PUBLIC}:v1", "f", "-o", "-") == "public"


def _nobody(token: Token) -> bool:
    return False


def test_a_ping_that_takes_no_token_ends_nothing(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """genuinetools/reg#198, its third shape."""
    memory.artifact(PUBLIC, "v1", {"f": b"public"})
    with zoo(bearer(ping=_nobody), tls=True) as registry:
        assert home("get", f"{registry.host}/{PUBLIC}:v1", "f", "-o", "-") == "public"


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_registry_without_a_catalog_is_mounted(home: Home, memory: Memory, zoo: NewZoo, status: int) -> None:
    """Its repositories are there by their names."""
    memory.artifact("a/b", "v1", {"f": b"there"})
    listing = Listing(catalog=lambda zoo, call: error(status, "DENIED"))
    with zoo(only(listing=listing)) as registry, home.mount(registry.host) as where:
        assert os.listdir(where) == []
        assert (where / "a/b/v1/f").read_bytes() == b"there"


def test_the_least_of_the_api_is_enough(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """oras-project/oras-go#882, ollama/ollama#6510: no ping, no lists, no HEAD, and text/plain."""
    digest = memory.blob("library/tiny", b"GGUF")
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 4}
    memory.publish("library/tiny", "latest", [layer])
    memory.put("library/tiny", "latest", memory.manifests["library/tiny", "latest"][1], "text/plain; charset=utf-8")

    def script(call: Call) -> Answer | None:
        if call.kind in ("ping", "tags", "catalog"):
            return Answer(404, body=b"404 page not found")
        return Answer(405) if call.kind == "manifest" and call.method != "GET" else None

    with zoo(script=script) as registry:
        home("get", f"{registry.host}/library/tiny:latest", "-o", "got")
        assert (home.here / "got" / digest).read_bytes() == b"GGUF"
        assert digest in home("ls", f"{registry.host}/library/tiny:latest")


@pytest.mark.parametrize("first", ["bearer", "basic"])
def test_each_challenge_is_answered_as_it_comes(home: Home, memory: Memory, zoo: NewZoo, first: str) -> None:
    """GoogleContainerTools/jib#2258: /v2/ wants one kind of login, and repositories the other."""
    memory.artifact("a/b", "v1", {"f": b"there"})
    challenges = {"bearer": 'Bearer realm="{realm}",service="s"', "basic": 'Basic realm="openshift"'}

    def script(call: Call) -> Answer | None:
        if call.path == "/token":
            return registry.tokens.answer(call.request)
        kind = first if call.kind == "ping" else "basic" if first == "bearer" else "bearer"
        good = registry.tokens.token(call.authorization) if kind == "bearer" else call.authorization == BASIC
        challenge = challenges[kind].format(realm=registry.realm())
        return None if good else Answer(401, (("WWW-Authenticate", challenge),))

    registry: Zoo
    with zoo(tls=True, script=script) as registry:
        home.log_in(registry.host)
        home.write("new", b"new")
        assert home("get", f"{registry.host}/a/b:v1", "f", "-o", "-") == "there"
        home("put", f"{registry.host}/a/b:v2", "new")
        assert memory.files("a/b", "v2") == {"new": b"new"}


def test_a_repository_asks_who_it_is_though_the_ping_did_not(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """containers/image#2754: a 200 of /v2/ lets nobody in elsewhere."""
    memory.artifact("a/b", "v1", {"f": b"private"})
    with zoo(basic(), script=lambda call: Answer(200) if call.kind == "ping" else None) as registry:
        home.log_in(registry.host)
        assert home("get", f"{registry.host}/a/b:v1", "f", "-o", "-") == "private"
