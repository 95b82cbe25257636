"""The same programs in an alias of a mount and in a plain directory: what they come to is the same, but for what
docs/SEMANTICS.md says otherwise. :data:`DEVIATIONS` is all of that."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.endurance.ground import Ground, ground
from tests.endurance.programs import SLOTS, Operation, Outcome, Runner, programs

DEVIATIONS = {
    "3.1": "a handle that is open for reading alone may have the bytes that it was opened with: see Plain.open",
    "7.6": "fstat of a file that was removed while it was open may be ENOENT: see Plain.outcomes",
}
_numbers = itertools.count(1)


class Plain(Runner):
    """A plain directory, that allows for the deviations: an operation may come to one of several things."""

    def __init__(self, root: str, copies: str) -> None:
        super().__init__(root)
        self._copies = copies
        self._pinned: list[int | None] = [None] * SLOTS

    def outcomes(self, operation: Operation) -> list[Outcome]:
        allowed = super().outcomes(operation)
        if operation[0] in ("pread", "fstat") and (copy := self._pinned[operation[1]]) is not None:
            self.slots[operation[1]], real = copy, self.slots[operation[1]]
            allowed += super().outcomes(operation)
            self.slots[operation[1]] = real
        if operation[0] == "fstat" and (fd := self.slots[operation[1]]) is not None and not os.fstat(fd).st_nlink:
            allowed.append("ENOENT")
        return allowed

    def open(self, slot: int, path: str, flags: int) -> Outcome:
        opened = super().open(slot, path, flags)
        if opened is None and flags == os.O_RDONLY:  # 3.1
            with tempfile.TemporaryFile(dir=self._copies) as copy:
                if not os.path.isdir(self._path(path)):
                    os.sendfile(copy.fileno(), self._fd(slot), 0, 1 << 30)
                self._pinned[slot] = os.dup(copy.fileno())
        return opened

    def close(self, slot: int) -> Outcome:
        pinned, self._pinned[slot] = self._pinned[slot], None
        if pinned is not None:
            os.close(pinned)
        return super().close(slot)


def compare(on: Ground, program: list[Operation], directory: Path) -> None:
    """Do a program in both places.

    :raises AssertionError: at the first operation that comes to something else
    """
    alias = f"v{next(_numbers)}"
    on.view.mkdir(f"box:{alias}")
    with tempfile.TemporaryDirectory(dir=directory) as root, tempfile.TemporaryDirectory(dir=directory) as copies:
        plain, mounted = Plain(root, copies), Runner(on.view.path(f"box:{alias}"))
        try:
            for number, operation in enumerate(program):
                allowed, got = plain.outcomes(operation), mounted.outcomes(operation)[0]
                assert got in allowed, f"{number}: {operation} came to {got!r}, not {allowed!r}"
            there = plain.finish()
            assert mounted.finish() == there
        finally:
            plain.finish()
            mounted.finish()
        files = {path: content for path, content in there.items() if content != "directory"}
        published = alias in (on.foreign.aliases("box") if files else ())
        assert (on.foreign.files("box", alias) if published else {}) == files


def soak(number: int, seconds: float, directory: Path) -> str:
    """Compare one program after another."""
    tried = operations = 0
    with ground(directory) as on:

        @settings(max_examples=50, database=None, deadline=None, suppress_health_check=list(HealthCheck),
                  phases=(Phase.generate, Phase.shrink))  # fmt: skip
        @given(programs)
        def once(program: list[Operation]) -> None:
            nonlocal tried, operations
            tried, operations = tried + 1, operations + len(program)
            compare(on, program, directory)

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seed(number + tried)(once)()
    return f"{operations} operations in {tried} programs"
