"""File systems of fsspec for a real registry."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regfs.fsspec import RegistryFileSystem

NewFileSystem = Callable[..., RegistryFileSystem]


@pytest.fixture
def new_fs(tmp_path: Path) -> Iterator[NewFileSystem]:
    """Make file systems with a cache and a journal of the test's own; what they opened is closed at the end."""
    made: list[RegistryFileSystem] = []

    def make(**options: Any) -> RegistryFileSystem:
        directories = {"cache_dir": str(tmp_path / "cache"), "state_dir": str(tmp_path / "state")}
        made.append(RegistryFileSystem(**{**directories, **options}))
        return made[-1]

    yield make
    for fs in made:
        fs.close()
    RegistryFileSystem.clear_instance_cache()
    made.clear()
    gc.collect()


@pytest.fixture
def fs(new_fs: NewFileSystem) -> RegistryFileSystem:
    """A file system with the usual options."""
    return new_fs()
