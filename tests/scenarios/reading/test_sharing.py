"""One fetch, however many read; and little memory for it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.making import Mount
from tests.scenarios.reading.conftest import process_of, read
from tests.scenarios.views import Mounted, eventually
from tests.servers import Answer, Request

LARGE = content_of(40 * MIB)
MANY = 256 * MIB


def whole(view: Mounted, path: str) -> str:
    """The digest of a file, read as a program reads it."""
    hasher = hashlib.sha256()
    with open(view.path(path), "rb", buffering=0) as file:
        while piece := file.read(MIB):
            hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def test_four_readers_of_a_cold_blob_move_it_once(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    with ThreadPoolExecutor(4) as readers:
        found = set(readers.map(lambda _: whole(view, "v1/large"), range(4)))
    assert found == {digest_of(LARGE)}
    assert proxy.moved == len(LARGE)


def test_two_mounts_with_one_cache_move_a_blob_once(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE, "small": LARGE[: 3 * MIB]})
    one = mount(f"{proxy.url}/{repository}")
    other = mount(f"{proxy.url}/{repository}", cache_dir=one.cache)
    for name, content in (("large", LARGE), ("small", LARGE[: 3 * MIB])):
        proxy.begin()
        with ThreadPoolExecutor(2) as readers:
            found = set(readers.map(lambda view, name=name: whole(view, f"v1/{name}"), (one, other)))  # type: ignore[misc]
        assert found == {digest_of(content)}
        assert proxy.moved == len(content)


def test_a_mount_goes_on_with_what_a_killed_one_had_fetched(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    one = mount(f"{proxy.url}/{repository}")
    assert read(one, "v1/large", 8 * MIB) == LARGE[: 8 * MIB]
    os.kill(process_of(one), signal.SIGKILL)
    eventually(lambda: proxy.server.open_connections == 0)
    assert proxy.moved >= 8 * MIB
    proxy.begin()
    view = mount(f"{proxy.url}/{repository}", cache_dir=one.cache)
    assert whole(view, "v1/large") == digest_of(LARGE)
    assert proxy.moved <= len(LARGE) - 7 * MIB  # the last chunk that was read was perhaps not whole


def test_a_token_that_expires_in_the_middle_is_renewed(
    lab: Lab, registry: Registry, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    issued: dict[str, float] = {}

    def asks_for_tokens(request: Request) -> Answer | None:
        if request.path.startswith("/token"):
            token = f"t{len(issued)}"
            issued[f"Bearer {token}"] = time.monotonic()
            return Answer(200, (("Content-Type", "application/json"),), json.dumps({"token": token}).encode())
        since = issued.get(request.headers.get("authorization", ""), 0.0)
        if time.monotonic() < since + 0.3:  # seconds that a token is good for, whatever it says
            time.sleep(0.1 if "/blobs/" in request.path else 0)
            return None
        challenge = f'Bearer realm="{proxy.url}/token",service="tests",scope="repository:{repository}:pull"'
        return Answer(401, (("WWW-Authenticate", challenge),), b"{}")

    proxy = Counting(registry.host, lab.server_context())
    proxy.instead = asks_for_tokens
    view = mount(f"{proxy.url}/{repository}", ca_file=lab.ca)
    with open(view.path("v1/large"), "rb", buffering=0) as file:
        found = bytearray()
        while piece := file.read(MIB):
            found += piece
            time.sleep(0.05)  # slower than the tokens last
    assert bytes(found) == LARGE
    assert len(issued) > 2
    assert sum(len(answer.body) for _, answer in proxy.exchanges if answer.status == 206) == len(LARGE)
    proxy.server.stop()


def test_four_readers_of_large_blobs_take_little_memory(registry: Registry, foreign: Foreign, mount: Mount) -> None:
    pattern = content_of(MIB)
    contents = {f"large{number}": bytes([number]) * MIB + pattern * (MANY // MIB - 1) for number in range(4)}
    digests = {name: digest_of(content) for name, content in contents.items()}
    foreign.artifact("test/memory", "v1", contents)
    contents.clear()
    view = mount(f"{registry.url}/test/memory")
    with ThreadPoolExecutor(4) as readers:
        found = dict(zip(digests, readers.map(lambda name: whole(view, f"v1/{name}"), digests), strict=True))
    assert found == digests
    with open(f"/proc/{process_of(view)}/status") as status:
        high = next(int(match[1]) for line in status if (match := re.match(r"VmHWM:\s+(\d+) kB", line)))
    assert high < 200 << 10, f"{high} kB"
