"""What the scenarios can ask for: a view of each kind."""

from __future__ import annotations

from collections.abc import Iterator
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
def mounted(mounted_view: Mounted) -> Mounted:
    """A mount of the whole registry, for scenarios of programs."""
    return mounted_view


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of view: each scenario runs with both."""
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
