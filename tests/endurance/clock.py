"""A clock on the wall that jumps, for the Python processes that are started meanwhile.

libfaketime does not do: with it, Python's ``time.sleep`` fails, as the monotonic clock is not to jump (0.9.10).
"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from types import TracebackType

_CUSTOMS = Path(__file__).with_name("jumping")


class Clock:
    """While this is entered and *jumping*, processes that are started get a clock of their own. It jumps until the end.

    ``jumps`` counts the jumps.
    """

    def __init__(self, directory: Path, jumping: bool) -> None:
        self.jumps = 0
        self._jumping = jumping
        self._file = directory.with_name(f"{directory.name}.clock")
        self._ended = threading.Event()
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Clock:
        if self._jumping:
            self._set(0)
            values = {"PYTHONPATH": str(_CUSTOMS), "JUMPING_CLOCK": str(self._file)}
            self._before = {name: os.environ.get(name) for name in values}
            os.environ.update(values)
        return self

    def jump_about(self, chosen: random.Random) -> None:
        """Let nothing that is started from now on have this clock; let it jump, by up to a year, every while."""
        if self._jumping:
            self._restore()
            threading.Thread(target=self._jump, args=(random.Random(chosen.random()),), daemon=True).start()

    def _jump(self, chosen: random.Random) -> None:
        while not self._ended.wait(chosen.uniform(0.05, 0.5)):
            self._set(int(chosen.choice((1, -1)) * 10 ** chosen.uniform(0, 7.5)))
            self.jumps += 1

    def _set(self, offset: int) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(offset))
        os.replace(fresh, self._file)

    def _restore(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        self._ended.set()
