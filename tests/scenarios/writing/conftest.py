"""What the tests of writing can ask for: a registry of their own, a foreign client of it, and mounts."""

from __future__ import annotations

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign


@pytest.fixture
def registry(own_registry: Registry) -> Registry:
    """A registry that the test may stop and change."""
    return own_registry


@pytest.fixture
def foreign(own_foreign: Foreign) -> Foreign:
    """A foreign client of it."""
    return own_foreign
