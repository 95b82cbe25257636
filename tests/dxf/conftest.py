"""What the client's tests can ask for: each kind of registry in turn, and clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regfs import DXF
from tests.registries import Registry
from tests.servers import Server, forward

NewClient = Callable[..., DXF]


@pytest.fixture(params=["plain", "tls", "htpasswd", "token_registry", "schema1"])
def registry(request: pytest.FixtureRequest) -> Registry:
    """A registry of each kind."""
    started: Registry = request.getfixturevalue(request.param)
    return started


@pytest.fixture
def repository(repository: str) -> str:
    """The name of a repository that no other test uses, with a slash in it."""
    return f"test/{repository}"


@pytest.fixture
def client(registry: Registry, repository: str) -> Iterator[DXF]:
    """A client of a registry of each kind, in a session."""
    with DXF(repo=repository, **registry.client_arguments) as made:
        yield made


@pytest.fixture
def plain_client(plain: Registry, repository: str) -> Iterator[DXF]:
    """A client of the plain registry, in a session."""
    with DXF(repo=repository, **plain.client_arguments) as made:
        yield made


@pytest.fixture
def proxy(plain: Registry, serve: Callable[..., Server]) -> Server:
    """A server that passes everything on to the plain registry."""
    return serve(forward(plain.host))


@pytest.fixture
def front(registry: Registry, serve: Callable[..., Server]) -> Server:
    """A server that passes everything on to a registry of each kind, itself over TLS where that is."""
    if not registry.tls:
        return serve(forward(registry.host))
    return serve(forward(registry.host, registry.lab.client_context()), registry.lab.server_context())


@pytest.fixture
def blob(tmp_path: Path) -> Callable[[bytes], str]:
    """Write a file and return its name."""

    def write(content: bytes) -> str:
        path = tmp_path / f"blob{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        return str(path)

    return write
