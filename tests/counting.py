"""A proxy before a registry, which counts what is asked of it and can answer instead."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from tests.servers import Answer, Request, Server, forward


class Counting:
    """A proxy before a registry. What it is told to ``instead`` answers first, where it has an answer."""

    def __init__(self, host: str, tls: ssl.SSLContext | None = None) -> None:
        self._forward = forward(host)
        self.instead: Callable[[Request], Answer | None] = lambda request: None
        self.server = Server(self._respond, tls)
        self.url = f"{'https' if tls else 'http'}://{self.server.host}"
        self._from = 0

    def _respond(self, request: Request) -> Answer:
        return self.instead(request) or self._forward(request)

    def begin(self) -> None:
        """Count from here."""
        self._from = len(self.server.exchanges)

    @property
    def exchanges(self) -> list[tuple[Request, Answer]]:
        """What was asked and answered since then."""
        return self.server.exchanges[self._from :]

    @property
    def asked(self) -> list[str]:
        """The paths asked for since then, after the API's version and without queries."""
        return [request.path.partition("?")[0].removeprefix("/v2/") for request, _ in self.exchanges]

    @property
    def blobs(self) -> list[str]:
        """The requests for blobs since then."""
        return [path for path in self.asked if "/blobs/" in path]

    @property
    def moved(self) -> int:
        """Bytes of blobs sent since then."""
        return sum(len(answer.body) for request, answer in self.exchanges if "/blobs/" in request.path)
