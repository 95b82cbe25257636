"""Watching the locks of every process that is started meanwhile, mounts among them; the order that is written down."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
TURN = "TagWriters"  # a tag's turn orders its writers across the network; everything may be done in it
Step = tuple[str, str]
_STARTUP = Path(__file__).with_name("startup")


class Told:
    """What the processes have told of their locks so far, in a file."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "locks"
        self._file.touch()
        path = os.pathsep.join([str(_STARTUP), str(ROOT)])
        self.environment = {"PYTHONPATH": path, "WATCHED_LOCKS": str(self._file)}

    def steps(self) -> dict[Step, list[str]]:
        """What was done while which lock was held, and where."""
        lines = [json.loads(line) for line in self._file.read_text().splitlines()]
        return {(line["held"], line["taken"]): line["where"] for line in lines}

    def out_of_order(self) -> dict[Step, list[str]]:
        """The steps that are not written down: a lock under another one, and waiting with one held."""
        allowed = written()
        return {step: where for step, where in self.steps().items() if step[0] != TURN and step not in allowed}


def written() -> set[Step]:
    """What the table of locks says: which lock is taken while which is held."""
    text = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \|", text.partition("## Locks")[2].partition("\n## ")[0], re.MULTILINE)
    orders = [re.findall(r"`(\w+)\._\w+`", row) for row in rows]
    return {(order[0], taken) for order in orders for taken in order[1:]}


@contextmanager
def watching(directory: Path) -> Iterator[Told]:
    """Watch the locks of the processes that are started until then.

    :raises AssertionError: when one did what the order does not allow
    """
    told = Told(directory)
    before = {name: os.environ.get(name) for name in told.environment}
    os.environ.update(told.environment)
    try:
        yield told
    finally:
        _restore(before)
    assert told.out_of_order() == {}


def _restore(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
