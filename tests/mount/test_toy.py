"""A file system in memory through the kernel's own protocol: what of it the kernel keeps, and for how long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.toy import FILES
from tests.scenarios.views import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount it, and make the kernel forget")


class Toy:
    """The toy's process, and where it is mounted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mount.toy", directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._line() == b"mounted\n"

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def counts(self) -> tuple[int, int]:
        """How many nodes the kernel knows, and how many handles are open."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        nodes, handles = self._line().split()
        return int(nodes), int(handles)


@pytest.fixture
def toy(directory: Path) -> Iterator[Toy]:
    made = Toy(directory)
    yield made
    subprocess.run(["umount", "-l", directory], check=False)
    for stream in (made.process.stdin, made.process.stdout):
        assert stream is not None
        stream.close()
    made.process.wait(30)


def forget() -> None:
    """Make the kernel forget names and inodes that nobody uses."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("2\n")


def test_all_that_was_looked_at_is_forgotten_when_the_kernel_forgets(toy: Toy) -> None:
    for _ in range(3):
        names = os.listdir(toy.directory / "many")
        assert len(names) == FILES
        assert {os.stat(toy.directory / "many" / name).st_size for name in names} == {6}
        assert toy.counts()[0] > FILES // 2

        def known() -> bool:
            forget()
            return toy.counts()[0] < 100

        eventually(known)


def test_every_name_is_listed_once_whatever_the_reader_asks_for(toy: Toy) -> None:
    done = subprocess.run(["ls", "-lU", toy.directory / "many"], capture_output=True, text=True, check=True)
    assert len({line.split()[-1] for line in done.stdout.splitlines()[1:]}) == FILES
    with os.scandir(toy.directory / "many") as entries:
        found = {entry.name: entry.inode() for entry in entries}
    assert found["f17"] == os.stat(toy.directory / "many/f17").st_ino
    assert len(set(found.values())) == FILES


def test_attributes_that_are_known_need_no_process(toy: Toy) -> None:
    with open(toy.directory / "many/f1", "rb") as file:
        assert file.read() == b"bytes\n"
        size = os.fstat(file.fileno()).st_size
        toy.process.send_signal(signal.SIGSTOP)
        try:
            file.seek(0)
            assert (file.read(), size) == (b"bytes\n", 6)
        finally:
            toy.process.send_signal(signal.SIGCONT)


def test_a_killed_reader_does_not_wait_for_an_answer(toy: Toy) -> None:
    reader = subprocess.Popen(["cat", toy.directory / "slow"])
    eventually(lambda: toy.counts()[1], 1)
    reader.kill()
    assert reader.wait(10) == -signal.SIGKILL


def test_other_requests_are_answered_while_one_waits(toy: Toy) -> None:
    readers = [subprocess.Popen(["cat", toy.directory / "slow"]) for _ in range(4)]
    eventually(lambda: toy.counts()[1], 4)
    assert (toy.directory / "many/f3").read_bytes() == b"bytes\n"
    for reader in readers:
        reader.kill()
    assert {reader.wait(10) for reader in readers} == {-signal.SIGKILL}
