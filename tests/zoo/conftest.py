"""What the tests of the zoo can ask for: a home, and a registry in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.registries import Lab
from tests.zoo.backends import Memory
from tests.zoo.client import Home
from tests.zoo.profile import Profile
from tests.zoo.registry import Zoo
from tests.zoo.shapes import PLAIN
from tests.zoo.warm import Warm

NewZoo = Callable[..., Zoo]


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Runs the commands."""
    made = Warm()
    yield made
    made.stop()


@pytest.fixture
def home(tmp_path: Path, lab: Lab, warm: Warm) -> Home:
    """A user's home; the lab's CA is trusted there."""
    return Home(tmp_path / "home", warm, REGFS_CA_FILE=lab.ca)


@pytest.fixture
def memory() -> Memory:
    """What the registries of this test have."""
    return Memory()


@pytest.fixture
def zoo(memory: Memory, lab: Lab) -> Iterator[NewZoo]:
    """Makes registries with the content of *memory*: of a profile, with a script, over TLS if asked for."""
    with ExitStack() as made:

        def make(profile: Profile = PLAIN, *, tls: bool = False, **options: Any) -> Zoo:
            return made.enter_context(Zoo(profile, memory, lab.server_context() if tls else None, **options))

        yield make
