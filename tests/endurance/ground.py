"""What an endurance run stands on: a registry, a foreign client of it, and a mount of the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted


@dataclass(frozen=True)
class Ground:
    """Real ones, all three."""

    registry: Registry
    foreign: Foreign
    view: Mounted


@contextmanager
def ground(directory: Path, lab: Lab | None = None, **options: object) -> Iterator[Ground]:
    """Start all of it under *directory*, and end it; the log of the mount must be free of traces.

    :param options: of ``regfs mount``
    """
    (directory / "lab").mkdir(parents=True, exist_ok=True)
    own = lab or Lab(directory / "lab")
    registry = own.start("plain")
    foreign = Foreign(registry)
    try:
        view = Mounted(directory / "user", registry.url, **options)
        try:
            yield Ground(registry, foreign, view)
        finally:
            view.close()
        assert "Traceback" not in view.log(), view.log()
    finally:
        foreign.close()
        registry.stop()
        if lab is None:
            own.stop()
