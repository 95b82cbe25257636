"""What the contenders work on and with: directories, registries, a web server, links, mounts. All on loopback.

Everything is a context: after it, nothing is left of it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import processes
from scripts.benchmark.content import Shelf
from scripts.benchmark.harness import Failed
from tests import registries

_HERE = Path(__file__).parent
_START = 15.0  # seconds that a program has to answer
_SETTLED = 0.3  # seconds without traffic after which a link is idle
ROOT = os.geteuid() == 0


class Lab:
    """A directory, and what can be started in it.

    :param directory: empty; whoever made it removes it
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = processes.environment(self._made("home"))
        self.log = directory / "log"
        self._registries = registries.Lab(self._made("registries"))

    def _made(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir()
        return path

    def close(self) -> None:
        """Stop what is still running."""
        self._registries.stop()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new directory, deleted at the end."""
        path = Path(tempfile.mkdtemp(dir=self.directory))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """A docker-registry with nothing in it."""
        with self.scratch() as storage:
            started = self._registries.start("plain", root=storage)
            try:
                yield Registry(started)
            finally:
                started.stop()

    @contextmanager
    def web_server(self, shelf: Shelf) -> Iterator[int]:
        """nginx with the files of a shelf, the registry's own, under their names; yields its port."""
        with self.scratch() as directory:
            files = directory / "files"
            files.mkdir()
            for name, path in shelf.files.items():
                (files / name).symlink_to(path)
            port = _free_port()
            (directory / "nginx.conf").write_text(_nginx(directory, files, port))
            command = ["/usr/sbin/nginx", "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
            with processes.background(command, self.env, self.log) as process:
                self._wait_until(process, lambda: _listens(port))
                yield port

    @contextmanager
    def link(self, port: int, round_trip: float = 0.0, rate: float = 0.0) -> Iterator[Link]:
        """A link to a port, as :mod:`scripts.benchmark.link` has it."""
        command = [sys.executable, str(_HERE / "link.py"), str(port), f"--round-trip={round_trip}", f"--rate={rate}"]
        with processes.conversation(command, self.env, self.log) as process:
            yield Link(process, int(processes.ask(process)))

    @contextmanager
    def regfs(self, host: str, *options: str, cache: Path | None = None) -> Iterator[Mount]:
        """A mount of a registry, with an empty cache unless one is given."""
        with self.scratch() as directory:
            program = str(Path(sys.executable).with_name("regfs"))
            where = str(cache or directory / "cache")
            command = [program, "mount", "-f", "--log-level=warning", "--cache-dir", where, *options, f"http://{host}"]
            with self._mounted(command, directory / "mnt") as mount:
                yield mount

    @contextmanager
    def rclone(self, port: int, cache: Path | None = None) -> Iterator[Mount]:
        """A mount of a web server by rclone, with an empty cache unless one is given."""
        with self.scratch() as directory:
            (directory / "rclone.conf").touch()
            where = str(cache or directory / "cache")
            command = ["rclone", "mount", "--config", str(directory / "rclone.conf"), "--cache-dir", where]
            command += ["--vfs-cache-mode", "full", "--read-only", "--http-url", f"http://127.0.0.1:{port}/", ":http:"]
            with self._mounted(command, directory / "mnt") as mount:
                yield mount

    @contextmanager
    def _mounted(self, command: Sequence[str], directory: Path) -> Iterator[Mount]:
        directory.mkdir()
        with processes.background([*command, str(directory)], self.env, self.log) as process:
            try:
                self._wait_until(process, lambda: os.path.ismount(directory))
                yield Mount(directory, process)
            finally:
                _unmount(directory, process)

    def _wait_until(self, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + _START
        while not condition():
            if process.poll() is not None or time.monotonic() > limit:
                raise Failed(f"{process.args[0]} did not start: {processes.last_line(self.log)}")
            time.sleep(0.01)


class Registry:
    """A docker-registry; ``port`` is where it is."""

    def __init__(self, registry: registries.Registry) -> None:
        self._registry = registry
        self.port = int(registry.host.rpartition(":")[2])
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"

    def blob(self, digest: str) -> Path:
        """The registry's own file of a blob."""
        return self._registry.blob_path(digest)

    def requests(self) -> int:
        """How many it has answered so far, by its access log."""
        time.sleep(0.05)
        lines = self._registry.tail(1 << 30).splitlines()
        return sum(line.startswith("127.0.0.1 - - [") for line in lines)


@dataclass(frozen=True)
class Link:
    """A link that runs; what has passed can be asked for."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def host(self) -> str:
        """Where its near end is."""
        return f"127.0.0.1:{self.port}"

    def moved(self) -> int:
        """Bytes that have passed in both directions, when nothing passes any more."""
        before, moved = -1, self._moved()
        while before != moved:
            time.sleep(_SETTLED)
            before, moved = moved, self._moved()
        return moved

    def _moved(self) -> int:
        _, sent, received = processes.ask(self.process, "count").split()
        return int(sent) + int(received)


@dataclass(frozen=True)
class Mount:
    """A directory with something mounted on it, and the process behind it."""

    directory: Path
    process: subprocess.Popen[bytes]

    def peak_memory(self) -> int:
        """Bytes that the process has had in memory at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _unmount(directory: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(50):
        done = subprocess.run(["fusermount", "-u", str(directory)], check=False, capture_output=True)
        if done.returncode == 0 or not os.path.ismount(directory):
            break
        time.sleep(0.1)
    else:
        subprocess.run(["fusermount", "-u", "-z", str(directory)], check=False, capture_output=True)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_START)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _nginx(directory: Path, files: Path, port: int) -> str:
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{'user root;' if ROOT else ''} daemon off; worker_processes 2; pid {directory}/pid;"
        f"error_log {directory}/error.log; events {{}}"
        f"http {{ access_log off; sendfile on; tcp_nopush on; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {files}; autoindex on; }} }}"
    )
