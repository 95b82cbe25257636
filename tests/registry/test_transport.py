"""The one status check, and that no answer keeps a connection from those who wait for one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import requests

from regfs import hash_bytes
from regfs.exceptions import DXFUnauthorizedError
from regfs.registry.http.auth import Access
from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import PooledTransport, check_status
from tests.registries import Registry
from tests.servers import Answer, Server

NewServer = Callable[..., Server]
MISSING = hash_bytes(b"never pushed")
MORE_THAN_THE_POOL_HAS = 20


@pytest.fixture
def transport() -> Iterator[PooledTransport]:
    """A pool of connections that repeats nothing."""
    made = PooledTransport(retries=0, timeout=5)
    yield made
    made.close()


@pytest.mark.timeout(20)
def test_failed_transfers_leave_the_pool_its_connections(
    transport: PooledTransport, plain: Registry, repository: str
) -> None:
    remote = Remote(plain.host, True, transport)
    for _ in range(MORE_THAN_THE_POOL_HAS):
        source = remote.source(repository, MISSING)
        with pytest.raises(requests.HTTPError), source.open(0, 1, 1):
            pass
    assert remote.blob_size(repository, MISSING) is None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", [b"", b"why", b"x" * (1 << 20)])
def test_an_error_keeps_the_beginning_of_its_body(
    serve: NewServer, transport: PooledTransport, body: bytes, stream: bool
) -> None:
    host = serve(lambda request: Answer(500, (), body)).host
    response = transport.send("get", f"http://{host}/", access=Access(), stream=stream)
    with pytest.raises(requests.HTTPError) as caught:
        check_status(response)
    assert caught.value.response.content == body[: 1 << 16]


def test_the_whole_body_of_an_error_that_was_read_stays(serve: NewServer) -> None:
    body = b"x" * (1 << 20)
    host = serve(lambda request: Answer(500, (), body)).host
    with pytest.raises(requests.HTTPError) as caught:
        check_status(requests.get(f"http://{host}/", timeout=5))
    assert caught.value.response.content == body


def test_an_error_whose_body_is_cut_is_still_that_error(serve: NewServer, transport: PooledTransport) -> None:
    host = serve(lambda request: Answer(404, (("Content-Length", "9"), ("Connection", "close")), b"cut")).host
    response = transport.send("get", f"http://{host}/", stream=True)
    with pytest.raises(requests.HTTPError) as caught:
        check_status(response)
    assert caught.value.response.status_code == 404


def test_a_401_is_unauthorized(serve: NewServer) -> None:
    host = serve(lambda request: Answer(401)).host
    with pytest.raises(DXFUnauthorizedError):
        check_status(requests.get(f"http://{host}/", timeout=5))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_a_success_is_handed_on(serve: NewServer, status: int) -> None:
    response = requests.get(f"http://{serve(lambda request: Answer(status)).host}/", timeout=5)
    assert check_status(response) is response


def test_closing_closes_every_connection_also_when_an_answer_is_still_looked_at(serve: Callable[..., Server]) -> None:
    server = serve(lambda request: Answer(200, (), b"content"))
    transport = PooledTransport(retries=0, timeout=5)
    answer = transport.send("GET", f"http://{server.host}/", stream=True)
    assert answer.content == b"content"
    transport.close()
    assert server.all_closed(within=2.0)
    assert answer.content == b"content"


def test_what_could_not_be_reached_is_told_without_the_names_of_classes(transport: PooledTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host = f"localhost:{unused.getsockname()[1]}"
    assert _problem(transport, host) == f"{host}: Failed to establish a new connection: [Errno 111] Connection refused"


def test_a_registry_that_hangs_up_is_told_so(transport: PooledTransport) -> None:
    def hang_up() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = f"localhost:{listening.getsockname()[1]}"
        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        problem = _problem(transport, host)
        hanging_up.join()
    assert problem == f"{host}: Connection aborted, Remote end closed connection without response"


def test_a_registry_that_does_not_answer_in_time_is_told_so() -> None:
    transport = PooledTransport(retries=0, timeout=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, closing(transport):
        host = f"localhost:{silent.getsockname()[1]}"
        assert _problem(transport, host) == f"{host}: Read timed out. (read timeout=0.2)"


def _problem(transport: PooledTransport, host: str) -> str:
    with pytest.raises(requests.RequestException) as caught:
        transport.send("get", f"http://{host}/", access=Access())
    return str(caught.value)
