"""Authentication in every form that the API has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from regfs import DXF, DXFBase, hash_bytes
from regfs.exceptions import DXFAuthInsecureError, DXFUnauthorizedError, DXFUnexpectedStatusCodeError
from regfs.registry.http.auth import basic
from tests.registries import PASSWORD, USER, Lab, Registry, TokenServer
from tests.servers import Answer, Server

NewServer = Callable[..., Server]
BLOB = hash_bytes(b"blob")


def anonymous(registry: Registry, repository: str) -> DXF:
    return DXF(registry.host, repository, tlsverify=registry.lab.ca)


def push(client: DXF) -> str:
    return client.push_blob(data=iter([b"blob"]), digest=BLOB)


def login_as_nobody(client: DXFBase, response: requests.Response) -> None:
    client.authenticate(response=response)


def scopes(registry: Registry) -> list[list[str]]:
    assert registry.tokens
    return [query.get("scope", []) for _, query in registry.tokens.requests]


def actions(scope: str) -> tuple[str, set[str]]:
    name, _, wanted = scope.rpartition(":")
    return name, set(wanted.split(","))


@pytest.fixture
def public(repository: str) -> str:
    """A repository that anonymous users may pull from."""
    return f"public/{repository}"


@pytest.fixture
def guarded(lab: Lab, serve: NewServer) -> Server:
    """A server over TLS that asks for a token of a server that is not there."""
    challenge = 'Bearer realm="https://nowhere.invalid/auth",service="Docker registry",scope="repository:a/b:pull"'
    return serve(lambda request: Answer(401, (("WWW-Authenticate", challenge),)), lab.server_context())


@pytest.fixture
def other_tokens(lab: Lab) -> Iterator[TokenServer]:
    """Another token server, whose tokens the registry accepts."""
    server = TokenServer(lab)
    yield server
    server.stop()


# HTTP Basic


def test_a_user_name_and_password_are_enough_for_basic(htpasswd: Registry, repository: str) -> None:
    client = anonymous(htpasswd, repository)
    assert client.authenticate(USER, PASSWORD) is None
    assert client.token is None
    assert push(client) == BLOB


def test_an_authorization_value_is_enough_for_basic(htpasswd: Registry, repository: str) -> None:
    client = anonymous(htpasswd, repository)
    assert client.authenticate(authorization=basic(USER, PASSWORD)) is None
    assert push(client) == BLOB


def test_a_password_goes_before_an_authorization_value(htpasswd: Registry, repository: str) -> None:
    client = anonymous(htpasswd, repository)
    client.authenticate(USER, PASSWORD, authorization="Basic nonsense")
    assert push(client) == BLOB


def test_a_base_authenticates_for_its_repositories(htpasswd: Registry, repository: str) -> None:
    base = DXFBase(htpasswd.host, tlsverify=htpasswd.lab.ca)
    base.authenticate(USER, PASSWORD)
    assert push(DXF.from_base(base, repository)) == BLOB


def test_a_wrong_password_is_unauthorized(htpasswd: Registry, repository: str) -> None:
    client = anonymous(htpasswd, repository)
    assert client.authenticate(USER, "wrong") is None
    with pytest.raises(DXFUnauthorizedError):
        push(client)


def test_the_auth_function_gets_the_client_and_the_refusal(htpasswd: Registry, repository: str) -> None:
    calls: list[tuple[DXFBase, int]] = []

    def login(client: DXFBase, response: requests.Response) -> None:
        calls.append((client, response.status_code))
        client.authenticate(USER, PASSWORD, response=response)

    client = DXF(htpasswd.host, repository, login, tlsverify=htpasswd.lab.ca)
    push(client)
    assert calls == [(client, 401)]


def test_an_auth_function_that_is_of_no_use_is_called_once(htpasswd: Registry, repository: str) -> None:
    calls: list[int] = []

    def login(client: DXFBase, response: requests.Response) -> None:
        calls.append(response.status_code)
        client.authenticate(USER, "wrong", response=response)

    with pytest.raises(DXFUnauthorizedError):
        DXF(htpasswd.host, repository, login, tlsverify=htpasswd.lab.ca).list_aliases()
    assert calls == [401]


@pytest.mark.parametrize("agent", [None, "an agent/1"])
def test_basic_requests_have_the_user_agent(
    htpasswd: Registry, repository: str, lab: Lab, serve: NewServer, agent: str | None
) -> None:
    challenge = (("WWW-Authenticate", 'Basic realm="r"'),)
    server = serve(lambda r: Answer(200 if "authorization" in r.headers else 401, challenge), lab.server_context())
    client = DXFBase(server.host, tlsverify=lab.ca)
    client.authenticate(USER, PASSWORD, **({"user_agent": agent} if agent else {}))  # type: ignore[arg-type]
    client.api_version_check()
    assert server.requests[-1].headers["user-agent"] == (agent or "Docker-Client/19.03.2 (linux)")


# Nothing needed, nothing given, nothing allowed


@pytest.mark.parametrize("arguments", [{}, {"username": USER, "password": PASSWORD}])
def test_a_registry_that_asks_for_nothing_gets_nothing(proxy: Server, arguments: dict[str, str]) -> None:
    client = DXFBase(proxy.host, insecure=True)
    assert client.authenticate(**arguments) is None  # type: ignore[arg-type]
    client.api_version_check()
    assert all("authorization" not in request.headers for request in proxy.requests)


@pytest.mark.parametrize("kind", ["htpasswd", "token_registry"])
def test_without_authentication_a_request_is_unauthorized(
    request: pytest.FixtureRequest, kind: str, repository: str
) -> None:
    with pytest.raises(DXFUnauthorizedError):
        anonymous(request.getfixturevalue(kind), repository).list_aliases()


@pytest.mark.parametrize("challenge", ['Basic realm="r"', 'Bearer realm="https://h/t"'])
def test_no_credentials_travel_over_plain_http(serve: NewServer, challenge: str) -> None:
    server = serve(lambda request: Answer(401, (("WWW-Authenticate", challenge),)))
    with pytest.raises(DXFAuthInsecureError):
        DXFBase(server.host, insecure=True).authenticate(USER, PASSWORD)
    assert [("authorization" in request.headers) for request in server.requests] == [False]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_another_status_than_unauthorized_is_unexpected(serve: NewServer, status: int) -> None:
    server = serve(lambda request: Answer(status))
    with pytest.raises(DXFUnexpectedStatusCodeError) as caught:
        DXFBase(server.host, insecure=True).authenticate(USER, PASSWORD)
    assert (caught.value.got, caught.value.expected) == (status, 401)


def test_another_status_of_the_given_response_is_unexpected(serve: NewServer) -> None:
    host = serve(lambda request: Answer(500)).host
    response = requests.get(f"http://{host}/v2/", timeout=5)
    with pytest.raises(DXFUnexpectedStatusCodeError):
        DXFBase(host, insecure=True).authenticate(USER, PASSWORD, response=response)


# Tokens


def test_a_token_is_returned_and_kept(token_registry: Registry, repository: str) -> None:
    client = anonymous(token_registry, repository)
    assert client.token is None
    token = client.authenticate(USER, PASSWORD, actions=["pull", "push"])
    assert token
    assert client.token == token
    assert push(client) == BLOB


def test_an_authorization_value_is_enough_for_a_token(token_registry: Registry, repository: str) -> None:
    client = anonymous(token_registry, repository)
    client.authenticate(authorization=basic(USER, PASSWORD), actions=["*"])
    assert push(client) == BLOB


def test_a_token_obtained_before_can_be_set(token_registry: Registry, repository: str) -> None:
    token = anonymous(token_registry, repository).authenticate(USER, PASSWORD, actions=["pull", "push"])
    client = anonymous(token_registry, repository)
    assert token
    client.token = token
    assert push(client) == BLOB


def test_a_token_is_for_the_actions_that_were_named(token_registry: Registry, repository: str) -> None:
    client = anonymous(token_registry, repository)
    client.authenticate(USER, PASSWORD, actions=["pull", "push"])
    assert scopes(token_registry)[-1] == [f"repository:{repository}:pull,push"]


def test_a_token_is_for_what_the_refused_request_needs(token_registry: Registry, repository: str) -> None:
    client = DXF(repo=repository, **token_registry.client_arguments)
    push(client)
    assert actions(scopes(token_registry)[-1][0]) == (f"repository:{repository}", {"pull", "push"})


def test_a_token_for_a_mount_is_for_both_repositories(token_registry: Registry, repository: str) -> None:
    push(DXF(repo=repository, **token_registry.client_arguments))
    DXF(repo=repository + "-2", **token_registry.client_arguments).mount_blob(repository, BLOB)
    assert {actions(scope)[0] for scope in scopes(token_registry)[-1]} == {
        f"repository:{repository}",
        f"repository:{repository}-2",
    }


def test_a_token_without_the_right_is_unauthorized(token_registry: Registry, repository: str) -> None:
    client = anonymous(token_registry, repository)
    client.authenticate(USER, PASSWORD, actions=["pull"])
    with pytest.raises(DXFUnauthorizedError):
        push(client)


def test_a_token_that_no_longer_works_is_replaced(token_registry: Registry, repository: str) -> None:
    client = DXF(repo=repository, **token_registry.client_arguments)
    client.token = "expired"
    assert push(client) == BLOB
    assert client.token != "expired"


def test_a_base_without_a_scope_asks_for_the_catalog(token_registry: Registry) -> None:
    base = DXFBase(token_registry.host, tlsverify=token_registry.lab.ca)
    base.authenticate()
    assert scopes(token_registry)[-1] == ["registry:catalog:*"]
    assert isinstance(base.list_repos(), list)


def test_an_anonymous_user_may_pull_what_is_public(token_registry: Registry, public: str) -> None:
    push(DXF(repo=public, **token_registry.client_arguments))
    client = DXF(token_registry.host, public, login_as_nobody, tlsverify=token_registry.lab.ca)
    assert client.blob_size(BLOB) == 4


def test_an_anonymous_user_may_not_push_to_what_is_public(token_registry: Registry, public: str) -> None:
    client = anonymous(token_registry, public)
    assert client.authenticate(actions=["pull", "push"])
    with pytest.raises(DXFUnauthorizedError):
        push(client)


def test_a_wrong_password_gets_no_token(token_registry: Registry, repository: str) -> None:
    client = anonymous(token_registry, repository)
    with pytest.raises(DXFUnauthorizedError):
        client.authenticate(USER, "wrong", actions=["pull"])
    assert client.token is None


@pytest.mark.parametrize("agent", [None, "an agent/1"])
def test_the_token_server_is_told_the_user_agent(token_registry: Registry, repository: str, agent: str | None) -> None:
    assert token_registry.tokens
    client = anonymous(token_registry, repository)
    client.authenticate(USER, PASSWORD, ["pull"], **({"user_agent": agent} if agent else {}))  # type: ignore[arg-type]
    assert token_registry.tokens.user_agents[-1] == (agent or "Docker-Client/19.03.2 (linux)")


def test_the_token_server_can_be_another_one(
    token_registry: Registry, other_tokens: TokenServer, repository: str
) -> None:
    client = DXF(repo=repository, auth_host=other_tokens.host, **token_registry.client_arguments)
    assert push(client) == BLOB
    assert {account for account, _ in other_tokens.requests} == {USER}


def test_only_the_host_of_the_token_server_is_replaced(guarded: Server, lab: Lab, other_tokens: TokenServer) -> None:
    client = DXF(guarded.host, "a/b", auth_host=other_tokens.host, tlsverify=lab.ca)
    assert client.authenticate(USER, PASSWORD)
    assert other_tokens.requests == [(USER, {"service": ["Docker registry"], "scope": ["repository:a/b:pull"]})]


def test_a_token_server_that_fails_is_an_http_error(guarded: Server, lab: Lab, serve: NewServer) -> None:
    failing = serve(lambda request: Answer(500), lab.server_context())
    with pytest.raises(requests.HTTPError):
        DXF(guarded.host, "a/b", auth_host=failing.host, tlsverify=lab.ca).authenticate(USER, PASSWORD)


@pytest.mark.parametrize(
    ("document", "token"), [(b'{"token": "t"}', "t"), (b'{"access_token": "a", "token": "t"}', "a")]
)
def test_either_name_of_a_token_is_understood(
    guarded: Server, lab: Lab, serve: NewServer, document: bytes, token: str
) -> None:
    giving = serve(lambda request: Answer(200, (), document), lab.server_context())
    assert DXF(guarded.host, "a/b", auth_host=giving.host, tlsverify=lab.ca).authenticate() == token


def test_credentials_do_not_follow_a_redirect_to_another_host(lab: Lab, serve: NewServer) -> None:
    elsewhere = serve(lambda request: Answer(200, (), b"blob"), lab.server_context())
    location = f"https://127.0.0.1:{elsewhere.host.partition(':')[2]}/blob"
    registry = serve(lambda request: Answer(307, (("Location", location),)), lab.server_context())
    client = DXF(registry.host, "a/b", tlsverify=lab.ca)
    client.token = "secret"
    assert list(client.pull_blob(BLOB)) == [b"blob"]
    assert "authorization" not in elsewhere.requests[0].headers
