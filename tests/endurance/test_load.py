"""Many names, readers and writers at once, for some seconds; scripts/soak has more of each, for longer."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

from tests.endurance.load import SMALL, dumping, stacks, under_load
from tests.registries import Registry
from tests.scenarios.views import Mounted, eventually


def test_under_load_nothing_hangs_and_nothing_grows(own_registry: Registry, tmp_path: Path) -> None:
    load = under_load(own_registry, tmp_path / "user", SMALL, seed=1, seconds=10)
    assert load.took.keys() >= {"stat", "read", "write"}
    assert not load.grown()


def test_the_watchdog_dumps_the_stacks_of_all_threads(own_registry: Registry, tmp_path: Path) -> None:
    with dumping(tmp_path / "user"):
        view = Mounted(tmp_path / "user", own_registry.url)
    with closing(view):
        os.kill(view.pid, signal.SIGUSR1)
        eventually(lambda: "Current thread" in stacks(view))
