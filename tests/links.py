"""A TCP link between a client and a server that can be cut. Knows nothing of what goes over it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Link:
    """Forwards connections to *host* from a port of its own; each cut in turn ends one of them.

    :param cuts: for the connections that bring more than so many bytes to the server: after how many each is cut
    """

    def __init__(self, host: str, cuts: list[int] | None = None) -> None:
        name, _, port = host.rpartition(":")
        self._server = (name, int(port))
        self._cuts = list(cuts or ())
        self._lock = threading.Lock()
        self._up = True
        self._open: set[socket.socket] = set()
        self.made_cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def down(self) -> None:
        """Cut every connection, and take no more."""
        with self._lock:
            self._up = False
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        """Take connections again."""
        with self._lock:
            self._up = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._up:
                    client.close()
                    continue
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=self._pump, args=(server, client, False), daemon=True)
            back.start()
            self._pump(client, server, True)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _pump(self, source: socket.socket, goal: socket.socket, counts: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                passed += len(data)
                if counts and self._cut_now(passed):
                    break
                goal.sendall(data)
        for end in (source, goal):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut_now(self, passed: int) -> bool:
        with self._lock:
            if not self._cuts or passed < self._cuts[0]:
                return False
            self._cuts.pop(0)
            self.made_cuts += 1
            return True

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self._listener.shutdown(socket.SHUT_RDWR)  # ends the thread that accepts
        self._listener.close()
