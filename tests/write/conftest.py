"""Files being written and their journal, without a mount."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regfs.write.staging import Journal, Staged, Target
from tests.registries import Registry
from tests.scenarios.foreign import Foreign

HOST = "localhost:5000"
TARGET = Target("some/repository", "v1", ("plots", "may.png"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a journal is."""
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Journal:
    """An empty journal."""
    return Journal(directory, HOST)


@pytest.fixture
def staged(journal: Journal) -> Iterator[Staged]:
    """A new file."""
    file = journal.stage(TARGET)
    yield file
    file.close()


@pytest.fixture
def registry_has(plain: Registry) -> Iterator[Foreign]:
    """A foreign client of that registry."""
    client = Foreign(plain)
    yield client
    client.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB and 16 files."""
    path = tmp_path / "disk"
    path.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=16,mode=700", "regfs-test", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def take_all_files(disk: Path) -> Callable[[], None]:
    """Let the file system have room for no more file; returns what gives that back."""
    made: list[Path] = []
    while True:
        try:
            (disk / f"taken{len(made)}").touch()
        except OSError:
            break
        made.append(disk / f"taken{len(made)}")

    def give_back() -> None:
        for path in made:
            path.unlink()

    return give_back


def write_down(journal: Journal, content: bytes, target: Target = TARGET) -> None:
    """Leave a file in the journal that was not pushed."""
    file = journal.stage(target)
    file.write(content, 0)
    file.close()


def contents(journal: Journal) -> list[bytes]:
    """The bytes of each file that is pending."""
    return [(pending.directory / "data").read_bytes() for pending in journal.pending()]


def names(directory: Path) -> list[str]:
    """What is in a directory and below it."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@contextmanager
def another_process(directory: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has done something with ``journal`` and waits; it is killed at the end, if not before."""
    program = (
        "import sys; from pathlib import Path; from regfs.write.staging import *\n"
        f"journal = Journal(Path(sys.argv[1]), {HOST!r})\n"
        f"target = Target('some/repository', 'v1', ('plots', 'may.png'))\n{code}\nprint('done', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process
        process.kill()
