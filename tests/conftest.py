"""What every test can ask for: real registries, clients and mounts of them; a quiet log, and nothing left."""

from __future__ import annotations

import itertools
import logging
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import leftovers
from tests.counting import Counting
from tests.gate import Gate
from tests.logs import LOGS
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount, closing_whatever_is_left, making
from tests.scenarios.views import ADAPTER, ADAPTERS, Mounted, environment
from tests.servers import Server

hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine is no error
hypothesis.settings.load_profile("tests")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Starts registries; what it started is stopped at the end."""
    made = _SharedLab(tmp_path_factory.mktemp("lab"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def plain(lab: Lab) -> Registry:
    """A registry over plain HTTP."""
    return lab.start("plain")


@pytest.fixture(scope="session")
def tls(lab: Lab) -> Registry:
    """A registry over TLS."""
    return lab.start("tls")


@pytest.fixture(scope="session")
def htpasswd(lab: Lab) -> Registry:
    """A registry over TLS with HTTP Basic authentication."""
    return lab.start("htpasswd")


@pytest.fixture(scope="session")
def token_registry(lab: Lab) -> Registry:
    """A registry over TLS with token authentication."""
    return lab.start("token")


@pytest.fixture(scope="session")
def schema1(lab: Lab) -> Registry:
    """A registry over plain HTTP that takes schema 1 manifests."""
    return lab.start("schema1")


@pytest.fixture(scope="module")
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry of each module's own: asking for names takes the longer, the more there are."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def foreign(registry: Registry) -> Iterator[Foreign]:
    """A foreign client of the module's registry."""
    with closing(Foreign(registry)) as client:
        yield client


@pytest.fixture
def proxy(registry: Registry) -> Iterator[Counting]:
    """A proxy before the module's registry."""
    counting = Counting(registry.host)
    yield counting
    counting.server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that stop with the test; the arguments are those of :class:`Server`."""
    with ExitStack() as servers:
        yield lambda *arguments: servers.enter_context(Server(*arguments))


@pytest.fixture
def gate(registry: Registry) -> Iterator[Gate]:
    """A gate before the registry."""
    made = Gate(registry.host)
    yield made
    made.opened.set()
    made.server.stop()


@pytest.fixture
def own_registry(lab: Lab) -> Iterator[Registry]:
    """A registry of the test's own, to be stopped and changed."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture
def own_foreign(own_registry: Registry) -> Iterator[Foreign]:
    """A foreign client of the test's own registry."""
    with closing(Foreign(own_registry)) as client:
        yield client


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses, at the root: nothing is beside it."""
    return f"repository{next(_numbers)}"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of commands with a cache and a state of their own."""
    return environment(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount on; whatever is mounted there at the end is unmounted."""
    made = tmp_path / "mnt"
    made.mkdir()
    yield made
    subprocess.run(["fusermount", "-u", "-z", made], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def adapter(request: pytest.FixtureRequest) -> str:
    """The adapter of mounts: that of the environment; tests with the marker ``both_adapters`` run with each."""
    name: str = getattr(request, "param", ADAPTER)
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests with the marker ``both_adapters`` with each."""
    if "adapter" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_adapters"):
        metafunc.parametrize("adapter", ADAPTERS, indirect=True, scope="session")


@pytest.fixture
def mount(tmp_path: Path, adapter: str) -> Iterator[Mount]:
    """Mounts a reference; with the same directory the cache and the journal are the same."""
    with making(Mounted, tmp_path, closing_whatever_is_left, fuse=adapter) as make:
        yield make


@pytest.fixture(scope="session", autouse=True)
def log_read() -> Iterator[None]:
    """What regfs logs here is known to :data:`LOGS`, as what mounts log."""
    logging.getLogger("regfs").addHandler(LOGS)
    yield
    logging.getLogger("regfs").removeHandler(LOGS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fails a test during which regfs, here or in a mount, warned of what no marker ``logs`` of the test announces.

    What was made for the test, and what the last test of a module ends, has been closed by now.
    """
    yield
    announced = [pattern for marker in item.iter_markers("logs") for pattern in marker.args or ["."]]
    if lines := LOGS.unannounced(announced):
        pytest.fail("not announced by @pytest.mark.logs(pattern): " + "\n".join(lines), pytrace=False)


_shared: set[str] = set()  # what is there for longer than a test: it is not the test's that asked for it first


def _everything() -> leftovers.Possessions:
    processes = {child for child in leftovers.children() if not child.startswith("docker-registry ")}  # the lab's
    return leftovers.files() | leftovers.connections() | leftovers.threads() | processes


@contextmanager
def _sharing() -> Iterator[None]:
    before = _everything()
    try:
        yield
    finally:
        _shared.update(_everything() - before)


class _SharedLab(Lab):
    """What it starts, it stops: after the last test."""

    def start(self, *arguments: Any, **options: Any) -> Registry:
        with _sharing():
            return super().start(*arguments, **options)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note what is opened for longer than a test."""
    if fixturedef.scope == "function":
        return (yield)
    with _sharing():
        return (yield)


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed: what it left is no news then, and is not waited for."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves descriptors, threads or child processes behind, and has not failed anyway.

    Where it uses a client that other tests use as well, that keeps its connections, and the threads that answer them.
    """
    before = _everything()
    yield
    if request.node.stash.get(_failed, False):
        return
    left = leftovers.more(lambda: _own(request), before | _shared)
    assert not left, "the test left " + ", ".join(left)


def _own(request: pytest.FixtureRequest) -> leftovers.Possessions:
    everything = _everything()
    if _SHARED_CLIENTS.isdisjoint(request.fixturenames):
        return everything
    return everything - leftovers.connections() - leftovers.threads()


_SHARED_CLIENTS = frozenset({"foreign", "harmed", "here", "view", "direct_view", "mounted_view", "fusepy_view"})
