"""Programs that the benchmark runs: to their end, or in the background for as long as a context lasts.

Those in the background die with the benchmark, however it ends, and live in sessions of their own: a Ctrl-C is the
benchmark's to act upon.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scripts.benchmark.harness import Failed

_PATIENCE = 900.0  # seconds that a run may take
_END = 10.0  # seconds that a program in the background has to end
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
Environment = Mapping[str, str]


def environment(home: Path) -> dict[str, str]:
    """The environment of every program: nothing of the user's configuration, all state under *home*."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept = {k: v for k, v in kept.items() if not k.startswith(("REGFS_", "RCLONE_", "XDG_", "DXF_", "DOCKER_"))}
    state = {
        name: str(home / name) for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    }
    rootless = {"_CONTAINERS_ROOTLESS_UID": "1"}  # skopeo as root would keep what it knows of blobs in /var
    return kept | state | rootless | {"HOME": str(home), "LC_ALL": "C.UTF-8"}


def run(command: Sequence[str], env: Environment) -> None:
    """Run a program to its end; its output goes nowhere.

    :raises Failed: when it fails
    """
    run_together([command], env)


def run_together(commands: Sequence[Sequence[str]], env: Environment) -> None:
    """Run programs at the same time, to the end of the last one.

    :raises Failed: when one fails
    """
    started = []
    try:
        for command in commands:
            started.append(_start(command, env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))  # noqa: PERF401 - those started so far are to be ended
        for process in started:
            _, said = process.communicate(timeout=_PATIENCE)
            if process.returncode:
                raise Failed(f"{Path(str(process.args[0])).name}: {said.decode(errors='replace').strip()}")
    finally:
        for process in started:
            end(process)


def _start(command: Sequence[str], env: Environment, **streams: int | IO[bytes]) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.DEVNULL} | streams
    return subprocess.Popen(list(command), env=env, start_new_session=True, preexec_fn=_die_with_parent, **streams)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program, by force when it does not end by itself."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


@contextmanager
def background(command: Sequence[str], env: Environment, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the context; what it says goes to *log*."""
    with open(log, "ab") as output:
        process = _start(command, env, stdout=output, stderr=output)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def conversation(command: Sequence[str], env: Environment, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is spoken to over its standard input and output."""
    with open(log, "ab") as output:
        process = _start(command, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output)
    try:
        yield process
    finally:
        end(process)


def ask(process: subprocess.Popen[bytes], line: str = "") -> str:
    """Say a line, unless it is empty, and return the line that comes back."""
    assert process.stdin
    assert process.stdout
    if line:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    return process.stdout.readline().decode().strip()


def last_line(log: Path) -> str:
    """The last thing a program said."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
