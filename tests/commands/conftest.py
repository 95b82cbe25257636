"""What the tests of the commands can ask for: a registry, a home of their own, and a directory to mount on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import environment


@pytest.fixture(scope="module")
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry of each module's own."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture
def own_registry(lab: Lab) -> Iterator[Registry]:
    """A registry of the test's own, to be stopped."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def foreign(registry: Registry) -> Iterator[Foreign]:
    """A foreign client of the registry."""
    client = Foreign(registry)
    yield client
    client.close()


@pytest.fixture
def repository(repository: str) -> str:
    """The name of a repository that no other test uses, at the root: nothing is beside it."""
    return repository.replace("/", "-")


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
