"""The programs that are compared, each as something that can be made ready and run.

What the functions here return is called once per run: it makes everything anew and takes it away again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from scripts.benchmark import processes
from scripts.benchmark.harness import Attempt, Facts, Failed
from scripts.benchmark.lab import Lab, Link, Mount

Ready = Callable[[], AbstractContextManager[Attempt]]
Command = Sequence[str]
MEMORY, MOVED, REQUESTS = "peak memory", "moved", "requests"

_PYTHON_CLIENTS = str(Path(__file__).with_name("python_clients.py"))
SKOPEO = ("skopeo", "--insecure-policy")


def curl(url: str, *options: str) -> Command:
    """The command that curl is used by."""
    return ("curl", "-sSf", *options, url)


def skopeo_pull(host: str, repository: str, directory: Path) -> Command:
    """The command that copies alias v1 into a directory."""
    return (*SKOPEO, "copy", "-q", "--src-tls-verify=false", f"docker://{host}/{repository}:v1", f"dir:{directory}")


def skopeo_push(directory: Path, host: str, repository: str) -> Command:
    """The command that copies a directory to alias v1."""
    return (*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"dir:{directory}", f"docker://{host}/{repository}:v1")


def on_files(lab: Lab, commands: Callable[[Path], Sequence[Command]], before: Callable[[], object]) -> Ready:
    """Programs that write into a directory, which is new each time.

    :param commands: from the directory, what runs at the same time
    :param before: done before, untimed
    """

    @contextmanager
    def ready() -> Iterator[Attempt]:
        with lab.scratch() as directory:
            before()
            yield Attempt(lambda: processes.run_together(commands(directory), lab.env))

    return ready


def python_client(lab: Lab, arguments: Callable[[Path], Sequence[Command]], before: Callable[[], object]) -> Ready:
    """The same for what :mod:`scripts.benchmark.python_clients` does; imports are not timed."""

    @contextmanager
    def ready() -> Iterator[Attempt]:
        with lab.scratch() as directory, ExitStack() as stack:
            waiting = [stack.enter_context(python_process(lab, *command)) for command in arguments(directory)]
            before()
            yield Attempt(lambda: go(waiting))

    return ready


@contextmanager
def python_process(lab: Lab, *arguments: str) -> Iterator[Popen[bytes]]:
    """A Python client that has imported all it needs, and waits."""
    command = [sys.executable, _PYTHON_CLIENTS, *arguments]
    with processes.conversation(command, lab.env, lab.log) as process:
        if processes.ask(process) != "ready":
            raise Failed(f"{arguments[0]}: {processes.last_line(lab.log)}")
        process.log = lab.log  # type: ignore[attr-defined]
        yield process


def go(waiting: Sequence[Popen[bytes]]) -> None:
    """Let Python clients that wait do their work, and wait until they have.

    :raises Failed: when one fails
    """
    for process in waiting:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in waiting:
        if process.wait(900):
            raise Failed(f"{process.args[2]}: {processes.last_line(process.log)}")  # type: ignore[attr-defined, index]


def through_mount(
    lab: Lab,
    mount: Callable[[], AbstractContextManager[Mount]],
    commands: Callable[[Path], Sequence[Command]],
    before: Callable[[], object],
    first: Callable[[Path], Sequence[Command]] = lambda directory: (),
    facts: Callable[[Mount], Facts] = lambda mount: {MEMORY: mount.peak_memory()},
) -> Ready:
    """Programs that work in a mounted directory. Mounting is not timed.

    :param commands: from the directory, what runs at the same time
    :param first: what runs on the new mount before, untimed
    """

    @contextmanager
    def ready() -> Iterator[Attempt]:
        with mount() as mounted:
            processes.run_together(first(mounted.directory), lab.env)
            before()
            yield Attempt(lambda: processes.run_together(commands(mounted.directory), lab.env), lambda: facts(mounted))

    return ready


def counting(link: Link, ready: Ready) -> Ready:
    """The same contender, with the bytes that it moves over *link* from the start of the run on."""
    return counted(ready, MOVED, link.moved)


def counted(ready: Ready, fact: str, read: Callable[[], int]) -> Ready:
    """The same contender, with how much a number grows by its run."""

    @contextmanager
    def with_count() -> Iterator[Attempt]:
        with ready() as attempt:
            before = read()
            yield Attempt(attempt.run, lambda: {fact: read() - before, **attempt.facts()})

    return with_count


def drop_caches() -> None:
    """Let the kernel forget what it has read. Needs root."""
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
