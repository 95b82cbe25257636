"""What is sent to whom, for how long an answer is waited for, and how much of it is read."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from regfs.exceptions import DXFAuthInsecureError, DXFError, DXFUnauthorizedError
from regfs.oci.manifest import InvalidManifest
from regfs.oci.reference import parse_reference
from regfs.registry.http.auth import Access, Credential, basic
from regfs.registry.http.remote import Remote
from regfs.registry.http.tls import Certificates
from regfs.registry.http.transport import (
    ConnectionFailed,
    PooledTransport,
    RequestException,
    Timeout,
    UnsafeRedirect,
    check_status,
)
from tests.registries import PASSWORD, USER, Lab
from tests.security.conftest import NewServer, within
from tests.servers import Answer, Request

FRED = Credential(USER, PASSWORD)
BASIC = (("WWW-Authenticate", 'Basic realm="r"'),)
BOMB = gzip.compress(bytes(64 << 20), mtime=0)
GZIP = ("Content-Encoding", "gzip")
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def transport(lab: Lab) -> Iterator[Callable[..., PooledTransport]]:
    """Makes transports of fred's that trust the tests' CA and are not patient."""
    made: list[PooledTransport] = []

    def make(**options: object) -> PooledTransport:
        tls = Certificates((lab.ca,)).context()
        given = {"timeout": 1.0, "retries": 1, "credential": lambda repository: FRED, **options}
        made.append(PooledTransport(tls=tls, **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def asking_for_login(request: Request) -> Answer | None:
    return None if "authorization" in request.headers else Answer(401, BASIC)


def redirecting(location: str) -> Callable[[Request], Answer]:
    return lambda request: asking_for_login(request) or Answer(307, (("Location", location),))


def elsewhere(host: str, scheme: str = "https") -> str:
    """The same server by another name."""
    return f"{scheme}://127.0.0.1:{host.partition(':')[2]}/elsewhere?X-Signature=signed"


# To whom


@pytest.mark.parametrize("method", ["get", "put", "post", "patch", "delete", "head"])
def test_no_credential_follows_a_redirect_to_another_host(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport], method: str
) -> None:
    other = serve(lambda request: Answer(200), lab.server_context())
    registry = serve(redirecting(elsewhere(other.host)), lab.server_context())
    transport().send(method, f"https://{registry.host}/v2/", access=Access("r"))
    assert "authorization" in registry.requests[-1].headers
    assert [request.headers.get("authorization") for request in other.requests] == [None]


@pytest.mark.parametrize("method", ["get", "put", "post", "patch", "delete", "head"])
def test_no_redirect_leads_from_https_to_http(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport], method: str
) -> None:
    other = serve(lambda request: Answer(200))
    registry = serve(redirecting(elsewhere(other.host, "http")), lab.server_context())
    with pytest.raises(UnsafeRedirect):
        transport().send(method, f"https://{registry.host}/v2/", access=Access("r"))
    assert other.requests == []


def test_a_token_server_that_redirects_to_http_is_refused(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport]
) -> None:
    other = serve(lambda request: Answer(200, (), b'{"token": "t"}'))
    tokens = serve(lambda request: Answer(302, (("Location", elsewhere(other.host, "http")),)), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{tokens.host}/token"'),)
    registry = serve(lambda request: Answer(401, challenge), lab.server_context())
    with pytest.raises((DXFUnauthorizedError, UnsafeRedirect)):
        transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))
    assert other.requests == []


def test_a_redirect_is_not_believed_about_whom_to_ask_for_a_token(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport]
) -> None:
    thief = serve(lambda request: Answer(200, (), b'{"token": "t"}'), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{thief.host}/token"'),)
    storage = serve(lambda request: Answer(401, challenge), lab.server_context())
    location = (("Location", elsewhere(storage.host)),)
    registry = serve(lambda request: Answer(307, location), lab.server_context())
    response = transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))
    assert response.status_code == 401
    assert thief.requests == []


def test_a_netrc_gives_no_credential_to_anybody(
    serve: NewServer,
    lab: Lab,
    transport: Callable[..., PooledTransport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login alice password of-alice\n")
    monkeypatch.setenv("NETRC", str(netrc))
    other = serve(lambda request: Answer(200), lab.server_context())
    registry = serve(lambda request: Answer(307, (("Location", elsewhere(other.host)),)), lab.server_context())
    transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))
    for server in (registry, other):
        assert [request.headers.get("authorization") for request in server.requests] == [None]


def test_a_loopback_registry_is_not_asked_through_a_proxy(
    serve: NewServer, transport: Callable[..., PooledTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda request: Answer(200))
    registry = serve(lambda request: asking_for_login(request) or Answer(200))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    transport().send("get", f"http://{registry.host}/v2/", access=Access("r"))
    assert (len(registry.requests), proxy.requests) == (2, [])


def test_a_loopback_target_of_a_redirect_is_not_asked_through_a_proxy(
    serve: NewServer, transport: Callable[..., PooledTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda request: Answer(200))
    other = serve(lambda request: Answer(200))
    registry = serve(lambda request: Answer(307, (("Location", elsewhere(other.host, "http")),)))
    monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
    transport().send("get", f"http://{registry.host}/v2/")
    assert (len(other.requests), proxy.requests) == (1, [])


def test_no_credential_goes_over_plain_http_to_a_host_that_is_not_loopback(
    serve: NewServer, transport: Callable[..., PooledTransport]
) -> None:
    registry = serve(lambda request: asking_for_login(request) or Answer(200))
    with pytest.raises(DXFAuthInsecureError):
        transport(may_send_credentials=False).send("get", f"http://{registry.host}/v2/", access=Access("r"))
    assert all("authorization" not in request.headers for request in registry.requests)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("[::1]:5000", True),
        ("127.evil.example", False),
        ("127.0.0.1.evil.example:80", False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("[::2]", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert parse_reference(host).is_loopback == loopback


@pytest.mark.parametrize("location", ["http://{host}/upload", "http://{other}/upload"])
@pytest.mark.parametrize("operation", ["push", "cancel"])
def test_no_upload_location_leads_to_plain_http(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport], location: str, operation: str
) -> None:
    plain = serve(lambda request: Answer(201))

    def answer(request: Request) -> Answer:
        where = location.format(host=registry.host, other=plain.host)
        return asking_for_login(request) or Answer(202, (("Location", where),))

    registry = serve(answer, lab.server_context())
    remote = Remote(registry.host, False, transport())
    with suppress(RequestException, DXFError):
        if operation == "push":
            remote.push_blob("r", b"content", DIGEST)
        else:
            remote.mount_blob("r", "source", DIGEST)
    assert plain.requests == []
    assert registry.requests


def test_an_upload_location_on_another_host_gets_no_credential(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport]
) -> None:
    other = serve(lambda request: Answer(201), lab.server_context())
    location = (("Location", elsewhere(other.host)),)
    registry = serve(lambda request: asking_for_login(request) or Answer(202, location), lab.server_context())
    Remote(registry.host, False, transport()).push_blob("r", b"content", DIGEST)
    assert [(r.method, r.headers.get("authorization")) for r in other.requests] == [("PUT", None)]


# For how long


@contextmanager
def dripping(first: bytes, more: bytes, pause: float) -> Iterator[str]:
    """A server that says something, and then goes on and on saying more."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(first)
            while not ended.wait(pause):
                connection.sendall(more)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"localhost:{listener.getsockname()[1]}"
    ended.set()
    listener.shutdown(socket.SHUT_RDWR)  # ends the thread that accepts
    listener.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "nothing": (b"", b"", 0.1),
    "status line": (b"HTTP/1.1 200 ", b"x", 0.1),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X", 0.1),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001),
    "slow body": (OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.1),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", 0.02),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 100, 0.001),
    "error body": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n", b"x", 0.1),
}


@pytest.mark.parametrize("what", list(DRIPS))
@pytest.mark.parametrize("operation", ["manifest", "put_manifest"])
def test_an_answer_that_does_not_come_to_its_end_is_given_up(
    transport: Callable[..., PooledTransport], what: str, operation: str
) -> None:
    arguments = {"manifest": ("r", "v1"), "put_manifest": ("r", "v1", b"{}", "t/t")}
    with dripping(*DRIPS[what]) as host, within(6):
        remote = Remote(host, True, transport(timeout=0.15, retries=0))
        with suppress(RequestException, DXFError):
            getattr(remote, operation)(*arguments[operation])


def test_a_blob_that_comes_too_slowly_is_a_timeout(transport: Callable[..., PooledTransport]) -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with dripping(first, b"x", 0.05) as host, within(5):
        source = Remote(host, True, transport(timeout=0.3)).source("r", DIGEST)
        with pytest.raises(Timeout), source.open(0, 100_000, 100_000) as body:
            body.read_into(memoryview(bytearray(100_000)))


def test_a_blob_may_take_longer_than_other_answers(transport: Callable[..., PooledTransport]) -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n"
    with dripping(first, bytes(2000), 0.05) as host:
        source = Remote(host, True, transport(timeout=1.0)).source("r", DIGEST)
        got = 0
        with source.open(0, 80_000, 80_000) as body:
            while count := body.read_into(memoryview(bytearray(4000))):
                got += count
    assert got == 80_000


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_asks_for_a_long_wait_has_failed(
    serve: NewServer, transport: Callable[..., PooledTransport], status: int
) -> None:
    registry = serve(lambda request: Answer(status, (("Retry-After", "3600"),)))
    with within(2):
        response = transport(retries=5).send("get", f"http://{registry.host}/v2/")
    assert (response.status_code, len(registry.requests)) == (status, 1)


@pytest.mark.parametrize("wait", ["-5", "soon", "9" * 5000, "Tue, 99 Foo 2099", ""])
def test_a_retry_after_that_makes_no_sense_breaks_nothing(
    serve: NewServer, transport: Callable[..., PooledTransport], wait: str
) -> None:
    registry = serve(lambda request: Answer(503, (("Retry-After", wait),)))
    with within(5):
        response = transport().send("get", f"http://{registry.host}/v2/")
    assert response.status_code == 503


def test_a_short_wait_that_a_registry_asks_for_is_kept(
    serve: NewServer, transport: Callable[..., PooledTransport]
) -> None:
    answers = [Answer(429, (("Retry-After", "1"),)), Answer(200)]
    registry = serve(lambda request: answers.pop(0))
    began = time.monotonic()
    assert transport().send("get", f"http://{registry.host}/v2/").status_code == 200
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(("method", "times"), [("get", 2), ("head", 2), ("delete", 2), ("post", 1), ("patch", 1)])
def test_only_what_is_safe_to_repeat_is_repeated(
    serve: NewServer, transport: Callable[..., PooledTransport], method: str, times: int
) -> None:
    registry = serve(lambda request: Answer(503))
    transport().send(method, f"http://{registry.host}/v2/")
    assert len(registry.requests) == times


def test_a_dead_registry_fails_fast_after_the_first_failure_and_recovers(
    serve: NewServer, transport: Callable[..., PooledTransport]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    one = transport()
    with pytest.raises(ConnectionFailed):
        one.send("get", f"http://localhost:{port}/v2/")
    with within(0.1):
        for _ in range(20):
            with pytest.raises(ConnectionFailed, match="a moment ago"):
                one.send("get", f"http://localhost:{port}/v2/")
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", 0.1):
        end = time.monotonic() + 5
        registry = serve(lambda request: Answer(200))
        one._down[registry.host] = one._down.pop(f"localhost:{port}")
        while time.monotonic() < end:
            with suppress(ConnectionFailed):
                assert one.send("get", f"http://{registry.host}/v2/").ok
                return
            time.sleep(0.05)
    pytest.fail("it did not recover")


def test_a_black_hole_is_not_waited_for_again_sooner_than_it_took(
    transport: Callable[..., PooledTransport],
) -> None:
    with socket.socket() as full:  # its queue takes no more connections: they neither succeed nor fail
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        patient = transport(timeout=1.5)
        with within(8), pytest.raises(ConnectionFailed):
            patient.send("get", f"http://127.0.0.1:{port}/v2/")
        assert patient._down[f"127.0.0.1:{port}"] - time.monotonic() > 2.5
        for one in waiting:
            one.close()


# How much


@pytest.mark.parametrize("status", [200, 307, 401, 404, 503])
@pytest.mark.parametrize("method", ["get", "put", "post", "delete"])
def test_the_body_of_an_answer_that_nobody_asked_for_stays_small_in_memory(
    serve: NewServer, transport: Callable[..., PooledTransport], status: int, method: str
) -> None:
    def answer(request: Request) -> Answer:
        location = () if request.path == "/end" else (("Location", "/end"),)
        return Answer(status if request.path != "/end" else 200, (GZIP, *location), BOMB)

    registry = serve(answer)
    one = transport(credential=lambda repository: None)
    tracemalloc.start()
    try:
        with suppress(RequestException, DXFError):
            check_status(one.send(method, f"http://{registry.host}/v2/", access=Access("r")))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_answer_of_a_token_server_stays_small_in_memory(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport]
) -> None:
    tokens = serve(lambda request: Answer(200, (GZIP,), BOMB), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{tokens.host}/token"'),)
    registry = serve(lambda request: Answer(401, challenge), lab.server_context())
    tracemalloc.start()
    try:
        with pytest.raises(DXFUnauthorizedError):
            transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b"not gzip", BOMB[:100], b""], ids=["not gzip", "cut short", "empty"])
def test_a_broken_answer_of_a_token_server_is_a_refusal(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport], body: bytes
) -> None:
    tokens = serve(lambda request: Answer(200, (GZIP,), body), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{tokens.host}/token"'),)
    registry = serve(lambda request: Answer(401, challenge), lab.server_context())
    with pytest.raises(DXFUnauthorizedError):
        transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))


@pytest.mark.parametrize(
    "headers",
    [
        (("X-Long", "x" * 70_000),),
        tuple((f"X-{number}", "x") for number in range(5000)),
        tuple((f"X-{number}", "x" * 60_000) for number in range(90)),
        (("Link", "<" * 60_000),),
        (("Content-Length", "-5"),),
        (("Content-Encoding", "nonsense"),),
        (("Docker-Content-Digest", "../../etc/passwd"),),
    ],
)
def test_absurd_headers_are_an_error_or_nothing(
    serve: NewServer, transport: Callable[..., PooledTransport], headers: tuple[tuple[str, str], ...]
) -> None:
    registry = serve(lambda request: Answer(200, headers, b'{"tags": ["v1"]}'))
    remote = Remote(registry.host, True, transport(retries=0))
    heads = partial(remote._dxf("r").head_manifest_and_response, "v1")
    with within(5):
        for ask in (remote.check, lambda: remote.aliases("r"), heads):
            with suppress(RequestException, DXFError):
                ask()


@pytest.mark.parametrize(
    "location",
    ["http://[", "file:///etc/passwd", "ftp://h/", "http://h:99999/", "http://é.example:x/", "http://\x7f/"],
)
def test_a_location_that_is_no_address_is_an_error_of_the_registry(
    serve: NewServer, transport: Callable[..., PooledTransport], location: str
) -> None:
    registry = serve(lambda request: Answer(307 if request.method == "GET" else 202, (("Location", location),)))
    remote = Remote(registry.host, True, transport(retries=0))
    for ask in (
        lambda: remote.manifest("r", "v1"),
        lambda: remote.source("r", DIGEST).open(0, 5, 5).__enter__(),
        lambda: remote.push_blob("r", b"x", DIGEST),
    ):
        with pytest.raises((RequestException, DXFError, InvalidManifest)):
            ask()


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "nonsense",
        "file:///etc/passwd",
        "https://[",
        "https://h:99999/",
        "https://h:x/",
        "https://\x7f/",
        "https:///",
    ],
)
def test_a_realm_that_is_no_address_is_a_refusal(
    serve: NewServer, transport: Callable[..., PooledTransport], realm: str
) -> None:
    registry = serve(lambda request: Answer(401, (("WWW-Authenticate", f'Bearer realm="{realm}"'),)))
    with pytest.raises((DXFUnauthorizedError, RequestException)):
        transport(retries=0).send("get", f"http://{registry.host}/v2/", access=Access("r"))


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "é€", "\ud800", " ", "x\0"])
def test_a_token_that_no_header_can_have_is_a_refusal(
    serve: NewServer, lab: Lab, transport: Callable[..., PooledTransport], token: str
) -> None:
    body = b'{"token": "' + token.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00") + b'"}'
    tokens = serve(lambda request: Answer(200, (), body), lab.server_context())
    challenge = (("WWW-Authenticate", f'Bearer realm="https://{tokens.host}/token"'),)
    registry = serve(lambda request: Answer(401, challenge), lab.server_context())
    with pytest.raises(DXFUnauthorizedError):
        transport().send("get", f"https://{registry.host}/v2/", access=Access("r"))
    assert all("x-evil" not in request.headers for request in registry.requests)


# What is said of it


def test_no_error_tells_the_query_of_an_address(serve: NewServer, transport: Callable[..., PooledTransport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"localhost:{taken.getsockname()[1]}"
    failing = serve(lambda request: Answer(404))
    one = transport(retries=0)
    for host in (dead, failing.host):
        registry = serve(redirecting(f"http://{host}/blob?X-Signature=signed"))
        with pytest.raises(RequestException) as caught:
            check_status(one.send("get", f"http://{registry.host}/v2/", access=Access("r")))
        assert "signed" not in f"{caught.value} {caught.value!r}"


def test_no_repr_or_text_has_a_secret(serve: NewServer, transport: Callable[..., PooledTransport]) -> None:
    registry = serve(lambda request: asking_for_login(request) or Answer(200))
    one = transport()
    response = one.send("get", f"http://{registry.host}/v2/", access=Access("r"))
    seen: list[object] = [one, one.authorizer, one.authorizer._held, FRED, response, response.request, vars(one)]
    for text in map(repr, seen):
        assert PASSWORD not in text
        assert basic(USER, PASSWORD).split()[1] not in text


def test_no_more_connections_than_a_few_are_open_to_one_host(
    serve: NewServer, transport: Callable[..., PooledTransport]
) -> None:
    peak, lock = 0, threading.Lock()
    inside = 0

    def answer(request: Request) -> Answer:
        nonlocal peak, inside
        with lock:
            inside += 1
            peak = max(peak, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return Answer(200)

    registry = serve(answer)
    one = transport(timeout=10)
    threads = [threading.Thread(target=one.send, args=("get", f"http://{registry.host}/v2/")) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.requests) == 64
    assert max(peak, registry.connections) <= 16
