"""A slow, or only counted, link: a TCP proxy on loopback, in a process of its own.

    python link.py TARGET_PORT [--round-trip SECONDS] [--rate BYTES_PER_SECOND]

Prints the port it listens on. Each line on its standard input is answered with one on its standard output: the
connections so far, the bytes sent to the target, and the bytes that came from it and were passed on. It ends with its
standard input.

Every connection has a link of its own: each direction carries at most *rate* bytes per second, and every byte arrives
half a round trip after it was sent. A new connection can be used one round trip after it was asked for, as TCP's
handshake has it. TCP's slow start and losses are not imitated. Together, the connections are not limited.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import socket
import sys
import threading
from collections.abc import Coroutine
from dataclasses import dataclass

_TICK = 0.005  # seconds that a piece takes on a limited link
_SLACK = 8  # pieces that may wait for their turn beyond those that are on their way
_PIECE = 1 << 18  # bytes at a time on a link without a limit


@dataclass
class Link:
    """What every connection is like, and what has passed.

    :param round_trip: seconds
    :param rate: bytes per second and direction; 0: no limit
    """

    round_trip: float
    rate: float
    connections: int = 0
    sent: int = 0
    received: int = 0

    @property
    def piece(self) -> int:
        """Bytes to carry at a time."""
        return max(1460, int(self.rate * _TICK)) if self.rate else _PIECE

    async def connect(self, client: socket.socket, target: int) -> None:
        """Carry one connection to its end."""
        self.connections += 1
        loop = asyncio.get_running_loop()
        server = socket.socket()
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(server, ("127.0.0.1", target))
            up = self._carry(client, server, self.round_trip, upward=True)
            down = self._carry(server, client, 0.0, upward=False)
            await _both(up, down)
        except OSError:
            pass  # one end hung up; so does the other
        finally:
            client.close()
            server.close()

    async def _carry(self, source: socket.socket, goal: socket.socket, opening: float, *, upward: bool) -> None:
        """One direction, to its end.

        :param opening: seconds before the first byte can leave
        """
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(math.ceil(self.round_trip / 2 / _TICK) + _SLACK)
        await _both(self._depart(source, on_the_way, opening), self._arrive(on_the_way, goal, upward=upward))

    async def _depart(self, source: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], opening: float) -> None:
        loop = asyncio.get_running_loop()
        free = loop.time() + opening  # when the link can take the next byte
        while True:
            data = await loop.sock_recv(source, self.piece)
            free = max(free, loop.time()) + (len(data) / self.rate if self.rate else 0.0)
            await queue.put((free + self.round_trip / 2, data))
            if not data:
                return

    async def _arrive(self, queue: asyncio.Queue[tuple[float, bytes]], goal: socket.socket, *, upward: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                goal.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(goal, data)
            if upward:
                self.sent += len(data)
            else:
                self.received += len(data)


async def _both(*coroutines: Coroutine[None, None, None]) -> None:
    """Run them to their ends. When one fails, none of them uses its sockets any more: their numbers are used again."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(link: Link, target: int) -> None:
    """Listen, and carry whatever connects."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_report, args=(link,), daemon=True).start()
    loop = asyncio.get_running_loop()
    running = set()
    while True:
        client, _ = await loop.sock_accept(listener)
        task = asyncio.create_task(link.connect(client, target))
        running.add(task)
        task.add_done_callback(running.discard)


def _report(link: Link) -> None:
    for _ in sys.stdin:
        print(link.connections, link.sent, link.received, flush=True)
    os._exit(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="a slow, or only counted, link")
    parser.add_argument("target", type=int)
    parser.add_argument("--round-trip", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=0.0, metavar="BYTES_PER_SECOND")
    options = parser.parse_args()
    asyncio.run(serve(Link(options.round_trip, options.rate), options.target))


if __name__ == "__main__":
    main()
