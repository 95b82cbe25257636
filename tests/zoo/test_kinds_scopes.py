"""Scopes are made by the client, whatever a challenge names, and tokens are kept by scope."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import regfs
from tests.registries import PASSWORD, USER, Lab
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, error
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Deletes, Scope, Tokens, untagging
from tests.zoo.registry import Zoo
from tests.zoo.shapes import bearer, usual_challenge

CHALLENGES: dict[str, Callable[[Zoo, Call], str]] = {
    # containerd/containerd#1465, davedoesdev/dxf#28
    "no scope": lambda zoo, call: f'Bearer realm="{zoo.realm()}",service="s"',
    # cloudflare/serverless-registry#148, containerd/containerd#9648
    "a placeholder": lambda zoo, call: f'Bearer realm="{zoo.realm()}",service="s",scope="repository:user/image:pull"',
    # oras-project/oras-go#650
    "a part of the name": lambda zoo, call: f'Bearer realm="{zoo.realm()}",scope="repository:tool:pull"',
    # Forgejo and Gitea
    "everything": lambda zoo, call: f'Bearer realm="{zoo.realm()}",service="container_registry",scope="*"',
    # pulp_container, authenticate_header
    "less": lambda zoo, call: f'Bearer realm="{zoo.realm()}",scope="repository:{call.repository}:{_one(call)}"',
}


def _one(call: Call) -> str:
    return "pull" if call.reads else "push"


@pytest.mark.parametrize("name", CHALLENGES)
def test_reading_asks_for_pull_of_the_repository(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    memory.artifact("org/tool", "v1", {"f": b"content"})
    with zoo(bearer(CHALLENGES[name]), tls=True) as registry:
        home.log_in(registry.host)
        assert home("get", f"{registry.host}/org/tool:v1", "f", "-o", "-") == "content"
        assert ["repository:org/tool:pull"] in registry.tokens.asked
        assert [scopes for scopes in registry.tokens.asked if "push" in "".join(scopes)] == []


@pytest.mark.parametrize("name", CHALLENGES)
def test_every_request_of_a_push_has_one_token(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    """Also those that only look whether a blob is there."""
    with zoo(bearer(CHALLENGES[name]), tls=True) as registry:
        home.log_in(registry.host)
        home.write("new", b"new")
        home("put", f"{registry.host}/org/tool:v1", "new")
        asked = [Scope.parse(scopes[0]) for scopes in registry.tokens.asked if scopes and ":org/tool:" in scopes[0]]
        assert {scope.actions for scope in asked} == {frozenset({"pull", "push"})}
        assert len(asked) == 1
        assert memory.files("org/tool", "v1") == {"new": b"new"}


def test_who_may_only_pull_asks_for_nothing_else(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """cloudflare/serverless-registry#148: GHCR gives no token at all for pull,push to who may only pull."""
    memory.artifact("public/tool", "v1", {"f": b"content"})
    wanted = ["repository:public/tool:pull"]
    tokens = Tokens(refuse=lambda scopes, user: None if list(scopes) == wanted else error(403, "DENIED"))
    with zoo(bearer(CHALLENGES["a placeholder"], tokens), tls=True) as registry:
        assert home("get", f"{registry.host}/public/tool:v1", "f", "-o", "-") == "content"
        with home.mount(f"{registry.host}/public/tool") as where:
            assert (where / "v1/f").read_bytes() == b"content"


def test_deleting_asks_for_delete(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """docker/hub-feedback#2360 shows the challenge."""
    memory.artifact("org/tool", "v1", {"f": b"content"})
    profile = bearer()
    object.__setattr__(profile, "deletes", Deletes(by_tag=untagging))
    with zoo(profile, tls=True) as registry:
        home.log_in(registry.host)
        home("rm", "-y", f"{registry.host}/org/tool:v1")
        assert memory.tags("org/tool") == []
        assert any("delete" in scope for scopes in registry.tokens.asked for scope in scopes)


def test_a_token_server_that_does_not_know_delete_is_asked_for_push(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """quay/quay, endpoints/v2/v2auth.py: 400 for any other action than pull, push and *."""
    memory.artifact("org/tool", "v1", {"f": b"content"})
    tokens = Tokens(refuse=lambda scopes, user: error(400, "INVALID_REQUEST") if "delete" in "".join(scopes) else None)
    needs = frozenset({"pull", "push"})
    profile = bearer(usual_challenge, tokens, needs=lambda call: frozenset({"pull"}) if call.reads else needs)
    object.__setattr__(profile, "deletes", Deletes(by_tag=untagging))
    with zoo(profile, tls=True) as registry:
        home.log_in(registry.host)
        home("rm", "-y", f"{registry.host}/org/tool:v1")
        assert memory.tags("org/tool") == []


def test_a_token_is_kept_for_its_scope(home: Home, memory: Memory, zoo: NewZoo) -> None:
    for name in ("one", "two"):
        memory.artifact(f"org/{name}", "v1", {"f": name.encode(), "g": name.encode()})
    with zoo(bearer(), tls=True) as registry:
        home.log_in(registry.host)
        with home.mount("--ttl", "0", registry.host) as where:
            for name in ("one", "two", "one"):
                assert (where / f"org/{name}/v1/f").read_text() == name
                assert (where / f"org/{name}/v1/g").read_text() == name
        pulls = [scopes for scopes in registry.tokens.asked if scopes and scopes[0].startswith("repository:")]
        assert sorted(pulls) == [["repository:org/one:pull"], ["repository:org/two:pull"]]


def test_the_dxf_api_follows_the_challenge(memory: Memory, zoo: NewZoo, lab: Lab) -> None:
    """Its documentation says so."""
    memory.artifact("org/tool", "v1", {"f": b"content"})

    def auth(dxf: regfs.DXFBase, response: object) -> None:
        dxf.authenticate(USER, PASSWORD, response=response)  # type: ignore[arg-type]

    with zoo(bearer(), tls=True) as registry:
        dxf = regfs.DXF(registry.host, "org/tool", auth, tlsverify=lab.ca)
        assert dxf.list_aliases() == ["v1"]
        assert registry.tokens.asked == [["repository:org/tool:pull"]]


def test_refused_rights_are_no_wrong_login(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """Too few rights are a 401 with insufficient_scope at docker-registry, and say nothing of the password."""
    memory.artifact("public/tool", "v1", {"f": b"content"})

    def script(call: Call) -> Answer | None:
        challenge = f'{usual_challenge(registry, call)},error="insufficient_scope"'
        return (
            error(401, "UNAUTHORIZED", "you may not push", ("WWW-Authenticate", challenge)) if not call.reads else None
        )

    registry: Zoo
    with zoo(bearer(), tls=True, script=script) as registry:
        home.log_in(registry.host)
        home.write("new", b"new")
        said = home.fails("put", f"{registry.host}/public/tool:v2", "new")
        assert "you may not push" in said
