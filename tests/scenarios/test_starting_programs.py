"""Programs that start others, or become others, while they have a new file of the mount open; and what closes tell.

execve(2) closes files, and holds a lock meanwhile that /proc/PID/fd needs: a mount that looks there before it answers
the close waits for the program that waits for it. Each program here has a watchdog that ends the mount if that happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, environment, run
from tests.servers import Answer, Request, Server, forward

WATCHDOG = 20.0  # seconds
STARTING = {
    "exec with a file that it closes": "os.open('new', os.O_CREAT|os.O_WRONLY|os.O_CLOEXEC);"
    "os.execvp('true', ['true'])",
    "exec with an exclusive file": "os.open('new', os.O_CREAT|os.O_EXCL|os.O_CLOEXEC); os.execvp('true', ['true'])",
    "exec with a file that it keeps": "os.set_inheritable(os.open('new', os.O_CREAT|os.O_WRONLY), True);"
    "os.execvp('true', ['true'])",
    "a child that closes its files": "f = open('new', 'w'); subprocess.run(['true']); f.write('y'); f.close()",
    "a child that keeps its files": "f = open('new', 'w'); subprocess.run(['true'], close_fds=False);"
    "f.write('y'); f.close()",
    "a shell": "f = open('new', 'w'); os.system('true'); f.write('y'); f.close()",
    "a fork alone": "f = open('new', 'w'); os.fork() or os._exit(0); os.wait(); f.write('y'); f.close()",
    "a child with the file as its output": "f = open('new', 'w'); subprocess.run(['echo', 'y'], stdout=f); f.close()",
    "threads that start programs": "f = open('new', 'w'); t = [threading.Thread(target=lambda: os.system('true'))"
    " for _ in range(4)]; [x.start() for x in t]; [x.join() for x in t]; f.write('y'); f.close()",
}
Mount = Callable[..., Mounted]


class Refusing:
    """A proxy that can be told to refuse what a push needs. ``puts`` counts the manifests put."""

    def __init__(self, registry: Registry) -> None:
        self.refused: tuple[str, str] | None = None
        self._forward = forward(registry.host)
        self.server = Server(self._respond)

    def _respond(self, request: Request) -> Answer:
        if self.refused is not None and request.method == self.refused[0] and self.refused[1] in request.path:
            return Answer(403, body=b'{"errors": [{"code": "DENIED", "message": "not today"}]}')
        return self._forward(request)

    @property
    def puts(self) -> int:
        return sum(request.method == "PUT" and "/manifests/" in request.path for request in self.server.requests)


@pytest.fixture
def refusing(registry: Registry) -> Iterator[Refusing]:
    made = Refusing(registry)
    yield made
    made.server.stop()


@pytest.fixture
def view(mount: Mount, refusing: Refusing, foreign: Foreign, repository: str) -> Mounted:
    """A mount, through the proxy, of an alias with one file."""
    foreign.artifact(repository, "v1", {"there": b"there"})
    return mount(f"http://{refusing.server.host}/{repository}:v1")


def watched(view: Mounted, *command: str) -> int:
    """The exit status of a command in the mount; a mount that makes it wait for good is ended, and the test fails."""
    with subprocess.Popen(command, cwd=view.directory, stderr=subprocess.DEVNULL) as program:
        try:
            return program.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            program.kill()
            os.kill(view.pid, signal.SIGKILL)
            program.wait(WATCHDOG)
            subprocess.run(["fusermount", "-u", "-z", view.directory], check=False)
            pytest.fail("it waits for the mount, which waits for it")


def python(view: Mounted, program: str) -> int:
    return watched(view, sys.executable, "-c", f"import os, subprocess, threading\n{program}")


@pytest.mark.parametrize("program", STARTING.values(), ids=STARTING.keys())
def test_a_program_starts_another_with_a_new_file_open(
    view: Mounted, foreign: Foreign, repository: str, program: str
) -> None:
    assert python(view, program) == 0
    written = b"" if "execvp" in program else b"y\n" if "echo" in program else b"y"
    deadline = time.monotonic() + WATCHDOG
    while foreign.files(repository, "v1").get("new") != written:  # exec tells nobody of a close: the release pushes
        assert time.monotonic() < deadline
        time.sleep(0.05)


SHELLS = ("bash", "dash", "zsh", "fish")
FILLED = (
    *(f"{shell} -c 'echo hi > f'" for shell in SHELLS),
    *("echo hi >> f", "cat /etc/hostname > f", "echo hi > there", "exec 3> f; echo hi >&3", "echo hi | dd of=f"),
)
EMPTY = ("touch f", ": > f", "true > f")


@pytest.mark.parametrize("command", [*FILLED, *EMPTY])
def test_the_shell_makes_a_file_by_one_manifest(view: Mounted, refusing: Refusing, command: str) -> None:
    name = "there" if "there" in command else "f"
    assert watched(view, "bash", "-c", command) == 0
    assert (view.read_bytes(name) == b"") == (command in EMPTY)
    assert refusing.puts == 1


REFUSED_CLOSES = {
    "touch": ["touch", "f"],
    "truncate": ["truncate", "-s", "0", "f"],
    "cp": ["cp", "/dev/null", "f"],
    "install": ["install", "/dev/null", "f"],
    "dd": ["dd", "if=/dev/null", "of=f"],
    "python w": [sys.executable, "-c", "open('f', 'w').close()"],
    "python a": [sys.executable, "-c", "open('f', 'a').close()"],
    "python x": [sys.executable, "-c", "open('f', 'x').close()"],
    "pathlib": [sys.executable, "-c", "import pathlib; pathlib.Path('f').touch()"],
}


@pytest.mark.logs("denied|not today|403|EACCES|refused|unauthor", "was not pushed|are kept")
@pytest.mark.parametrize("command", REFUSED_CLOSES.values(), ids=REFUSED_CLOSES.keys())
def test_a_close_fails_when_an_upload_is_refused(view: Mounted, refusing: Refusing, command: list[str]) -> None:
    refusing.refused = ("POST", "/blobs/uploads")
    assert watched(view, *command) != 0


@pytest.mark.logs("not today|denied|403|refused", "was not pushed|are kept")
@pytest.mark.parametrize("command", REFUSED_CLOSES.values(), ids=REFUSED_CLOSES.keys())
def test_a_close_fails_when_the_manifest_is_refused(view: Mounted, refusing: Refusing, command: list[str]) -> None:
    refusing.refused = ("PUT", "/manifests/")
    assert watched(view, *command) != 0


@pytest.fixture
def stuck(view: Mounted) -> Iterator[int]:
    """The mount's process, stopped while a program is in execve and waits for it."""
    serving = view.pid
    os.kill(serving, signal.SIGSTOP)
    program = subprocess.Popen([sys.executable, "-c", f"open({view.path('new')!r}, 'w')"])
    yield serving
    os.kill(serving, signal.SIGCONT)
    program.wait(WATCHDOG)


def test_an_unmount_says_who_is_busy_though_a_mount_hangs(view: Mounted, stuck: int) -> None:
    done = run("umount", str(view.directory), environment=view.environment)
    assert done.returncode == 1
    assert "is busy" in done.stderr


def test_a_mount_over_one_that_hangs_says_so(view: Mounted, stuck: int) -> None:
    done = run("mount", "localhost:1", str(view.directory), environment=view.environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "does not answer; run: regfs umount" in done.stderr


@pytest.mark.parametrize("own", ["cache", "state", "log"])
@pytest.mark.parametrize("where", ["in itself", "in another mount"])
def test_a_mount_does_not_keep_its_files_on_a_mount(
    view: Mounted, tmp_path: Path, own: str, where: str, registry: Registry
) -> None:
    directory = tmp_path / "second"
    directory.mkdir()
    place = (directory if where == "in itself" else view.directory) / "there"
    home = environment(tmp_path / "other")
    if own != "log":
        home[f"XDG_{own.upper()}_HOME"] = str(place)
    given = ("--log-file", str(place)) if own == "log" else ()
    done = run("mount", *given, registry.url, str(directory), environment=home)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert ("in the mount itself" if where == "in itself" else "on a mount of regfs") in done.stderr
    assert not os.path.ismount(directory)
