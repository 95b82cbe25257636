"""Runs ``regfs`` in processes that have it loaded already: a command takes a tenth of the time.

As a program it is the process that loads regfs once and forks for each command; it knows nothing of tests. Each line it
reads is a command, each line it writes a status.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

_SECONDS = 20.0  # that a command may take
ROOT = Path(__file__).parents[2]


class Warm:
    """The process that forks. For any number of threads, one command at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = _started()

    def run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], directory: Path, answer: bytes
    ) -> tuple[int, bytes, bytes]:
        """Run ``regfs`` to its end; returns its status, and its output and error output."""
        with tempfile.TemporaryDirectory() as there:
            files = [Path(there, name) for name in ("input", "output", "error")]
            files[0].write_bytes(answer)
            command = {
                "arguments": arguments, "environment": dict(environment), "directory": str(directory),
                "files": [str(file) for file in files],
            }  # fmt: skip
            with self._lock:
                status = self._ask(json.dumps(command))
            return status, files[1].read_bytes(), files[2].read_bytes()

    def _ask(self, line: str) -> int:
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        if not select.select([process.stdout], [], [], _SECONDS)[0]:
            self.stop()
            self._process = _started()
            return -signal.SIGKILL
        return int(process.stdout.readline())

    def stop(self) -> None:
        """End the process, and what it has running."""
        assert self._process.stdin
        assert self._process.stdout
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.zoo.warm"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        start_new_session=True,
    )  # fmt: skip


def _serve() -> None:
    import regfs.cli  # noqa: F401 - to have it before the first fork

    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            _be(command)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


def _be(command: Mapping[str, object]) -> NoReturn:
    """Become a process that was started with this command."""
    files, arguments, environment = command["files"], command["arguments"], command["environment"]
    assert isinstance(files, list)
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    for number, file in enumerate(files):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(file, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(command["directory"]))
    sys.argv = ["regfs", *arguments]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    _end(_status())


def _status() -> int:
    from regfs.__main__ import main

    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
