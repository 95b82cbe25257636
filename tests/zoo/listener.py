"""An HTTP server whose answers are a function; it can also cut a connection, or leave a length out.

Beside :mod:`tests.servers`: other addresses (IPv6), and what HTTP allows and that server never does. Knows nothing of
registries.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.servers import Answer, Request, Respond

NO_LENGTH = ("Content-Length", "")  # in an answer's headers: say no length, and close the connection instead
_CUT = 444  # never sent

CUT = Answer(_CUT)  # end the connection without an answer


class Listener:
    """Answers on a port of its own until :meth:`stop`, or the end of its context.

    ``origin`` is its scheme, host and port; ``host`` the latter two; ``exchanges`` what was asked and answered.

    :param respond: makes the answer, in a thread per connection
    :param name: the host name to be called by
    :param address: where to listen
    """

    def __init__(
        self, respond: Respond, tls: ssl.SSLContext | None = None, name: str = "localhost", address: str = "127.0.0.1"
    ) -> None:
        self.exchanges: list[tuple[Request, Answer]] = []
        self._respond = respond
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._http = _server_class(family, self)((address, 0), _handler(self))
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._http.server_address[1])
        self.host = f"{name}:{self.port}"
        self.origin = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order."""
        return [request for request, _ in self.exchanges]

    def answer(self, request: Request) -> Answer:
        """Answer a request, and remember both."""
        answer = self._respond(request)
        self.exchanges.append((request, answer))
        return answer

    def opened(self, connection: socket.socket) -> None:
        """Note a connection, to be ended with the server."""
        self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def stop(self) -> None:
        """Stop listening, and end what is open."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _server_class(family: socket.AddressFamily, listener: Listener) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True
        block_on_close = False

        def process_request(self, request: Any, client_address: Any) -> None:
            listener.opened(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            listener.closed(request)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is no error of the server's."""

    return Server


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            """The exchanges are the log."""

        def serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = listener.answer(Request(self.command, self.path, headers, self._body(headers)))
            if answer.status == _CUT:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._send(answer)

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
                if (name, value) != NO_LENGTH:
                    self.send_header(name, value)
            if NO_LENGTH in answer.headers:
                self.send_header("Connection", "close")
            elif not answer.header("Content-Length"):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815 - the base class's names

    return Handler
