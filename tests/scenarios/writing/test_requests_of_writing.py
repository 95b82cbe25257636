"""What a closed file costs: the requests of its push, counted at a proxy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted
from tests.servers import Server, forward

Mount = Callable[..., Mounted]
SMALL, LARGE = 4096, 1 << 20  # bytes


class Asked:
    """A mount of an alias that has a file ``there`` of some bytes, and the requests for another one of its files.

    :param content: of the file that is there
    """

    def __init__(self, proxy: Server, mount: Mount, foreign: Foreign, repository: str, content: bytes) -> None:
        foreign.artifact(repository, "v1", {"there": content})
        self._proxy = proxy
        self._view = mount(f"http://{proxy.host}/{repository}:v1", ttl=300)
        self._view.list()

    def by(self, content: bytes, name: str = "new") -> list[str]:
        """What writing and closing a file asks the registry for: methods, in their order."""
        asked = len(self._proxy.requests)
        self._view.write_bytes(name, content)
        return [request.method for request in self._proxy.requests[asked:]]


@pytest.fixture
def asked(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, request: pytest.FixtureRequest
) -> Iterator[Asked]:
    """By a file, where the alias has one of the bytes in the parameter."""
    with Server(forward(registry.host)) as proxy:
        yield Asked(proxy, mount, foreign, repository, request.param)


@pytest.mark.parametrize("asked", [b"other"], indirect=True)
def test_a_small_new_file_is_two_requests_and_two_of_its_manifest(asked: Asked) -> None:
    assert asked.by(os.urandom(SMALL)) == ["POST", "PUT", "GET", "PUT"]


@pytest.mark.parametrize("asked", [b"other"], indirect=True)
def test_a_larger_new_file_is_asked_for_before_it_is_sent(asked: Asked) -> None:
    assert asked.by(os.urandom(LARGE)) == ["HEAD", "POST", "PUT", "GET", "PUT"]


@pytest.mark.parametrize("asked", [bytes(SMALL), bytes(LARGE)], ids=["small", "large"], indirect=True)
@pytest.mark.parametrize("name", ["new", "there"])
def test_bytes_that_the_alias_has_are_not_sent(asked: Asked, name: str, request: pytest.FixtureRequest) -> None:
    content: bytes = request.node.callspec.params["asked"]
    assert asked.by(content, name) == ["HEAD", "GET", "PUT"]


@pytest.mark.parametrize("asked", [b"other"], indirect=True)
def test_bytes_that_were_pushed_a_moment_ago_are_not_asked_for(asked: Asked) -> None:
    content = os.urandom(LARGE)
    asked.by(content, "first")
    assert asked.by(content, "second") == ["GET", "PUT"]
