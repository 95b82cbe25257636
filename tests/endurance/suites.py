"""What others wrote to try file systems, on a mount: fio, whose every block says what it has to be, and stress-ng."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.endurance.ground import ground
from tests.registries import Registry
from tests.scenarios.views import Mounted


@dataclass(frozen=True)
class Pattern:
    """How fio writes.

    :param told: whether fio can say by itself which blocks it wrote. Where it reads in between it takes some for
        written that are not, on any file system
    """

    name: str
    options: tuple[str, ...]
    told: bool = True


PATTERNS = (
    Pattern("sequential", ("--rw=write", "--bs=64k")),
    Pattern("random", ("--rw=randwrite", "--bs=4k")),
    Pattern("random-sizes", ("--rw=randwrite", "--bsrange=512-32k", "--bs_unaligned=0", "--blockalign=512")),
    Pattern("mixed", ("--rw=randrw", "--bs=16k", "--verify_backlog=32"), told=False),
    Pattern("two-files", ("--rw=write", "--bs=32k", "--nrfiles=2", "--fsync=16")),
)
_FIO = ("--ioengine=psync", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fallocate=none",
        "--randrepeat=1", "--thread", "--output-format=terse")  # fmt: skip
_LIMIT = 600.0  # seconds


def fio(view: Mounted, where: str, pattern: Pattern, size: str, seed: int, verify_only: bool = False) -> None:
    """Write and verify; or only verify what an earlier call wrote.

    :param size: of all files together, such as ``2m``
    :raises AssertionError: when a block is not what was written
    """
    directory = view.path(where).replace(":", "\\:")  # to fio, a colon stands between two
    command = ["fio", f"--name={pattern.name}", f"--directory={directory}", f"--size={size}", *_FIO]
    command += [f"--randseed={seed}", *pattern.options]
    command += ["--verify_only=1"] if verify_only else ["--do_verify=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def written_and_read_again(registry: Registry, directory: Path, pattern: Pattern, size: str, seed: int) -> None:
    """fio's blocks are right in the mount that wrote them, and in another one, with another cache.

    :raises AssertionError: when one is not
    """
    where = f"fio:{pattern.name}-{seed}"
    read = []
    for name in ("writer", "reader"):
        view = Mounted(directory / f"{name}-{pattern.name}-{seed}", registry.url)
        try:
            if name == "writer":
                view.mkdir(where)
            if name == "writer" or pattern.told:
                fio(view, where, pattern, size, seed, verify_only=name == "reader")
            read.append({file: view.read_bytes(f"{where}/{file}") for file in view.list(where)})
        finally:
            view.close()
        assert "Traceback" not in view.log(), view.log()
    assert read[0] == read[1], f"{where} has other bytes in another mount"


def soak(seed: int, seconds: float, directory: Path) -> str:
    """fio's patterns, one after the other, for a while; larger files than in the tests."""
    end, turn = time.monotonic() + seconds, 0
    with ground(directory) as here:
        while time.monotonic() < end:
            written_and_read_again(here.registry, directory, PATTERNS[turn % len(PATTERNS)], "24m", seed + turn)
            turn += 1
    return f"{turn} runs of fio"
