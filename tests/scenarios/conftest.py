"""What the scenarios can ask for: a view of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.making import NewView, making
from tests.scenarios.views import ADAPTER, Direct, Mounted, View

KINDS: dict[str, Callable[..., View]] = {
    "direct": Direct,
    "mounted": Mounted,
    "fusepy": partial(Mounted, fuse="fusepy"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each scenario with the filesystem itself and a mount; with the marker ``both_adapters`` with each adapter."""
    if "kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_adapters") is not None and ADAPTER != "fusepy"
        metafunc.parametrize("kind", ["direct", "mounted", *(["fusepy"] if both else [])], indirect=True)


@pytest.fixture(scope="module")
def direct_view(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """The filesystem itself, of the whole registry."""
    view = Direct(tmp_path_factory.mktemp("direct"), registry.url)
    yield view
    view.close()


@pytest.fixture(scope="module")
def mounted_view(registry: Registry, tmp_path_factory: pytest.TempPathFactory, adapter: str) -> Iterator[View]:
    """A mount of the whole registry."""
    view = Mounted(tmp_path_factory.mktemp("mounted"), registry.url, fuse=adapter)
    yield view
    view.close()


@pytest.fixture(scope="module")
def fusepy_view(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """The same through the adapter of fusepy."""
    view = Mounted(tmp_path_factory.mktemp("fusepy"), registry.url, fuse="fusepy")
    yield view
    view.close()


@pytest.fixture
def mounted(mounted_view: Mounted) -> Mounted:
    """A mount of the whole registry, for scenarios of programs."""
    return mounted_view


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of view."""
    name: str = request.param
    return name


@pytest.fixture
def view(kind: str, request: pytest.FixtureRequest) -> View:
    """The whole registry, in each kind of view."""
    shared: View = request.getfixturevalue(f"{kind}_view")
    return shared


@pytest.fixture
def new_view(kind: str, tmp_path: Path) -> Iterator[NewView]:
    """Make views of each kind: a reference, and options as ``regfs mount`` names them."""
    with making(KINDS[kind], tmp_path) as make:
        yield make
