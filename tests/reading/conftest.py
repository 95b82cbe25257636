"""A real mount in a process of its own, on a real registry, behind a proxy that counts."""

from __future__ import annotations

import itertools
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted
from tests.servers import Answer, Request, Server, forward

MIB = 1 << 20
Mount = Callable[..., Mounted]


class Inside:
    """The threads that are inside of it."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __enter__(self) -> None:
        self.threads.add(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        self.threads.discard(threading.get_ident())


class Counting:
    """A proxy before a registry. What it is told to ``instead`` answers first, where it has an answer."""

    def __init__(self, host: str, tls: ssl.SSLContext | None = None) -> None:
        self._forward = forward(host)
        self.instead: Callable[[Request], Answer | None] = lambda request: None
        self._answering = Inside()
        self.server = Server(self._respond, tls)
        self.url = f"{'https' if tls else 'http'}://{self.server.host}"
        self._from = 0

    def _respond(self, request: Request) -> Answer:
        with self._answering:
            return self.instead(request) or self._forward(request)

    @property
    def is_idle(self) -> bool:
        """Whether every request so far has been answered."""
        return not self._answering.threads

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


@pytest.fixture
def proxy(plain: Registry) -> Iterator[Counting]:
    """A proxy before the shared registry."""
    counting = Counting(plain.host)
    yield counting
    counting.server.stop()


@pytest.fixture
def foreign(plain: Registry) -> Iterator[Foreign]:
    """A foreign client of the shared registry."""
    client = Foreign(plain)
    yield client
    client.close()


@pytest.fixture
def own_registry(lab: Lab) -> Iterator[Registry]:
    """A registry of the test's own, to be stopped and changed."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture
def publish(own_registry: Registry) -> Iterator[Foreign]:
    """A foreign client of the test's own registry."""
    client = Foreign(own_registry)
    yield client
    client.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a reference, by default with names that stay fresh; a trace in the log fails the test."""
    numbers = itertools.count()
    with ExitStack() as ends:

        def make(reference: str, directory: Path | None = None, **options: object) -> Mounted:
            view = Mounted(directory or tmp_path / f"mount{next(numbers)}", reference, **{"ttl": 60, **options})
            ends.callback(without_trace, view)
            ends.callback(view.close)
            return view

        yield make


def without_trace(view: Mounted) -> None:
    """A defect leaves a trace in the log."""
    assert "Traceback" not in view.log()


def content_of(size: int, seed: int = 0) -> bytes:
    """Bytes that no two offsets share."""
    return Random(seed).randbytes(size)


def process_of(view: Mounted) -> int:
    """The process that serves a mount."""
    lines = [line for line in view.log().splitlines() if f"is mounted on {view.directory}" in line]
    match = re.search(r" (\d+) INFO ", lines[-1])
    assert match is not None
    return int(match[1])


def counter(process: int, name: str) -> int:
    """A number of ``/proc/PID/io``: ``syscr`` counts the requests that the kernel made, among other reads; ``wchar``
    the bytes of the answers, among others."""
    with open(f"/proc/{process}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


def read(view: Mounted, path: str, size: int = -1, offset: int = 0) -> bytes:
    """Bytes of a file, as a program reads them."""
    with open(view.path(path), "rb", buffering=0) as file:
        file.seek(offset)
        found = bytearray()
        while size < 0 or len(found) < size:
            piece = file.read(MIB if size < 0 else min(MIB, size - len(found)))
            if not piece:
                break
            found += piece
        return bytes(found)


def warnings(view: Mounted) -> list[str]:
    """What the log warns of."""
    return [line for line in view.log().splitlines() if " WARNING " in line or " ERROR " in line]


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)
