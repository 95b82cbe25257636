"""An HTTP proxy before a registry that does harm to chosen requests. Knows of a registry only which bytes have digests.

The faults are those of networks, of proxies and of overloaded registries. Bytes are only corrupted where a digest can
tell: in blobs and manifests, on their way to the registry and back.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from tests.servers import Answer, Request, forward

STATUSES = (401, 403, 429, 500, 502, 503)
_HAS_DIGEST = re.compile(r"/(blobs/sha256:|manifests/)")
_UPLOADED = re.compile(r"/(blobs/uploads/|manifests/)")


@dataclass(frozen=True)
class Fault:
    """What is done to one request.

    :param kind: a name in :data:`KINDS`
    :param amount: seconds, the part of the bytes that passes (0 to 1), or a status
    """

    kind: str
    amount: float = 0.5


Choose = Callable[[str, str], Fault | None]  # from method and path


class Chance:
    """Chooses faults at random; the same ones for the same seed and order of requests.

    :param rate: how many of the requests are harmed, 0 to 1
    """

    def __init__(self, seed: int, rate: float, kinds: tuple[str, ...] | None = None) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._kinds = kinds or tuple(KINDS)
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Fault | None:
        with self._lock:
            if self._random.random() > self._rate:
                return None
            kind = self._random.choice(self._kinds)
            if kind == "refused":
                return Fault(kind, self._random.choice(STATUSES))
            return Fault(kind, self._random.random() * (0.8 if kind == "down" else 1))


def nth(method: str, pattern: str, number: int, fault: Fault) -> Choose:
    """Harms the *number*-th request, counted from 1, of a method whose path matches a pattern."""
    seen = Counter[str]()
    lock = threading.Lock()

    def choose(asked: str, path: str) -> Fault | None:
        if asked != method or not re.search(pattern, path):
            return None
        with lock:
            seen[method] += 1
            return fault if seen[method] == number else None

    return choose


class Proxy:
    """Forwards to the registry at *host* from a port of its own.

    ``done`` counts the faults; ``said`` has a line for each request that is over.

    :param choose: the fault of each request
    """

    def __init__(self, host: str, choose: Choose = lambda method, path: None) -> None:
        self.done: Counter[str] = Counter()
        self.said: list[str] = []
        self.choose = choose
        self.registry = host
        self.forward = forward(host)
        self.answered = threading.Event()
        self._up = threading.Event()
        self._up.set()
        self._ended = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._port = self._listener.getsockname()[1]
        self.host = f"localhost:{self._port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._accept, daemon=True).start()

    def down(self, seconds: float) -> None:
        """Refuse connections for a while."""
        if self._up.is_set():
            self._up.clear()
            threading.Timer(seconds, self._up.set).start()

    def calm(self) -> None:
        """Do no more harm; returns when connections are taken."""
        self.choose = lambda method, path: None
        self._up.wait()
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            time.sleep(0.01)

    def _accept(self) -> None:
        self._listener.settimeout(0.02)
        while not self._ended:
            if not self._up.is_set():
                self._listener.close()
                self._up.wait()
                self._listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
                self._listener.settimeout(0.02)
            with suppress(TimeoutError):
                connection, address = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()
        self._listener.close()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        connection.settimeout(60)
        with connection, suppress(OSError, ValueError):
            _Handler(connection, address, self)  # type: ignore[arg-type]

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._up.set()
        self._ended = True


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy  # type: ignore[assignment]

    def log_message(self, *args: object) -> None:
        """The counts are the log."""

    def serve(self) -> None:
        fault = self.server.choose(self.command, self.path)
        began = time.monotonic()
        self.status = 0
        if fault is None:
            self.send(self.asked())
        else:
            self.server.done[fault.kind] += 1
            KINDS[fault.kind](self, fault.amount)
        self.server.answered.set()
        harm = "" if fault is None else f", {fault.kind} {fault.amount:.2f}"
        times = f"{began:.3f} to {time.monotonic():.3f}"
        self.server.said.append(f"{times} {self.command} {self.path} {self.status}{harm}")

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815 - the base class's names

    def received(self) -> Request:
        """The request, whole."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))

    def asked(self) -> Answer:
        """The registry's answer."""
        answer = self.server.forward(self.received())
        self.status = answer.status
        return answer

    def head(self, answer: Answer) -> bytes:
        """The first bytes of an answer."""
        headers = list(answer.headers)
        if not answer.header("Content-Length"):
            headers.append(("Content-Length", str(len(answer.body))))
        lines = [f"HTTP/1.1 {answer.status} Status", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def send(self, answer: Answer) -> None:
        """Send an answer, whole."""
        self.wfile.write(self.head(answer) + answer.body)

    def hang_up(self, rudely: bool = True) -> None:
        """Close the connection, by a reset or in order."""
        self.close_connection = True
        if rudely:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _late(self, amount: float) -> None:
        """The answer comes late, perhaps later than anybody waits."""
        answer = self.asked()
        time.sleep(3 * amount)
        self.send(answer)

    def _down(self, amount: float) -> None:
        """The connection ends, and no other one is taken for a while."""
        self.server.down(amount)
        self.hang_up()

    def _refused(self, amount: float) -> None:
        """A status in the place of an answer; the registry sees nothing of it."""
        self.received()
        retry = (("Retry-After", "1"),) if amount == 429 else ()
        self.send(Answer(int(amount), retry, b"{}"))

    def _hung_up(self, amount: float) -> None:
        """The request goes nowhere."""
        self.received()
        self.hang_up(amount < 0.5)

    def _half_sent(self, amount: float) -> None:
        """The registry gets a part of the request's body."""
        request = self.received()
        host, _, port = self.server.registry.rpartition(":")
        with socket.create_connection((host, int(port))) as registry:
            lines = [f"{request.method} {request.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in request.headers.items()]
            registry.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            registry.sendall(request.body[: int(amount * len(request.body))])
            time.sleep(0.05)
        self.hang_up()

    def _spoilt_on_the_way_there(self, amount: float) -> None:
        """A byte that is uploaded is another one."""
        request = self.received()
        if _UPLOADED.search(self.path) and self.command in ("PUT", "PATCH"):
            request = replace(request, body=_flipped(request.body, amount))
        self.send(self.server.forward(request))

    def _spoilt(self, amount: float) -> None:
        """A byte of a blob or manifest is another one."""
        answer = self.asked()
        if _HAS_DIGEST.search(self.path) and self.command == "GET" and answer.status < 300:
            answer = replace(answer, body=_flipped(answer.body, amount))
        self.send(answer)

    def _no_answer(self, amount: float) -> None:
        """It is done, but nobody says so."""
        self.asked()
        self.hang_up(amount < 0.5)

    def _half_head(self, amount: float) -> None:
        """The answer ends within its headers."""
        head = self.head(self.asked())
        self.wfile.write(head[: int(amount * len(head))])
        self.hang_up(False)

    def _half_body(self, amount: float) -> None:
        """The answer ends within its body."""
        answer = self.asked()
        self.wfile.write(self.head(answer) + answer.body[: int(amount * len(answer.body))])
        self.hang_up(amount < 0.3)

    def _shortened(self, amount: float) -> None:
        """The answer has less than all, and says that this is all."""
        answer = self.asked()
        if self.command != "HEAD" and answer.body:
            kept = tuple(item for item in answer.headers if item[0].lower() != "content-length")
            answer = replace(answer, headers=kept, body=answer.body[: int(amount * len(answer.body))])
        self.send(answer)

    def _asked_twice(self, _: float) -> None:
        """The registry gets the request twice, as from a proxy that tries again; the second answer counts."""
        request = self.received()
        self.server.forward(request)
        self.send(self.server.forward(request))

    def _answered_twice(self, _: float) -> None:
        """The answer comes twice, the second time where another one is expected."""
        answer = self.asked()
        self.wfile.write(2 * (self.head(answer) + answer.body))

    def _overtaken(self, amount: float) -> None:
        """Another request's answer comes first."""
        answer = self.asked()
        self.server.answered.clear()
        self.server.answered.wait(amount)
        self.send(answer)


def _flipped(content: bytes, where: float) -> bytes:
    if not content:
        return content
    at = min(int(where * len(content)), len(content) - 1)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


KINDS: dict[str, Callable[[_Handler, float], None]] = {
    "late": _Handler._late,
    "down": _Handler._down,
    "refused": _Handler._refused,
    "hung up": _Handler._hung_up,
    "half sent": _Handler._half_sent,
    "spoilt on the way there": _Handler._spoilt_on_the_way_there,
    "spoilt": _Handler._spoilt,
    "no answer": _Handler._no_answer,
    "half head": _Handler._half_head,
    "half body": _Handler._half_body,
    "shortened": _Handler._shortened,
    "asked twice": _Handler._asked_twice,
    "answered twice": _Handler._answered_twice,
    "overtaken": _Handler._overtaken,
}
