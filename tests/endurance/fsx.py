"""File system exerciser, after its public description: random operations on one file beside an array of its bytes.

Each read is compared with the array, as is the whole file at its end. Several descriptors are open at once, and one
is closed and opened again now and then. A failure prints the operations that led to it.
"""

from __future__ import annotations

import mmap
import os
import random
import time
from collections import deque
from contextlib import closing
from pathlib import Path

from tests.endurance.ground import ground

LARGEST = 3 << 20  # bytes of the file
_PIECE = 1 << 17  # bytes of one operation, at most
_SHOWN = 60  # operations printed at a failure


class Exerciser:
    """One file, and what must be in it.

    :param path: made when it is missing
    :param seed: of the choices
    :param largest: bytes that the file grows to
    """

    def __init__(self, path: str, seed: int, largest: int = LARGEST) -> None:
        self._path = path
        self._chance = random.Random(seed)
        self._largest = largest
        self._expected = bytearray()
        self._done: deque[str] = deque(maxlen=_SHOWN)
        self._descriptors = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)]
        self._kinds = [self.read] * 3 + [self.write] * 3 + [self.append, self.truncate, self.sync, self.reopen,
                                                           self.another, self.mapped, self.stat]  # fmt: skip
        self.count = 0

    @property
    def expected(self) -> bytes:
        """The bytes that the file must have."""
        return bytes(self._expected)

    def run(self, count: int) -> None:
        """Do some operations.

        :raises AssertionError: when something is not as it must be; the operations before it are in the message
        """
        for _ in range(count):
            self.count += 1
            try:
                self._chance.choice(self._kinds)()
            except (AssertionError, OSError) as error:
                raise AssertionError("\n".join([*self._done, f"{type(error).__name__}: {error}"])) from error

    def close(self) -> None:
        """Close every descriptor."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def finish(self) -> None:
        """Close every descriptor, and read the file once more by a new one."""
        self.close()
        with open(self._path, "rb") as file:
            self._same(file.read(), 0, "at the end")

    def _note(self, text: str) -> None:
        self._done.append(f"{self.count}: {text}")

    def _descriptor(self) -> int:
        return self._chance.choice(self._descriptors)

    def _place(self, beyond: int = 0) -> tuple[int, int]:
        offset = self._chance.randint(0, min(len(self._expected) + beyond, self._largest - 1))
        return offset, self._chance.randint(1, min(_PIECE, self._largest - offset))

    def _same(self, got: bytes, offset: int, where: str) -> None:
        want = bytes(self._expected[offset : offset + len(got)])
        assert len(want) == len(got), f"{where}: {len(got)} bytes from {offset} on, but the file ends before that"
        if got != want:
            first = next(n for n, (a, b) in enumerate(zip(got, want, strict=True)) if a != b)
            raise AssertionError(f"{where}: byte {offset + first} is {got[first]}, not {want[first]}")

    def read(self) -> None:
        fd, (offset, count) = self._descriptor(), self._place()
        self._note(f"read {count} at {offset} of descriptor {self._descriptors.index(fd)}")
        got = os.pread(fd, count, offset)
        assert len(got) == max(0, min(count, len(self._expected) - offset)), f"read {len(got)} bytes"
        self._same(got, offset, "read")

    def write(self) -> None:
        fd, (offset, count) = self._descriptor(), self._place(beyond=_PIECE)
        self._note(f"write {count} at {offset} by descriptor {self._descriptors.index(fd)}")
        self._put(offset, self._bytes(count))
        assert os.pwrite(fd, self._expected[offset : offset + count], offset) == count

    def append(self) -> None:
        count = min(self._chance.randint(1, _PIECE), self._largest - len(self._expected))
        self._note(f"append {count} at {len(self._expected)}")
        data = self._bytes(count)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            assert os.write(fd, data) == count
        finally:
            os.close(fd)
        self._put(len(self._expected), data)

    def truncate(self) -> None:
        size = self._chance.randint(0, min(len(self._expected) + _PIECE, self._largest))
        self._note(f"truncate to {size}")
        if self._chance.random() < 0.5:
            os.ftruncate(self._descriptor(), size)
        else:
            os.truncate(self._path, size)
        self._resize(size)

    def sync(self) -> None:
        self._note("fsync")
        os.fsync(self._descriptor())

    def reopen(self) -> None:
        number = self._chance.randrange(len(self._descriptors))
        self._note(f"close and open descriptor {number}")
        os.close(self._descriptors[number])
        self._descriptors[number] = os.open(self._path, os.O_RDWR)

    def another(self) -> None:
        if len(self._descriptors) < 3:
            self._note("open one more")
            self._descriptors.append(os.open(self._path, os.O_RDWR))
        else:
            self._note("close one of them")
            os.close(self._descriptors.pop(self._chance.randrange(len(self._descriptors))))

    def mapped(self) -> None:
        if not self._expected:
            return
        self._note("read it all through a map")
        fd = os.open(self._path, os.O_RDONLY)
        try:
            with mmap.mmap(fd, len(self._expected), prot=mmap.PROT_READ) as pages:
                self._same(pages[:], 0, "map")
        finally:
            os.close(fd)

    def stat(self) -> None:
        for size in (os.fstat(self._descriptor()).st_size, os.stat(self._path).st_size):
            assert size == len(self._expected), f"its size is {size}, not {len(self._expected)}"

    def _bytes(self, count: int) -> bytes:
        return self._chance.randbytes(count)

    def _put(self, offset: int, data: bytes) -> None:
        self._resize(max(len(self._expected), offset + len(data)))
        self._expected[offset : offset + len(data)] = data

    def _resize(self, size: int) -> None:
        del self._expected[size:]
        self._expected.extend(bytes(size - len(self._expected)))


def soak(seed: int, seconds: float, directory: Path) -> str:
    """Exercise one file after another; each is then what the registry has."""
    files = operations = 0
    with ground(directory) as on:
        on.view.mkdir("fsx:v1")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = f"{files % 3}.bin"
            with closing(Exerciser(on.view.path(f"fsx:v1/{name}"), seed + files)) as exerciser:
                exerciser.run(400)
                exerciser.finish()
            assert on.foreign.files("fsx", "v1")[name] == exerciser.expected, f"file {files} is not what was pulled"
            files, operations = files + 1, operations + exerciser.count
    return f"{operations} operations on {files} files"
