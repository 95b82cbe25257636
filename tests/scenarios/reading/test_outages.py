"""A registry that is gone: what is known is served, the rest is one clear error soon, and it recovers by itself."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.logs import A_MOMENT_AGO, STALE
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.reading.conftest import read, warnings
from tests.scenarios.views import Direct, Mounted, eventually, refused
from tests.servers import Answer, Request

LARGE = content_of(20 * MIB)
UNREACHABLE = (errno.EHOSTUNREACH, errno.ETIMEDOUT)
NAME = "some/repository"


@contextmanager
def soon(within: float = 10.0) -> Iterator[None]:
    """What is done here does not hang."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < within


@pytest.fixture
def published(own_foreign: Foreign) -> Foreign:
    """Three aliases, and an empty second repository's."""
    for alias in ("v1", "v2", "v3"):
        content = alias.encode()
        own_foreign.artifact(NAME, alias, {"large": LARGE, "dir/small": content, "unread": b"unread " + content})
    own_foreign.artifact("other", "v1", {"a": b"a"})
    return own_foreign


@pytest.mark.logs(STALE)
def test_what_was_read_and_listed_is_there_when_the_registry_is_gone(
    own_registry: Registry, published: Foreign, mount: Mount
) -> None:
    view = mount(own_registry.url, ttl=0.5)
    assert read(view, f"{NAME}/v1/large") == LARGE
    assert read(view, f"{NAME}/v2/dir/small") == b"v2"
    os.listdir(view.path(NAME))
    own_registry.stop()
    time.sleep(1.5)  # nothing is fresh any more
    with soon():
        assert view.list() == ["other", "some"]
        assert view.list(NAME) == ["v1", "v2", "v3"]
        assert view.list(f"{NAME}/v1") == ["dir", "large", "unread"]
        assert read(view, f"{NAME}/v1/large") == LARGE
        assert read(view, f"{NAME}/v2/dir/small") == b"v2"
    stale = [line for line in warnings(view) if "cannot be reached" in line]
    assert len(stale) == 1, stale


@pytest.mark.logs(STALE, r": localhost:\d+: Failed to establish a new connection: ", A_MOMENT_AGO)
def test_what_is_not_cached_is_one_error_and_soon(own_registry: Registry, published: Foreign, mount: Mount) -> None:
    view = mount(own_registry.url, ttl=0.5)
    os.listdir(view.path(f"{NAME}/v1"))
    own_registry.stop()
    for path in ("v1/unread", "v1/large"):
        with soon(), refused(*UNREACHABLE):
            read(view, f"{NAME}/{path}")


@pytest.mark.logs(r": localhost:\d+: Failed to establish a new connection: ", A_MOMENT_AGO)
def test_an_alias_that_was_never_seen_is_one_error_and_soon(
    own_registry: Registry, published: Foreign, mount: Mount
) -> None:
    view = mount(own_registry.url, ttl=60)
    os.listdir(view.path(NAME))
    own_registry.stop()
    with soon(), refused(*UNREACHABLE):
        os.listdir(view.path(f"{NAME}/v3"))


@pytest.mark.logs(STALE, r": localhost:\d+: Failed to establish a new connection: ", A_MOMENT_AGO)
def test_when_the_registry_is_back_it_is_used_again_by_itself(
    own_registry: Registry, published: Foreign, mount: Mount
) -> None:
    view = mount(own_registry.url, ttl=0.5)
    os.listdir(view.path(f"{NAME}/v1"))
    own_registry.stop()
    time.sleep(1)
    with refused(*UNREACHABLE):
        read(view, f"{NAME}/v1/unread")
    own_registry.restart()
    published.artifact(NAME, "v4", {"a": b"new"})
    with soon(12):
        eventually(lambda: _or_error(view, f"{NAME}/v1/unread"), b"unread v1")
        eventually(lambda: _or_error(view, f"{NAME}/v4/a"), b"new")


def _or_error(view: Mounted, path: str) -> bytes | None:
    try:
        return read(view, path)
    except OSError:
        return None


def test_a_handle_goes_on_after_an_outage(own_registry: Registry, published: Foreign, mount: Mount) -> None:
    view = mount(own_registry.url)
    with open(view.path(f"{NAME}/v1/large"), "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == LARGE[:10]
        own_registry.restart()
        assert os.pread(file.fileno(), 10, 15 * MIB) == LARGE[15 * MIB : 15 * MIB + 10]


@pytest.mark.logs(STALE, r": the mount is offline$")
def test_a_remount_offline_shows_and_reads_everything_cached(
    own_registry: Registry, published: Foreign, mount: Mount, tmp_path: Path
) -> None:
    first = mount(own_registry.url)
    assert read(first, f"{NAME}/v1/large") == LARGE
    assert read(first, f"{NAME}/v2/dir/small") == b"v2"
    os.listdir(first.path("other"))
    own_registry.stop()
    view = mount(own_registry.url, offline=True, cache_dir=first.cache)
    assert view.list() == ["other", "some"]
    assert view.list("other") == ["v1"]
    assert view.list(NAME) == ["v1", "v2", "v3"]
    assert read(view, f"{NAME}/v1/large") == LARGE
    assert read(view, f"{NAME}/v2/dir/small") == b"v2"
    for path in ("v1/unread", "v3/large"):
        with soon(2), refused(*UNREACHABLE):
            read(view, f"{NAME}/{path}")


@pytest.mark.parametrize("below", [f"/{NAME}", f"/{NAME}:v1"])
@pytest.mark.logs(STALE)
def test_a_repository_or_an_alias_remounts_offline(
    own_registry: Registry, published: Foreign, mount: Mount, below: str
) -> None:
    inside = "" if ":" in below else "v1/"
    first = mount(own_registry.url + below)
    os.listdir(first.directory)
    assert read(first, f"{inside}dir/small") == b"v1"
    own_registry.stop()
    view = mount(own_registry.url + below, offline=True, cache_dir=first.cache)
    assert view.list() == first.list()
    assert read(view, f"{inside}dir/small") == b"v1"


@pytest.mark.logs(STALE)
def test_what_was_published_by_a_mount_is_there_offline(own_registry: Registry, mount: Mount) -> None:
    first = mount(own_registry.url)
    os.listdir(first.directory)
    first.mkdir("team:v1")
    first.write_bytes("team:v1/file", b"bytes")
    first.list()
    own_registry.stop()
    view = mount(own_registry.url, offline=True, cache_dir=first.cache)
    assert view.list() == ["team"]
    assert view.list("team") == ["v1"]
    assert read(view, "team/v1/file") == b"bytes"


@pytest.mark.logs(STALE)
def test_without_a_catalog_what_was_visited_is_there_offline(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    proxy.instead = lambda request: Answer(404) if "_catalog" in request.path else None
    first = mount(proxy.url)
    assert read(first, f"{repository}/v1/a") == b"a"
    view = mount(proxy.url, offline=True, cache_dir=first.cache)
    assert view.list() == [repository]
    assert read(view, f"{repository}/v1/a") == b"a"


@pytest.mark.logs(STALE)
def test_a_registry_that_answers_nothing_but_errors_serves_what_is_known(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = mount(f"{proxy.url}/{repository}", ttl=0.5, retries=0)
    assert read(view, "v1/a") == b"a"

    def is_down(request: Request) -> Answer:
        return Answer(503)

    proxy.instead = is_down
    time.sleep(1.5)  # nothing is fresh any more
    assert view.list() == ["v1"]
    assert read(view, "v1/a") == b"a"


@contextmanager
def hanging(registry: Registry) -> Iterator[None]:
    """The registry takes connections and answers nothing."""
    process = registry._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.logs(STALE)
def test_what_is_known_is_served_soon_when_the_registry_hangs(
    own_registry: Registry, published: Foreign, mount: Mount
) -> None:
    view = mount(own_registry.url, ttl=0.5, timeout=2)
    for alias in ("v1", "v2", "v3"):
        assert read(view, f"{NAME}/{alias}/dir/small") == alias.encode()
    time.sleep(1.5)  # nothing is fresh any more
    with hanging(own_registry), soon(6):
        assert view.list() == ["other", "some"]
        assert view.list(NAME) == ["v1", "v2", "v3"]
        for alias in ("v1", "v2", "v3"):
            assert read(view, f"{NAME}/{alias}/dir/small") == alias.encode()
    stale = [line for line in warnings(view) if "cannot be reached" in line]
    assert len(stale) == 1, stale
    published.artifact(NAME, "v4", {"a": b"new"})
    eventually(lambda: _or_error(view, f"{NAME}/v4/a"), b"new")


@pytest.mark.logs(STALE, r"^(open|read) .*: localhost:\d+: Read timed out")
def test_what_is_not_cached_is_a_timeout_when_the_registry_hangs(
    own_registry: Registry, published: Foreign, mount: Mount
) -> None:
    view = mount(own_registry.url, timeout=1)
    os.listdir(view.path(f"{NAME}/v1"))
    with hanging(own_registry):
        for path in ("v1/unread", "v1/large"):
            with soon(5), refused(errno.ETIMEDOUT):
                read(view, f"{NAME}/{path}")
    assert read(view, f"{NAME}/v1/unread") == b"unread v1"


@pytest.mark.logs(STALE)
def test_what_was_written_is_there_when_an_older_question_is_not_answered(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = mount(f"{proxy.url}/{repository}", ttl=0, timeout=20, retries=0)
    assert read(view, "v1/a") == b"a"
    asked, written = threading.Event(), threading.Event()

    def fails(request: Request) -> Answer | None:
        if request.method == "GET" and request.path.endswith("/manifests/v1") and not asked.is_set():
            asked.set()
            written.wait(20)
            return Answer(503)
        return None

    with open(view.path("v1/b"), "wb") as file:
        file.write(b"b")
        file.flush()
        proxy.instead = fails
        reader = threading.Thread(target=_or_error, args=(view, "v1/a"))
        reader.start()
        assert asked.wait(10)
    written.set()
    reader.join()
    assert read(view, "v1/b") == b"b"


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.logs(STALE)
def test_a_catalog_that_is_refused_for_a_moment_hides_nothing(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str, status: int
) -> None:
    above, name = f"above-{repository}", "below"
    foreign.artifact(f"{above}/{name}", "v1", {"a": b"a"})
    view = mount(proxy.url, ttl=0.3)
    assert name in view.list(above)
    told = threading.Event()

    def refusing(request: Request) -> Answer | None:
        if not request.path.startswith("/v2/_catalog"):
            return None
        told.set()
        return Answer(status, body=b"{}")

    proxy.instead = refusing
    eventually(lambda: (name in view.list(above), told.is_set()), (True, True))
    for _ in range(5):
        assert name in view.list(above)
        assert not view.exists(f"{above}/there-is-none")
        time.sleep(0.2)


@pytest.mark.parametrize("status", [401, 403])
def test_a_catalog_that_stays_refused_is_none(
    proxy: Counting, foreign: Foreign, repository: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regfs.metadata.catalog._OUTAGE", 0.5)
    foreign.artifact(repository, "v1", {"a": b"a"})
    view = Direct(tmp_path, proxy.url)
    assert not view.exists("there-is-none")
    proxy.instead = lambda request: Answer(status, body=b"{}") if request.path.startswith("/v2/_catalog") else None
    eventually(lambda: view.exists("there-is-none"), True)
    assert view.read_bytes(f"{repository}/v1/a") == b"a"
    view.close()
