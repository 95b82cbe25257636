"""A registry that misbehaves on purpose, and a fetcher that reads from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from regfs.cache.fetcher import Fetcher, Reader
from regfs.cache.store import BlobStore
from regfs.oci.manifest import Descriptor, digest_of
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from tests.servers import Answer, Request, Server

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
Fault = Callable[[Request, Answer], Answer]


@dataclass
class Lying:
    """Serves one blob as a registry does; each fault in turn spoils one answer.

    :param always: spoils every answer that no fault does
    """

    content: bytes
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None

    def __post_init__(self) -> None:
        self.server = Server(self.respond)
        self.descriptor = Descriptor(digest_of(self.content), len(self.content))

    def respond(self, request: Request) -> Answer:
        """The answer to a request, spoiled when it is its turn."""
        answer = self.honest(request)
        fault = self.faults.pop(0) if self.faults else self.always
        return answer if fault is None else fault(request, answer)

    def honest(self, request: Request) -> Answer:
        """What a registry would answer."""
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if match is None:
            return Answer(200, (), self.content)
        start, end = int(match[1]), int(match[2]) + 1
        return Answer(
            206, (("Content-Range", f"bytes {start}-{end - 1}/{len(self.content)}"),), self.content[start:end]
        )

    @property
    def asked(self) -> list[tuple[int, int]]:
        """The ranges asked for so far: first byte and end; without a range the whole."""
        matches = [_RANGE.fullmatch(request.headers.get("range", "")) for request in self.server.requests]
        return [(int(match[1]), int(match[2]) + 1) if match else (0, len(self.content)) for match in matches]

    @property
    def moved(self) -> int:
        """Bytes of bodies sent so far."""
        return sum(len(answer.body) for _, answer in self.server.exchanges)


@dataclass
class Reading:
    """A fetcher with a cache of its own, on one lying registry."""

    fetcher: Fetcher
    cache: BlobStore
    registry: Lying

    def open(self, descriptor: Descriptor | None = None) -> Reader:
        """A handle on the registry's blob."""
        return self.fetcher.open("some/repository", descriptor or self.registry.descriptor)

    def read(self, offset: int = 0, size: int | None = None, piece: int = 128 << 10) -> bytes:
        """The bytes that a new handle reads from *offset* on, in pieces as the kernel asks for them."""
        reader = self.open()
        try:
            return read_from(reader, offset, reader.size if size is None else size, piece)
        finally:
            reader.close()


def read_from(reader: Reader, offset: int, size: int, piece: int = 128 << 10) -> bytes:
    """Up to *size* bytes from *offset* on."""
    found = bytearray()
    buffer = memoryview(bytearray(piece))
    while len(found) < size:
        count = reader.read_into(buffer[: size - len(found)], offset + len(found))
        if not count:
            break
        found += buffer[:count]
    return bytes(found)


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Callable[..., Reading]]:
    """Makes a fetcher on a registry that serves *content*; the timeout is short, so that a stall is soon over."""
    made: list[tuple[Fetcher, HttpRegistry, Server]] = []

    def make(
        content: bytes, *faults: Fault | None, always: Fault | None = None, strict: bool = False, timeout: float = 0.5
    ) -> Reading:
        registry = Lying(content, list(faults), always)
        cache = BlobStore(tmp_path / "cache")
        remote = HttpRegistry(registry.server.host, True, PooledTransport(timeout=timeout))
        fetcher = Fetcher(cache, remote.source, strict)
        made.append((fetcher, remote, registry.server))
        return Reading(fetcher, cache, registry)

    yield make
    for fetcher, remote, server in made:
        fetcher.close()
        remote.close()
        with suppress(OSError):
            server.stop()
