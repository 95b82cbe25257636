"""What the endurance tests can ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endurance.ground import Ground, ground
from tests.registries import Lab


@pytest.fixture(scope="module")
def here(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A registry of the module's own, a foreign client of it, and a mount of the whole of it."""
    with ground(tmp_path_factory.mktemp("ground"), lab) as on:
        yield on
