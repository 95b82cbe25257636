"""What the tests of security can ask for: servers that answer what they are told, registries' answers, mounts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regfs.oci.manifest import OCI_MANIFEST, digest_of
from tests.registries import Lab
from tests.scenarios.making import making
from tests.scenarios.views import Direct
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]
TITLE = "org.opencontainers.image.title"
JSON = ("Content-Type", "application/json")


class Fake:
    """A registry with one repository ``r``, whose manifests and blobs are whatever a test says.

    What it is told to ``instead`` answers first, where it has an answer.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.instead: Callable[[Request], Answer | None] = lambda request: None

    def __call__(self, request: Request) -> Answer:
        """What the registry answers."""
        return self.instead(request) or self.honest(request)

    def honest(self, request: Request) -> Answer:
        """What a registry would answer."""
        path = request.path.partition("?")[0].removeprefix("/v2/")
        kind, _, name = path.removeprefix("r/").partition("/")
        if path == "":
            return Answer(200, (JSON,), b"{}")
        if path == "_catalog":
            return Answer(200, (JSON,), b'{"repositories": ["r"]}')
        if kind == "tags":
            return Answer(200, (JSON,), json.dumps({"name": "r", "tags": list(self.manifests)}).encode())
        if kind == "manifests" and request.method in ("GET", "HEAD"):
            return self._manifest(name)
        content = self.blobs.get(name) if kind == "blobs" else None
        return Answer(404) if content is None else Answer(200, (), content)

    def _manifest(self, name: str) -> Answer:
        by_digest = {digest_of(content): content for content in self.manifests.values()}
        content = self.manifests.get(name, by_digest.get(name))
        if content is None:
            return Answer(404)
        return Answer(200, (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", digest_of(content))), content)

    def layer(self, content: bytes, title: Any = None) -> dict[str, Any]:
        """Keep a blob; returns its descriptor."""
        digest = digest_of(content)
        self.blobs[digest] = content
        document: dict[str, Any] = {"mediaType": "text/plain", "digest": digest, "size": len(content)}
        return document if title is None else {**document, "annotations": {TITLE: title}}

    def alias(self, name: str, layers: Any, **fields: Any) -> bytes:
        """Give a manifest of *layers* to an alias."""
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.layer(b"{}"), "layers": layers}
        self.manifests[name] = json.dumps({**document, **fields}).encode()
        return self.manifests[name]


@pytest.fixture
def serve() -> Iterator[NewServer]:
    """Start servers that stop with the test; the arguments are those of :class:`Server`."""
    with ExitStack() as servers:
        yield lambda *arguments: servers.enter_context(Server(*arguments))


@pytest.fixture
def fake() -> Fake:
    """A registry that misbehaves as it is told."""
    return Fake()


@pytest.fixture
def http_fake(fake: Fake, serve: NewServer) -> Server:
    """It, over plain HTTP."""
    return serve(fake)


@pytest.fixture
def https_fake(fake: Fake, serve: NewServer, lab: Lab) -> Server:
    """It, over TLS."""
    return serve(fake, lab.server_context())


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Callable[..., Direct]]:
    """The filesystem itself, on a reference."""
    with making(Direct, tmp_path) as make:
        yield make


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done here does not take longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"{took:.1f} s"


def memory(process: int) -> int:
    """The most memory that a process had so far, in bytes (VmHWM)."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
