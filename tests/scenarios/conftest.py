"""What the scenarios can ask for: a view of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.making import NewView, making
from tests.scenarios.views import Direct, Mounted, View

KINDS: dict[str, type[View]] = {"direct": Direct, "mounted": Mounted}


@pytest.fixture(scope="module")
def direct_view(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """The filesystem itself, of the whole registry."""
    view = Direct(tmp_path_factory.mktemp("direct"), registry.url)
    yield view
    view.close()


@pytest.fixture(scope="module")
def mounted_view(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """A mount of the whole registry."""
    view = Mounted(tmp_path_factory.mktemp("mounted"), registry.url)
    yield view
    view.close()


@pytest.fixture
def mounted(mounted_view: Mounted, request: pytest.FixtureRequest) -> Iterator[Mounted]:
    """A mount of the whole registry, for scenarios of programs."""
    with log_checked(mounted_view, request):
        yield mounted_view


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of view: each scenario runs with both."""
    name: str = request.param
    return name


@pytest.fixture
def view(kind: str, request: pytest.FixtureRequest) -> Iterator[View]:
    """The whole registry, in each kind of view."""
    shared: View = request.getfixturevalue(f"{kind}_view")
    with log_checked(shared, request):
        yield shared


@pytest.fixture
def new_view(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewView]:
    """Make views of each kind: a reference, and options as ``regfs mount`` names them."""
    with making(KINDS[kind], tmp_path, lambda view: log_checked_to_its_end(view, request)) as make:
        yield make


@contextmanager
def log_checked_to_its_end(view: View, request: pytest.FixtureRequest) -> Iterator[None]:
    """The same for a view that is closed at the end of the test."""
    with closing(view), log_checked(view, request):
        yield


class log_checked:  # noqa: N801 - a context manager
    """Fails a test in which a view logged a trace; or a warning, unless it is marked with ``logs``."""

    def __init__(self, view: View, request: pytest.FixtureRequest) -> None:
        self._view = view
        self._allowed = request.node.get_closest_marker("logs") is not None

    def __enter__(self) -> None:
        self._before = len(self._view.log())

    def __exit__(self, *error: object) -> None:
        logged = self._view.log()[self._before :]
        assert "Traceback" not in logged, logged
        lines = [line for line in logged.splitlines() if " WARNING " in line or " ERROR " in line]
        assert self._allowed or not lines, "\n".join(lines)
