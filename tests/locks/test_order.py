"""The order of the locks is the one that docs/ARCHITECTURE.md says: they are watched while scenarios run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.locks.watched import CALL, NETWORK

ROOT = Path(__file__).parents[2]
SCENARIOS = [
    "tests/scenarios/test_writing.py",
    "tests/scenarios/test_moving.py",
    "tests/fetch/test_reading.py",
    "tests/writing/test_sent_ahead.py",
]
TURN = "Alias"  # an alias's turn orders its writers across the network; everything may be done in it
Step = tuple[str, str]


def written() -> set[Step]:
    """What the table of locks says: which lock is taken while which is held."""
    text = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", text.partition("## Locks")[2].partition("\n## ")[0], re.MULTILINE)
    orders = [re.findall(r"`(\w+)\._\w+`", row) for row in rows]
    return {(order[0], taken) for order in orders for taken in order[1:]}


def locks() -> set[str]:
    """The classes of regfs that make a lock."""
    found = set()
    for module in (ROOT / "regfs").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        found |= {re.findall(r"^class (\w+)", text[: made.start()], re.MULTILINE)[-1]
                  for made in re.finditer(r"= threading\.(?:Lock|Condition)\(\)", text)}  # fmt: skip
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[Step, list[str]]:
    """What was done while which lock was held, and where, in scenarios that run with watched locks."""
    told = tmp_path_factory.mktemp("locks") / "told"
    told.touch()
    path = os.pathsep.join([str(ROOT / "tests/locks/startup"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not mounted", *SCENARIOS],
        env={**os.environ, "PYTHONPATH": path, "WATCHED_LOCKS": str(told)}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    return {(line["held"], line["taken"]): line["where"] for line in lines}


@pytest.mark.timeout(400)
def test_a_lock_is_taken_under_another_one_only_where_the_order_is_written_down(seen: dict[Step, list[str]]) -> None:
    steps = {step: where for step, where in seen.items() if step[0] != TURN and step[1] not in (NETWORK, CALL)}
    assert {step: where for step, where in steps.items() if step not in written()} == {}


@pytest.mark.timeout(400)
def test_nothing_but_an_aliass_turn_is_held_while_somebody_else_is_waited_for(seen: dict[Step, list[str]]) -> None:
    waited = {step: where for step, where in seen.items() if step[1] in (NETWORK, CALL)}
    assert (TURN, NETWORK) in waited
    assert {step: where for step, where in waited.items() if step[0] != TURN} == {}


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
