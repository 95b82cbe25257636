"""What is written after the last close, as through a memory map, is pushed when the last handle goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Direct
from tests.servers import Answer, Request, Server, forward


class Gate:
    """A proxy before a registry that holds uploads up while it is closed."""

    def __init__(self, host: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.opened.set()
        self._forward = forward(host)
        self.server = Server(self._respond)

    def _respond(self, request: Request) -> Answer:
        if request.method == "POST":
            self.reached.set()
            self.opened.wait(30)
        return self._forward(request)

    def close(self) -> None:
        """Hold up what comes from now on."""
        self.opened.clear()
        self.reached.clear()


@pytest.fixture
def gate(registry: Registry) -> Iterator[Gate]:
    """The gate before the test's registry."""
    made = Gate(registry.host)
    yield made
    made.opened.set()
    made.server.stop()


def test_a_reader_that_comes_and_goes_during_a_late_push_does_not_end_it(
    gate: Gate, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    view = Direct(tmp_path, f"http://{gate.server.host}")
    filesystem = view._filesystem
    view.mkdir(f"{repository}:v1")
    path = f"/{repository}:v1/file"
    handle = filesystem.create(path)
    filesystem.write(handle, b"early", 0)
    filesystem.flush(handle)
    filesystem.write(handle, b"later", 0)
    gate.close()
    last = threading.Thread(target=filesystem.release, args=(handle,))
    last.start()
    assert gate.reached.wait(30)
    reader = filesystem.open(path, os.O_RDONLY)
    filesystem.release(reader)
    gate.opened.set()
    last.join()
    assert view.journal() == []
    assert view.read_bytes(path[1:]) == b"later"
    assert foreign.files(repository, "v1") == {"file": b"later"}
    view.close()
