"""Many names, many readers, some writers, for a while: nothing hangs, nothing grows; how long it takes is recorded."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted

_CUSTOMS = Path(__file__).with_name("dumping")
_PROGRAM = Path(__file__).with_name("reader.py")
_SILENCE = 60.0  # seconds without a step of any program that are a deadlock
_REPOSITORIES = "docker/registry/v2/repositories"
_KIB = 1024


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    tags: int
    repositories: int
    files: int
    readers: int
    writers: int


SMALL = Size(tags=500, repositories=50, files=200, readers=8, writers=2)
FULL = Size(tags=10_000, repositories=1_000, files=2_000, readers=64, writers=8)


@dataclass(frozen=True)
class Sample:
    """What a process takes: resident memory in KiB, threads, open descriptors."""

    memory: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, process: int) -> Sample:
        """What it takes now."""
        status = Path(f"/proc/{process}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return cls(int(fields["VmRSS"].split()[0]), int(fields["Threads"]), len(os.listdir(f"/proc/{process}/fd")))


def populate(registry: Registry, size: Size) -> None:
    """Fill a registry: one alias of many files, many tags of one manifest, many repositories with it.

    What was put over the API once is copied in the registry's storage, which is its own format.
    """
    with closing(Foreign(registry)) as foreign:
        contents = [f"file {number}\n".encode() * 200 for number in range(size.files)]
        foreign.artifact("load/tags", "t0", {"file": b"the same"})
        layers = [foreign.layer("load/files", c, f"d{n % 20}/{n}.txt") for n, c in enumerate(contents)]
        foreign.publish("load/files", "v1", layers)
        foreign.publish("load/written", "v1", [])
    root = registry.root / _REPOSITORIES / "load"
    tags = root / "tags/_manifests/tags"
    for number in range(1, size.tags):
        _copied(tags / "t0", tags / f"t{number}")
    for number in range(size.repositories):
        _copied(root / "written", root / f"r{number}")


def _copied(source: Path, goal: Path) -> None:
    for above, _, files in os.walk(source):
        there = goal / Path(above).relative_to(source)
        there.mkdir(parents=True)
        for name in files:
            (there / name).write_bytes(Path(above, name).read_bytes())


class Load:
    """Programs on one mount. ``samples`` are of the mount's process, a few each second; ``took`` seconds by verb."""

    def __init__(self, view: Mounted, size: Size, seed: int) -> None:
        self.samples: list[Sample] = []
        self.took: dict[str, list[float]] = {}
        self._view, self._size, self._seed = view, size, seed
        self._process = view.pid

    def run(self, seconds: float) -> None:
        """Read and write for a while.

        :raises AssertionError: when it hangs, or something that was read was wrong
        """
        with self._programs() as programs:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(min(0.5, seconds / 20))
                self.samples.append(Sample.of(self._process))
            for program in programs:
                program.send_signal(signal.SIGTERM)
            for program in programs:
                self._ended(program)
        self.samples.append(Sample.of(self._process))

    @contextmanager
    def _programs(self) -> Iterator[list[subprocess.Popen[str]]]:
        started = []
        try:
            for number in range(self._size.readers + self._size.writers):
                kind = "reads" if number < self._size.readers else "writes"
                command = [sys.executable, "-S", str(_PROGRAM), kind, self._view.path("load"), str(number),
                           str(self._size.files), str(self._size.tags), str(self._size.repositories)]  # fmt: skip
                started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            yield started
        finally:
            for program in started:
                program.kill()
                program.wait()
                if program.stdout:
                    program.stdout.close()

    def _ended(self, program: subprocess.Popen[str]) -> None:
        try:
            said, _ = program.communicate(timeout=_SILENCE)
        except subprocess.TimeoutExpired:
            os.kill(self._process, signal.SIGUSR1)
            time.sleep(1)
            raise AssertionError(f"a program hangs; the mount's threads:\n{stacks(self._view)}") from None
        assert program.returncode == 0, said[-2000:]
        for verb, took in json.loads(said).items():
            self.took.setdefault(verb, []).extend(took)

    def grown(self) -> str:
        """What grew between the second and the last fifth of the samples, in a line; empty when nothing did."""
        fifth = len(self.samples) // 5
        early, late = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        found = []
        for what, allowed in (("memory", 24 * _KIB), ("threads", 4), ("descriptors", 24)):
            before, after = (statistics.median(getattr(s, what) for s in part) for part in (early, late))
            if after > before + allowed:
                found.append(f"{what} grew from {before:.0f} to {after:.0f}")
        return "; ".join(found)

    def __str__(self) -> str:
        last, peak = self.samples[-1], max(sample.memory for sample in self.samples)
        lines = [
            f"{verb}: {len(took)}, p50 {p(took, 50):.2f} ms, p95 {p(took, 95):.2f}, p99 {p(took, 99):.2f},"
            f" max {1000 * max(took):.0f}"
            for verb, took in sorted(self.took.items())
        ]
        memory = f"memory {self.samples[len(self.samples) // 5].memory // _KIB} to {last.memory // _KIB} MiB"
        return "; ".join([*lines, f"{memory}, peak {peak // _KIB}",
                          f"{last.threads} threads, {last.descriptors} descriptors at the end"])  # fmt: skip


def p(took: list[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    return 1000 * sorted(took)[min(len(took) - 1, len(took) * percent // 100)]


def stacks(view: Mounted) -> str:
    """What the mount's threads were doing when it was asked, by SIGUSR1."""
    return (view.directory.parent / "stacks").read_text()


@contextmanager
def dumping(directory: Path) -> Iterator[None]:
    """Mounts that are made meanwhile write their threads' stacks to ``stacks`` in *directory* at SIGUSR1."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {"PYTHONPATH": str(_CUSTOMS), "STACKS": str(directory / "stacks")}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def under_load(registry: Registry, directory: Path, size: Size, seed: int, seconds: float) -> Load:
    """Fill a registry, mount it, and run the programs.

    :raises AssertionError: when it hangs, something is wrong, or something that was acknowledged is not there
    """
    populate(registry, size)
    with dumping(directory):
        view = Mounted(directory, registry.url, ttl=5)
    with closing(view):
        load = Load(view, size, seed)
        load.run(seconds)
        assert len(view.list("load")) == size.repositories + 3
        assert len(view.list("load/tags")) == size.tags
    assert "Traceback" not in view.log(), view.log()
    return load


def soak(seed: int, seconds: float, directory: Path) -> str:
    """Load for a while."""
    (directory / "lab").mkdir()
    lab = Lab(directory / "lab")
    try:
        load = under_load(lab.start("plain"), directory / "user", FULL, seed, seconds)
    finally:
        lab.stop()
    grown = load.grown()
    print(f"load: {load}", flush=True)
    assert not grown, grown
    return str(load)
