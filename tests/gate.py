"""A proxy before a registry that holds some requests up until the test lets them go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.servers import Answer, Request, Server, forward


class Gate:
    """A proxy before a registry that holds up what it ``holds``, by default the start of uploads, while it is closed.

    ``reached`` is set when it holds something up; setting ``opened`` lets it go.
    """

    def __init__(self, host: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.opened.set()
        self.holds: Callable[[Request], bool] = lambda request: request.method == "POST"
        self._forward = forward(host)
        self.server = Server(self._respond)
        self.url = f"http://{self.server.host}"

    def _respond(self, request: Request) -> Answer:
        if self.holds(request):
            self.reached.set()
            self.opened.wait(30)
        return self._forward(request)

    def close(self) -> None:
        """Hold up what comes from now on."""
        self.opened.clear()
        self.reached.clear()
