"""scripts/demo: it works, can be run again, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PATIENCE = 10.0  # seconds that processes have to end


class Demonstration:
    """The scripts in a directory of their own, to be run without touching anybody's demonstration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "demo-data"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.programs = directory / "programs"
        self.programs.mkdir()
        shutil.copytree(ROOT / "scripts", directory / "scripts")

    def replace(self, program: str, script: str) -> None:
        """Let another program go by the name of one that the demonstration calls."""
        (self.programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / program).chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it as a shell with job control would: in a process group of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGFS_", "XDG_"))}
        path = f"{self.programs}{os.pathsep}{kept['PATH']}"
        environment = kept | {"REGFS_VENV": sys.prefix, "TMPDIR": str(self.temporary), "PATH": path}
        return subprocess.Popen(
            [self.directory / "scripts/demo", *arguments], env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end; returns its status and what it printed."""
        with self.start(*arguments) as process:
            printed, _ = process.communicate()
        return process.returncode, printed

    def left(self) -> list[str]:
        """Files, mounts and processes that are still there."""
        files = [str(path) for path in (self.data, *self.temporary.iterdir()) if path.exists()]
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.directory) in line]
        return files + mounts + list(self._processes())

    def _processes(self) -> Iterator[str]:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.directory) in command:
                yield command


def _until(start: str, lines: Iterable[str]) -> str:
    printed = ""
    for line in lines:
        printed += line
        if line.startswith(start):
            return printed
    return pytest.fail(f"it has not come to {start!r}:\n{printed}")


def _wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demonstration]:
    """The demonstration, stopped at the end."""
    made = Demonstration(tmp_path)
    yield made
    (made.programs / "docker-registry").unlink(missing_ok=True)
    made.run("--stop")


def _require_nothing_left(demo: Demonstration) -> None:
    _wait_for(lambda: not demo.left())
    assert demo.left() == []


def test_the_demonstration_ends_by_itself_and_leaves_nothing_behind(demo: Demonstration) -> None:
    status, printed = demo.run("--once")
    assert status == 0, printed
    assert "the same" in printed
    _require_nothing_left(demo)


@pytest.mark.parametrize("moment", ["== Mount it", "$ cp ", "$ curl ", "$ regfs mount --read-only", "$ tail "])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_leaves_nothing_behind(
    demo: Demonstration, moment: str, how: signal.Signals
) -> None:
    with demo.start("--once") as process:
        assert process.stdout is not None  # it is a pipe
        printed = _until(moment, process.stdout)
        os.killpg(process.pid, how)
        printed += process.stdout.read()
    assert process.returncode == 128 + how, printed
    _require_nothing_left(demo)


def test_a_demonstration_that_fails_says_at_what_and_leaves_nothing_behind(demo: Demonstration) -> None:
    demo.replace("getfattr", "echo no attributes today; exit 3")
    status, printed = demo.run("--once")
    assert status == 3
    assert "failed with status 3 at: getfattr" in printed
    _require_nothing_left(demo)


def test_a_registry_that_does_not_start_is_the_reason(demo: Demonstration) -> None:
    demo.replace("docker-registry", "echo no port is free; exit 1")
    status, printed = demo.run("--once")
    assert status == 1
    assert "docker-registry did not start:\nno port is free" in printed
    _require_nothing_left(demo)


def test_a_demonstration_stays_can_be_run_again_and_be_stopped(demo: Demonstration) -> None:
    for _ in range(2):
        status, printed = demo.run()
        assert status == 0, printed
        assert (demo.data / "mnt/model/v1/config.json").read_text() == '{"layers": 12, "heads": 8}\n'
    assert demo.run("--stop")[0] == 0
    _require_nothing_left(demo)


def test_a_demonstration_can_be_run_after_its_registry_was_killed(demo: Demonstration) -> None:
    assert demo.run()[0] == 0
    os.kill(int((demo.data / "registry.pid").read_text()), signal.SIGKILL)
    status, printed = demo.run()
    assert status == 0, printed


def test_nothing_to_stop_is_no_failure(demo: Demonstration) -> None:
    assert demo.run("--stop") == (0, "Nothing is running.\n")


def test_an_argument_that_there_is_not_is_refused(demo: Demonstration) -> None:
    status, printed = demo.run("--twice")
    assert status == 1
    assert printed == "scripts/demo: unknown argument: --twice; give none, --once or --stop\n"
