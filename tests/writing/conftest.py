"""What the tests of writing can ask for: a registry of their own, a foreign client of it, and mounts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted

Mount = Callable[..., Mounted]


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry that the test may stop and change."""
    started = lab.start("plain")
    yield started
    started.stop()


@pytest.fixture
def foreign(registry: Registry) -> Iterator[Foreign]:
    """A foreign client of the registry."""
    client = Foreign(registry)
    yield client
    client.close()


@pytest.fixture
def repository(repository: str) -> str:
    """The name of a repository that no other test uses, at the root."""
    return repository.replace("/", "-")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a reference; with the same *directory* the cache and the journal are the same."""
    numbers = itertools.count()

    def make(reference: str, directory: Path | None = None, **options: object) -> Mounted:
        view = Mounted(directory or tmp_path / f"mount{next(numbers)}", reference, **options)
        views.callback(_close, view)
        return view

    with ExitStack() as views:
        yield make


def _close(view: Mounted) -> None:
    """Unmount what a test has left mounted; files that were not pushed are its business."""
    with suppress(AssertionError):
        view.close()
