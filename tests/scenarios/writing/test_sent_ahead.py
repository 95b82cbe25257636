"""A large file is sent while it is written; nothing of that shows but the time that close takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.contents import MIB
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Handle, Mounted, eventually
from tests.servers import Answer, Request, Server, forward

Mount = Callable[..., Mounted]


class Watched:
    """A proxy before a registry that can answer some methods by itself."""

    def __init__(self, registry: Registry) -> None:
        self.refused: dict[str, int] = {}
        honest = forward(registry.host)
        self.server = Server(
            lambda request: Answer(self.refused[request.method]) if request.method in self.refused else honest(request)
        )

    def sent(self, method: str) -> list[Request]:
        """The requests of a method so far."""
        return [request for request in self.server.requests if request.method == method]

    def pieces(self) -> int:
        """Bytes sent in pieces so far."""
        return sum(len(request.body) for request in self.sent("PATCH"))


@pytest.fixture
def watched(registry: Registry) -> Iterator[Watched]:
    """A proxy before the registry."""
    proxy = Watched(registry)
    yield proxy
    proxy.server.stop()


@pytest.fixture
def view(watched: Watched, mount: Mount, foreign: Foreign, repository: str) -> Mounted:
    """A mount of the watched registry, with an alias."""
    foreign.artifact(repository, "v1", {})
    return mount(f"http://{watched.server.host}")


def written(view: Mounted, path: str, content: bytes) -> Handle:
    """A file that is open, and written in order so far."""
    handle = view.open(path, os.O_WRONLY | os.O_CREAT)
    handle.write(content, 0)
    return handle


def test_whole_pieces_are_sent_before_close(view: Mounted, watched: Watched, foreign: Foreign, repository: str) -> None:
    content = os.urandom(40 * MIB)
    with written(view, f"{repository}/v1/big.bin", content):
        eventually(lambda: watched.pieces() >= 16 * MIB)
    assert foreign.files(repository, "v1") == {"big.bin": content}
    assert watched.pieces() == len(content)


def test_a_small_file_is_one_request(view: Mounted, watched: Watched, foreign: Foreign, repository: str) -> None:
    with written(view, f"{repository}/v1/small.bin", b"small"):
        pass
    assert watched.sent("PATCH") == []
    assert foreign.files(repository, "v1") == {"small.bin": b"small"}


def test_bytes_written_over_after_they_were_sent_are_sent_again(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    content = bytearray(os.urandom(20 * MIB))
    with written(view, f"{repository}/v1/big.bin", bytes(content)) as handle:
        eventually(lambda: watched.pieces() >= 16 * MIB)
        handle.write(b"other bytes", MIB)
    content[MIB : MIB + 11] = b"other bytes"
    assert foreign.files(repository, "v1") == {"big.bin": bytes(content)}
    assert len(watched.sent("DELETE")) == 1


def test_a_file_cut_short_after_it_was_sent_is_sent_again(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    content = os.urandom(20 * MIB)
    with written(view, f"{repository}/v1/big.bin", content) as handle:
        eventually(lambda: watched.pieces() >= 16 * MIB)
        handle.truncate(5 * MIB)
    assert foreign.files(repository, "v1") == {"big.bin": content[: 5 * MIB]}


def test_what_the_repository_has_is_cancelled(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    content = os.urandom(20 * MIB)
    foreign.push(repository, content)
    with written(view, f"{repository}/v1/big.bin", content):
        eventually(lambda: watched.pieces() >= 16 * MIB)
    assert foreign.files(repository, "v1") == {"big.bin": content}
    assert len(watched.sent("DELETE")) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 416, 501])
def test_a_registry_that_takes_no_pieces_gets_the_file_whole(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str, status: int
) -> None:
    watched.refused["PATCH"] = status
    content = os.urandom(20 * MIB)
    with written(view, f"{repository}/v1/big.bin", content):
        eventually(lambda: len(watched.sent("PATCH")) > 0)
    assert foreign.files(repository, "v1") == {"big.bin": content}
    assert len(watched.sent("PATCH")) == 1


def test_a_file_removed_while_it_is_written_is_cancelled(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    with written(view, f"{repository}/v1/big.bin", os.urandom(20 * MIB)):
        eventually(lambda: watched.pieces() >= 16 * MIB)
        view.remove(f"{repository}/v1/big.bin")
    eventually(lambda: len(watched.sent("DELETE")), 1)
    assert foreign.files(repository, "v1") == {}


def test_a_file_moved_to_another_repository_while_it_is_written_arrives_there(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(f"{repository}2", "v1", {})
    content = os.urandom(20 * MIB)
    with written(view, f"{repository}/v1/big.bin", content):
        eventually(lambda: watched.pieces() >= 16 * MIB)
        view.rename(f"{repository}/v1/big.bin", f"{repository}2/v1/big.bin")
    assert foreign.files(f"{repository}2", "v1") == {"big.bin": content}
    assert foreign.files(repository, "v1") == {}


def test_appending_to_an_existing_blob_sends_nothing_before_close(
    view: Mounted, watched: Watched, foreign: Foreign, repository: str
) -> None:
    content = os.urandom(17 * MIB)
    foreign.artifact(repository, "v1", {"big.bin": content})
    with view.open(f"{repository}/v1/big.bin", os.O_WRONLY) as handle:
        handle.write(b"more", len(content))
    assert watched.sent("PATCH") == []
    assert foreign.files(repository, "v1") == {"big.bin": content + b"more"}
