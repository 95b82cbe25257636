"""The order of the locks is the one that docs/ARCHITECTURE.md says: they are watched while scenarios run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endurance import machine
from tests.endurance.ground import ground
from tests.registries import Lab
from tests.scenarios.locks.watched import NETWORK
from tests.scenarios.locks.watching import ROOT, TURN, Told, watching, written

SCENARIOS = [
    "tests/scenarios/test_writing.py",
    "tests/scenarios/test_moving.py",
    "tests/cache/fetching/test_fetcher.py",
    "tests/scenarios/writing/test_sent_ahead.py",
]


def locks() -> set[str]:
    """The classes of regfs that make a lock."""
    found = set()
    for module in (ROOT / "regfs").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        found |= {re.findall(r"^class (\w+)", text[: made.start()], re.MULTILINE)[-1]
                  for made in re.finditer(r"= threading\.(?:Lock|Condition)\(\)", text)}  # fmt: skip
    return found


@pytest.mark.timeout(400)
def test_in_scenarios_locks_are_held_only_as_the_order_is_written_down(tmp_path: Path) -> None:
    told = Told(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         "-k", "not mounted and not fusepy", *SCENARIOS],
        env={**os.environ, **told.environment}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert (TURN, NETWORK) in told.steps()
    assert told.out_of_order() == {}


@pytest.mark.both_adapters
@pytest.mark.timeout(900)
def test_a_mount_takes_its_locks_in_that_order_whatever_is_done_to_it(lab: Lab, tmp_path: Path, adapter: str) -> None:
    with watching(tmp_path) as told, ground(tmp_path, lab, fuse=adapter) as here:
        machine.run(here, examples=3, steps=40)
    assert (TURN, NETWORK) in told.steps()


def test_the_order_that_is_written_down_has_no_cycle() -> None:
    below: dict[str, set[str]] = {}
    for held, taken in written():
        below.setdefault(held, set()).add(taken)

    def reach(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"{' -> '.join(above)} -> {name}"
        for taken in below.get(name, ()):
            reach(taken, (*above, name))

    for name in below:
        reach(name, ())


def test_every_lock_is_in_the_table() -> None:
    table = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Locks")[2]
    assert {name for name in locks() if f"`{name}._" not in table} == set()
