"""The cases of the two adapters to the kernel, beside the same files on a disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import processes
from scripts.benchmark.contenders import Command, Ready, on_files, through_mount
from scripts.benchmark.content import Loader, write_random
from scripts.benchmark.harness import Case, Contender, Goal
from scripts.benchmark.lab import Lab

ADAPTERS = ("kernel", "fusepy")
_STATS = 50_000
_STAT = "import os, sys\nfor _ in range(int(sys.argv[2])): os.stat(sys.argv[1])"
Commands = Callable[[Path], Sequence[Command]]


@dataclass(frozen=True)
class _Place:
    """A tag in a registry, and a directory with the same files; the first mount that reads them fills *cache*."""

    lab: Lab
    host: str
    native: Path
    cache: Path

    def regfs(self, adapter: str, work: Commands, *first: Commands) -> Ready:
        """Work in a new mount.

        :param first: what is done in it before, untimed
        """
        return through_mount(
            self.lab,
            lambda: self.lab.regfs(self.host, f"--fuse={adapter}", cache=self.cache),
            lambda mount: work(mount / "bench/v1"),
            _nothing,
            lambda mount: [command for commands in first for command in commands(mount / "bench/v1")],
        )

    def on_disk(self, work: Commands) -> Ready:
        """The same work on the files on the disk."""
        return on_files(self.lab, lambda _: work(self.native), lambda: self._warm(work))

    def _warm(self, work: Commands) -> None:
        processes.run_together(work(self.native), self.lab.env)


def _one(directory: Path) -> Sequence[Command]:
    """Let the mount know the tag's manifest."""
    return [("stat", str(directory / "file00000.txt"))]


def _nothing() -> None:
    pass


def _contenders(place: _Place, work: Commands, goals: Callable[[str, str], Sequence[Goal]]) -> list[Contender]:
    """The work done once by a new mount, and once more, through each adapter."""
    found = [Contender("native", place.on_disk(work))]
    for adapter in ADAPTERS:
        found += [
            Contender(f"{adapter}, first", place.regfs(adapter, work, _one), goals(adapter, "first")),
            Contender(f"{adapter}, again", place.regfs(adapter, work, work), goals(adapter, "again")),
        ]
    return found


def _limits(first: float, again: float, other: str = "native") -> Callable[[str, str], Sequence[Goal]]:
    """Goals for the kernel's protocol: times that of the native one, or of fusepy."""

    def goals(adapter: str, when: str) -> Sequence[Goal]:
        limit = {"first": first, "again": again}[when]
        than = other if other == "native" else f"{other}, {when}"
        return [Goal(f"at most {limit} of {than}", limit, than)] if adapter == "kernel" else []

    return goals


@contextmanager
def _filled(lab: Lab, count: int, size: int, blobs: int) -> Iterator[_Place]:
    """*count* files, of *blobs* different contents, in one tag and in one directory."""
    with lab.registry() as registry, lab.scratch() as native, lab.scratch() as cache:
        loader = Loader(registry.host)
        layers = []
        for number in range(count):
            path = native / f"file{number:05}.txt"
            if number < blobs:
                write_random(path, size)
                digest = loader.blob("bench", path)
            else:
                shutil.copyfile(native / "file00000.txt", path)
                digest = layers[0][1]
            layers.append((path.name, digest, size))
        loader.artifact("bench", ["v1"], layers)
        loader.close()
        yield _Place(lab, registry.host, native, cache)


def _case(
    lab: Lab, name: str, title: str, note: str, work: Commands, files: tuple[int, int, int],
    goals: Callable[[str, str], Sequence[Goal]],
) -> Case:  # fmt: skip
    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _filled(lab, *files) as place:
            yield _contenders(place, work, goals)

    return Case(name, title, note, "native", contenders)


def ls(lab: Lab, count: int) -> Case:
    """Names and attributes of many files."""
    note = f"`ls -l` of a tag of {count:,} files in a new mount, and once more."

    def work(directory: Path) -> Sequence[Command]:
        return [("ls", "-l", str(directory))]

    return _case(lab, "ls", f"`ls -l` of {count:,} files", note, work, (count, 64, 1), _limits(1.5, 1.0))


def find(lab: Lab, count: int) -> Case:
    """Names of many files."""
    note = f"`find -type f` over a tag of {count:,} files in a new mount, and once more."

    def work(directory: Path) -> Sequence[Command]:
        return [("find", str(directory), "-type", "f")]

    return _case(lab, "find", f"`find` over {count:,} files", note, work, (count, 64, 1), _limits(4, 2.5))


def grep(lab: Lab, count: int, size: int = 2 << 10) -> Case:
    """Many small files, read from regfs's cache."""
    note = f"`grep -r` over {count:,} files of {size >> 10} KiB, cached by regfs, in a new mount, and once more."

    def work(directory: Path) -> Sequence[Command]:
        return [("grep", "-rc", "--text", "-e", "needle", str(directory))]

    goals = _limits(0.3, 0.2, "fusepy")
    return _case(lab, "grep", f"`grep -r` over {count:,} files", note, work, (count, size, count), goals)


def stat(lab: Lab) -> Case:
    """Attributes of one file, again and again."""
    note = f"os.stat of one file, {_STATS:,} times, by a Python program."

    def work(directory: Path) -> Sequence[Command]:
        return [(sys.executable, "-c", _STAT, str(directory / "file00000.txt"), str(_STATS))]

    return _case(lab, "stat", "stat(2) of a file", note, work, (1, 64, 1), _limits(1.5, 1.5))


def large(lab: Lab, size: int) -> Case:
    """A large file, from regfs's cache and from the kernel's pages."""

    def cat(directory: Path) -> Sequence[Command]:
        return [("cat", str(directory / "file00000.txt"))]

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _filled(lab, 1, size, 1) as place:
            found = _contenders(place, cat, _limits(1.1 if os.geteuid() == 0 else 0.55, 1.1))
            with lab.regfs(place.host, cache=place.cache) as mount:  # fills the cache
                (mount.directory / "bench/v1/file00000.txt").read_bytes()
            for adapter in ADAPTERS:
                found.append(Contender(f"{adapter}, cold", _cold(place, adapter, cat)))
            yield found

    note = "`cat` in a new mount, whose cache has the file; once more; with an empty cache, from the registry."
    return Case("large", "A large file", note, "native", contenders, size)


def _cold(place: _Place, adapter: str, work: Commands) -> Ready:
    return through_mount(
        place.lab,
        lambda: place.lab.regfs(place.host, f"--fuse={adapter}"),
        lambda mount: work(mount / "bench/v1"),
        _nothing,
    )
