"""A small HTTP server of the tests' own, and a proxy made of it.

Records every exchange and counts connections; what it answers is a function. Knows nothing of registries.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True)
class Request:
    """What a client sent; the body without its transfer encoding, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What it is answered; Content-Length is added where there is none."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header; empty when it is not there."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


Respond = Callable[[Request], Answer]


class Server:
    """An HTTP/1.1 server on a port of its own, running until :meth:`stop` or the end of its context.

    :param respond: makes the answer; called in a thread per connection
    :param tls: makes it HTTPS
    """

    def __init__(self, respond: Respond, tls: ssl.SSLContext | None = None) -> None:
        self.exchanges: list[tuple[Request, Answer]] = []
        self.connections = 0
        self.open_connections = 0
        self._changed = threading.Condition()
        self._respond = respond
        self._http = _Listener(("127.0.0.1", 0), _handler(self))
        self._http.server = self
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"localhost:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def answer(self, request: Request) -> Answer:
        """Answer a request and remember both."""
        answer = self._respond(request)
        self.exchanges.append((request, answer))
        return answer

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order."""
        return [request for request, _ in self.exchanges]

    def opened(self) -> None:
        """Count a connection."""
        with self._changed:
            self.connections += 1
            self.open_connections += 1

    def closed(self) -> None:
        """Count a connection that ended; every exchange of it is remembered by then."""
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    def all_closed(self, within: float = 5.0) -> bool:
        """Whether the clients close all connections within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.open_connections == 0, within)

    def stop(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    server: Server

    def process_request(self, request: Any, client_address: Any) -> None:
        self.server.opened()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.server.closed()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server's."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            """The exchanges are the log."""

        def serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self._body(headers))
            self._send(server.answer(request))

        def _body(self, headers: Mapping[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", 0)))
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if not answer.header("Content-Length"):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815 - the base class's names

    return Handler


def forward(host: str, tls: ssl.SSLContext | None = None) -> Respond:
    """Answers that are those of *host*, which sees the client's own Host header."""

    def respond(request: Request) -> Answer:
        connection = http.client.HTTPSConnection(host, context=tls) if tls else http.client.HTTPConnection(host)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        try:
            connection.request(request.method, request.path, request.body or None, headers)
            response = connection.getresponse()
            kept = tuple((k, v) for k, v in response.getheaders() if k.lower() not in _HOP_BY_HOP)
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()

    return respond
