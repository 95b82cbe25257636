"""fsspec's own tests of implementations, against a real registry.

What a registry cannot do is in docs/PYTHON.md, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from regfs.fsspec import RegistryFileSystem
from tests.library.conftest import NewFileSystem
from tests.registries import Registry


class _Fixtures(AbstractFixtures):  # type: ignore[misc]
    """Everything is in one tag: a directory in it is the start of titles."""

    @pytest.fixture
    def fs(self, new_fs: NewFileSystem) -> RegistryFileSystem:
        return new_fs()

    @pytest.fixture
    def fs_path(self, registry: Registry, repository: str) -> str:
        return f"{registry.host}/{repository}:tag"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return os.path.join


class TestCopy(_Fixtures, AbstractCopyTests):  # type: ignore[misc]
    pass


class TestGet(_Fixtures, AbstractGetTests):  # type: ignore[misc]
    pass


class TestPut(_Fixtures, AbstractPutTests):  # type: ignore[misc]
    pass


class TestOpen(_Fixtures, AbstractOpenTests):  # type: ignore[misc]
    pass


class TestPipe(_Fixtures, AbstractPipeTests):  # type: ignore[misc]
    pass
