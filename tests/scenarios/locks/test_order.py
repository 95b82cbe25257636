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
from tests.scenarios.locks.watched import CALL, NETWORK
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


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What was done while which lock was held, and where, in scenarios that run with watched locks."""
    told = Told(tmp_path_factory.mktemp("locks"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *SCENARIOS],
        env={**os.environ, **told.environment}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return told


@pytest.mark.timeout(400)
def test_a_lock_is_taken_under_another_one_only_where_the_order_is_written_down(seen: Told) -> None:
    steps = seen.out_of_order()
    assert {step: where for step, where in steps.items() if step[1] not in (NETWORK, CALL)} == {}


@pytest.mark.timeout(400)
def test_nothing_but_an_aliass_turn_is_held_while_somebody_else_is_waited_for(seen: Told) -> None:
    assert (TURN, NETWORK) in seen.steps()
    steps = seen.out_of_order()
    assert {step: where for step, where in steps.items() if step[1] in (NETWORK, CALL)} == {}


@pytest.mark.timeout(900)
def test_a_mount_takes_its_locks_in_that_order_whatever_is_done_to_it(lab: Lab, tmp_path: Path) -> None:
    with watching(tmp_path) as told, ground(tmp_path, lab) as here:
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
