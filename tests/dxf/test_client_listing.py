"""Listings of repositories and aliases, page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import pytest
import requests

from regfs import DXF, DXFBase, hash_bytes
from tests.registries import Lab, Registry
from tests.servers import Answer, Request, Server, forward

NewServer = Callable[..., Server]
NAMES = [f"name{number}" for number in range(5)]


@pytest.fixture(scope="module")
def three(lab: Lab) -> Registry:
    """A registry of exactly three repositories, the first with three aliases."""
    registry = lab.start("plain")
    for name in ("a", "b/c", "d"):
        client = DXF(repo=name, **registry.client_arguments)
        digest = client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob"))
        for alias in ("v1", "v2", "v3"):
            client.set_alias(alias, digest)
    return registry


def paged(key: str, link: Callable[[int], str]) -> Callable[[Request], Answer]:
    """Answers with two names at a time, and the Link that *link* makes of where the next page begins."""

    def respond(request: Request) -> Answer:
        start = int(request.path.partition("from=")[2] or 0)
        headers = (("Link", link(start + 2)),) if start + 2 < len(NAMES) else ()
        return Answer(200, headers, json.dumps({key: NAMES[start : start + 2]}).encode())

    return respond


PATHS = {"repositories": "/v2/_catalog", "tags": "/v2/a/b/tags/list"}


@pytest.fixture(params=sorted(PATHS))
def key(request: pytest.FixtureRequest) -> str:
    """Each kind of listing, by the key of its names."""
    name: str = request.param
    return name


def listing(server: Server, key: str) -> Callable[..., Iterable[str]]:
    client = DXF(server.host, "a/b", insecure=True)
    return client.list_repos if key == "repositories" else client.list_aliases


def test_all_repositories_are_listed(three: Registry) -> None:
    assert DXFBase(**three.client_arguments).list_repos() == ["a", "b/c", "d"]


def test_a_repository_that_was_pushed_is_listed(client: DXF, repository: str) -> None:
    client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob"))
    assert repository in client.list_repos(batch_size=1000)


@pytest.mark.parametrize(("batch_size", "requests_made"), [(None, 1), (1, 3), (2, 2), (3, 1), (1000, 1)])
def test_repositories_are_asked_for_so_many_at_a_time(
    three: Registry, serve: NewServer, batch_size: int | None, requests_made: int
) -> None:
    server = serve(forward(three.host))
    assert DXFBase(server.host, insecure=True).list_repos(batch_size) == ["a", "b/c", "d"]
    assert len(server.requests) == requests_made


def test_repositories_are_listed_as_they_come(three: Registry, serve: NewServer) -> None:
    server = serve(forward(three.host))
    names = iter(DXFBase(server.host, insecure=True).list_repos(1, iterate=True))
    assert (server.requests, next(names), len(server.requests)) == ([], "a", 1)
    assert list(names) == ["b/c", "d"]


def test_all_aliases_are_listed(client: DXF) -> None:
    digest = client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob"))
    for alias in ("v1", "v2"):
        client.set_alias(alias, digest)
    assert sorted(client.list_aliases()) == ["v1", "v2"]


def test_aliases_can_be_iterated_over(client: DXF) -> None:
    client.set_alias("v1", client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob")))
    names = client.list_aliases(iterate=True)
    assert not isinstance(names, list)
    assert list(names) == ["v1"]


def test_a_repository_whose_aliases_are_deleted_has_none(client: DXF) -> None:
    client.set_alias("v1", client.push_blob(data=iter([b"blob"]), digest=hash_bytes(b"blob")))
    client.del_alias("v1")
    assert client.list_aliases() == []


def test_the_aliases_of_an_unknown_repository_are_an_http_error(client: DXF) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        client.list_aliases()
    assert caught.value.response.status_code == 404


def test_a_listing_asks_for_no_number_unless_told(serve: NewServer, key: str) -> None:
    server = serve(paged(key, lambda start: ""))
    listing(server, key)()
    assert [request.path for request in server.requests] == [PATHS[key]]


def test_a_listing_asks_for_the_batch_size_once(serve: NewServer, key: str) -> None:
    path = PATHS[key]
    server = serve(paged(key, lambda start: f'<{path}?n=2&from={start}>; rel="next"'))
    assert listing(server, key)(batch_size=2) == NAMES
    assert [r.path for r in server.requests] == [f"{path}?n=2", f"{path}?n=2&from=2", f"{path}?n=2&from=4"]


def test_a_listing_is_fetched_as_it_is_read(serve: NewServer, key: str) -> None:
    server = serve(paged(key, lambda start: f'<{PATHS[key]}?from={start}>; rel="next"'))
    names: Iterator[str] = iter(listing(server, key)(iterate=True))
    counts = [(next(names), len(server.requests)) for _ in range(4)]
    assert counts == [("name0", 1), ("name1", 1), ("name2", 2), ("name3", 2)]


@pytest.mark.parametrize(
    "link",
    [
        '<{path}?from={start}>; rel="next"',
        "<{path}?from={start}>; rel=next",
        '<http://{host}{path}?from={start}>; rel="next"',
        '<?from={start}>; rel="next"',
        '<{path}?from=0>; rel="first", <{path}?from={start}>; rel="next"',
    ],
)
def test_any_form_of_link_leads_to_the_next_page(serve: NewServer, key: str, link: str) -> None:
    made: list[Server] = []
    path = PATHS[key]
    made.append(serve(paged(key, lambda start: link.format(host=made[0].host, path=path, start=start))))
    assert listing(made[0], key)() == NAMES


def test_a_link_to_another_host_does_not_lead_there(serve: NewServer, key: str) -> None:
    elsewhere = serve(lambda request: Answer(200, (), json.dumps({key: ["stolen"]}).encode()))
    link = f'<http://{elsewhere.host}{PATHS[key]}?from={{}}>; rel="next"'
    assert listing(serve(paged(key, link.format)), key)() == NAMES
    assert elsewhere.requests == []


def test_a_listing_of_null_is_empty(serve: NewServer, key: str) -> None:
    assert listing(serve(lambda request: Answer(200, (), json.dumps({key: None}).encode())), key)() == []


def test_a_listing_that_fails_is_an_http_error(serve: NewServer, key: str) -> None:
    with pytest.raises(requests.HTTPError):
        listing(serve(lambda request: Answer(500)), key)()
