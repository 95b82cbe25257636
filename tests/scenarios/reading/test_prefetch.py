"""``regfs prefetch``: what it fetched is read without a request; a killed one goes on where it stopped."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.making import Mount
from tests.scenarios.reading.test_sharing import LARGE, whole
from tests.scenarios.views import REGFS, Mounted, eventually, run
from tests.servers import Answer, Request


def prefetch(view: Mounted, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``regfs prefetch`` into the cache of a mount."""
    return run("prefetch", "--cache-dir", str(view.cache), *arguments, environment=view.environment)


def test_after_a_prefetch_reading_asks_for_no_blob(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    files = {"large": LARGE, **{f"small{number}": content_of(MIB, number) for number in range(10)}}
    foreign.artifact(repository, "v1", files)
    view = mount(f"{proxy.url}/{repository}")
    done = prefetch(view, f"{proxy.url}/{repository}:v1")
    assert done.returncode == 0, done.stderr
    assert "12 blobs" in done.stdout  # the configuration too
    assert proxy.moved == sum(map(len, files.values())) + 2
    proxy.begin()
    assert {name: whole(view, f"v1/{name}") for name in files} == {name: digest_of(c) for name, c in files.items()}
    assert proxy.blobs == []
    assert prefetch(view, f"{proxy.url}/{repository}").returncode == 0
    assert proxy.blobs == []


def test_a_killed_prefetch_goes_on_where_it_stopped(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE, "second": content_of(20 * MIB, 1)})
    view = mount(f"{proxy.url}/{repository}")

    def slowly(request: Request) -> Answer | None:
        if "/blobs/" in request.path:
            time.sleep(0.2)
        return None

    proxy.instead = slowly
    of_the_mount = proxy.server.open_connections
    command = [sys.executable, REGFS, "prefetch", "--cache-dir", str(view.cache), f"{proxy.url}/{repository}:v1"]
    with subprocess.Popen(command, env=view.environment, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: _marked(view) > 4)
        process.kill()
    eventually(lambda: proxy.server.open_connections <= of_the_mount)
    proxy.instead = lambda request: None
    kept = _marked(view)
    assert kept > 4
    proxy.begin()
    done = prefetch(view, f"{proxy.url}/{repository}:v1")
    assert done.returncode == 0, done.stderr
    assert proxy.moved <= len(LARGE) + 20 * MIB + 2 - kept * MIB
    assert whole(view, "v1/large") == digest_of(LARGE)


def _marked(view: Mounted) -> int:
    """How many chunks of unfinished blobs the cache has."""
    return sum(path.read_bytes()[32:].count(1) for path in (view.cache / "partial").glob("*.map"))


def test_prefetch_fetches_several_blobs_at_once(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {f"file{number}": content_of(MIB, number) for number in range(8)})
    view = mount(f"{proxy.url}/{repository}")
    together = threading.Barrier(3)

    def waits(request: Request) -> Answer | None:
        if "/blobs/" in request.path and not together.broken:
            try:
                together.wait(10)
            except threading.BrokenBarrierError:
                return None
        return None

    proxy.instead = waits
    timer = threading.Timer(8, together.abort)
    assert _with(timer, lambda: prefetch(view, f"{proxy.url}/{repository}:v1").returncode) == 0
    assert proxy.moved >= 8 * MIB


def _with(timer: threading.Timer, call: Callable[[], int]) -> int:
    timer.start()
    try:
        return call()
    finally:
        timer.cancel()


def test_prefetch_of_one_platform_fetches_no_other(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    entries = []
    for number, architecture in enumerate(("amd64", "arm64")):
        digest = foreign.artifact(repository, f"for-{architecture}", {architecture: content_of(MIB, number)})
        entries.append((digest, {"os": "linux", "architecture": architecture}))
    foreign.index(repository, "multi", entries)
    view = mount(f"{proxy.url}/{repository}")
    assert prefetch(view, "--platform", "linux-arm64", f"{proxy.url}/{repository}:multi").returncode == 0
    assert proxy.moved == MIB + 2
    assert prefetch(view, f"{proxy.url}/{repository}:multi").returncode == 0
    assert proxy.moved == 2 * MIB + 2
    proxy.begin()
    assert whole(view, "multi/linux-amd64/amd64") == digest_of(content_of(MIB, 0))
    assert proxy.blobs == []


def test_prefetch_of_what_is_not_there_is_one_line(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = mount(f"{proxy.url}/{repository}")
    done = prefetch(view, f"{proxy.url}/{repository}:v2")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


def test_prefetch_of_a_blob_that_the_registry_lost_ends_soon_with_one_line(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"lost": b"lost", "large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    lost = digest_of(b"lost")

    def loses(request: Request) -> Answer | None:
        if request.path.endswith(lost):
            return Answer(404)
        if "/blobs/" in request.path:
            time.sleep(0.5)
        return None

    proxy.instead = loses
    began = time.monotonic()
    done = prefetch(view, f"{proxy.url}/{repository}:v1")
    assert time.monotonic() - began < 15
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


def test_prefetch_into_a_cache_that_is_too_small_says_so(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {f"file{number}": content_of(4 * MIB, number) for number in range(6)})
    view = mount(f"{proxy.url}/{repository}")
    done = prefetch(view, "--cache-size", "10M", f"{proxy.url}/{repository}:v1")
    assert done.returncode == 1
    assert "do not fit in the cache" in done.stderr
