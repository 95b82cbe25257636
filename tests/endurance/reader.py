"""A program that reads, or writes, until SIGTERM, and then says how long each step took, as JSON.

``python reader.py reads|writes DIRECTORY NUMBER FILES TAGS REPOSITORIES``. Standard library only.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

_KEPT = 20_000  # times of each verb


class Program:
    """Steps on one mount, timed."""

    def __init__(self, where: str, number: int, files: int, tags: int, repositories: int) -> None:
        self.took: dict[str, list[float]] = {}
        self._where, self._number = where, number
        self._files, self._tags, self._repositories = files, tags, repositories
        self._random = random.Random(number)

    def _timed(self, verb: str, began: float) -> None:
        took = self.took.setdefault(verb, [])
        if len(took) < _KEPT:
            took.append(time.monotonic() - began)

    def reads(self) -> None:
        """Stat, read and list."""
        number = self._random.randrange(self._files)
        path = f"{self._where}/files/v1/d{number % 20}/{number}.txt"
        began = time.monotonic()
        size = os.stat(path).st_size
        self._timed("stat", began)
        began = time.monotonic()
        with open(path, "rb") as file:
            content = file.read()
        self._timed("read", began)
        assert content == f"file {number}\n".encode() * 200, path
        assert size == len(content), path
        chance = self._random.random()
        if chance < 0.02:
            began = time.monotonic()
            assert len(os.listdir(f"{self._where}/tags")) == self._tags
            self._timed("list the tags", began)
        elif chance < 0.1:
            began = time.monotonic()
            os.stat(f"{self._where}/tags/t{self._random.randrange(self._tags)}/file")
            os.stat(f"{self._where}/r{self._random.randrange(self._repositories)}/v1")
            self._timed("stat of what may not be known", began)

    def writes(self) -> None:
        """Write a file of an alias that all writers share, and read it again; sometimes remove it."""
        path = f"{self._where}/written/v1/{self._number}-{self._random.randrange(4)}.bin"
        content = self._random.randbytes(self._random.choice((10, 5_000, 100_000)))
        began = time.monotonic()
        with open(path, "wb") as file:
            file.write(content)
        self._timed("write", began)
        with open(path, "rb") as file:
            assert file.read() == content, path
        if self._random.random() < 0.1:
            os.remove(path)


def main() -> None:
    verb, where, *numbers = sys.argv[1:]
    program = Program(where, *map(int, numbers))
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    while not stopped:
        program.reads() if verb == "reads" else program.writes()
    json.dump(program.took, sys.stdout)


if __name__ == "__main__":
    main()
