"""Contexts and their connections, TLS and timeouts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import requests

from regfs import DXF, DXFBase, hash_bytes
from tests.registries import Registry
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]


def through(front: Server, registry: Registry, repository: str) -> DXF:
    return DXF(repo=repository, **{**registry.client_arguments, "host": front.host})


def base_through(front: Server, registry: Registry) -> DXFBase:
    return DXFBase(**{**registry.client_arguments, "host": front.host})


def exercise(client: DXF) -> None:
    digest = client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob"))
    client.set_alias("v1", digest)
    assert client.get_alias("v1") == [digest]
    assert list(client.pull_blob(digest)) == [b"blob"]


def test_requests_in_a_context_share_one_connection(front: Server, registry: Registry, repository: str) -> None:
    with through(front, registry, repository) as client:
        exercise(client)
    assert front.connections == 1


def test_a_context_is_the_client_itself(plain: Registry, repository: str) -> None:
    client = DXF(repo=repository, **plain.client_arguments)
    with client as entered:
        assert entered is client


def test_requests_outside_of_a_context_have_a_connection_each(
    front: Server, registry: Registry, repository: str
) -> None:
    client = through(front, registry, repository)
    for _ in range(3):
        client.api_version_check()
    assert front.connections == len(front.requests)


def test_a_nested_context_has_a_connection_of_its_own(front: Server, registry: Registry) -> None:
    with base_through(front, registry) as base:
        base.api_version_check()
        with base:
            base.api_version_check()
            base.api_version_check()
        base.api_version_check()
    assert front.connections == 2


def test_the_end_of_a_context_closes_its_connections(front: Server, registry: Registry) -> None:
    with base_through(front, registry) as base:
        base.api_version_check()
        assert not front.all_closed(within=0)
    assert front.all_closed()


def test_a_context_that_fails_closes_its_connections(front: Server, registry: Registry, repository: str) -> None:
    with pytest.raises(requests.HTTPError), through(front, registry, repository) as client:
        client.get_alias("missing")
    assert front.all_closed()


def test_a_pull_that_fails_gives_its_connection_back_and_says_why(
    front: Server, registry: Registry, repository: str
) -> None:
    with through(front, registry, repository) as client:
        for _ in range(3):
            with pytest.raises(requests.HTTPError) as caught:
                client.pull_blob(hash_bytes(b"never pushed"))
            assert caught.value.response.json()["errors"][0]["code"] == "BLOB_UNKNOWN"
    assert front.connections == 1


def test_a_client_can_be_entered_again(front: Server, registry: Registry) -> None:
    base = base_through(front, registry)
    for _ in range(2):
        with base:
            base.api_version_check()
            base.api_version_check()
    assert front.connections == 2


def test_a_repository_made_from_a_base_shares_its_session(front: Server, registry: Registry, repository: str) -> None:
    with base_through(front, registry) as base:
        base.api_version_check()
        exercise(DXF.from_base(base, repository))
        exercise(DXF.from_base(base, repository + "-2"))
    assert front.connections == 1


def test_a_repository_made_from_a_base_has_its_settings(registry: Registry, repository: str) -> None:
    exercise(DXF.from_base(DXFBase(**registry.client_arguments), repository))


def test_a_repository_made_from_a_base_has_its_token(token_registry: Registry, repository: str) -> None:
    owner = DXF(repo=repository, **token_registry.client_arguments)
    exercise(owner)
    base = DXFBase(token_registry.host, tlsverify=token_registry.lab.ca)
    base.token = str(owner.token)
    made = DXF.from_base(base, repository)
    assert made.token == owner.token
    assert made.get_alias("v1") == [hash_bytes(b"blob")]


def test_a_repository_made_from_a_base_is_of_the_class_that_was_asked(plain: Registry, repository: str) -> None:
    class Special(DXF):
        pass

    assert type(Special.from_base(DXFBase(**plain.client_arguments), repository)) is Special


def test_an_official_image_of_docker_hub_is_under_library() -> None:
    asked: list[str] = []

    class Asking(DXF):
        def _send(self, method: str, url: str, **kwargs: object) -> requests.Response:
            asked.append(url)
            raise requests.ConnectionError

    for repository in ("alpine", "fred/alpine"):
        with pytest.raises(requests.ConnectionError):
            Asking("registry-1.docker.io", repository).list_aliases()
    assert [url.removeprefix("https://registry-1.docker.io/v2/") for url in asked] == [
        "library/alpine/tags/list",
        "fred/alpine/tags/list",
    ]


@pytest.fixture
def own_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CA bundle comes from the environment."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("own_trust")
def test_a_certificate_of_an_unknown_ca_is_refused(tls: Registry) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        DXFBase(tls.host).api_version_check()


@pytest.mark.usefixtures("own_trust")
def test_a_certificate_of_the_given_ca_is_accepted(tls: Registry) -> None:
    assert DXFBase(tls.host, tlsverify=tls.lab.ca).api_version_check()[0] == "{}"


@pytest.mark.usefixtures("own_trust")
def test_no_certificate_is_verified_when_told_so(token_registry: Registry, repository: str) -> None:
    with DXF(repo=repository, **{**token_registry.client_arguments, "tlsverify": False}) as client:
        exercise(client)


def test_https_is_the_default(plain: Registry) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        DXFBase(plain.host).api_version_check()


def test_a_registry_that_stalls_times_out(serve: NewServer) -> None:
    released = threading.Event()

    def stall(request: Request) -> Answer:
        released.wait(30)
        return Answer()

    client = DXFBase(serve(stall).host, insecure=True, timeout=0.1)
    with pytest.raises(requests.Timeout):
        client.api_version_check()
    released.set()


def test_a_registry_that_is_not_there_is_a_connection_error(serve: NewServer) -> None:
    gone = serve(lambda request: Answer())
    gone.stop()
    with pytest.raises(requests.ConnectionError):
        DXFBase(gone.host, insecure=True).api_version_check()


def test_the_version_check_returns_the_body_and_the_response(registry: Registry) -> None:
    body, response = DXFBase(**registry.client_arguments).api_version_check()
    assert (body, response.status_code) == ("{}", 200)
    assert response.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 429, 500, 503])
def test_an_error_status_without_a_name_is_an_http_error(serve: NewServer, status: int) -> None:
    server = serve(lambda request: Answer(status))
    with pytest.raises(requests.HTTPError) as caught:
        DXFBase(server.host, insecure=True).api_version_check()
    assert caught.value.response.status_code == status
    assert len(server.requests) == 1
