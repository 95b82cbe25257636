"""A session at a terminal, recorded: each command is run by a shell in a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.registries import Lab

WIDTH, HEIGHT = 96, 46
_KEY = 0.04  # seconds that a key takes to be typed, and
_PAUSE = 1.2  # seconds that a reader is given, in the recording alone
_SESSION = """\
# a registry is a directory: its repositories, their aliases, their files
mkdir reg
regfs mount localhost:5000 reg
# publish by copying in
mkdir -p reg/team/model:v1
cp config.json weights.bin reg/team/model:v1/
ls -l reg/team/model/v1
getfattr -n user.regfs.digest --only-values reg/team/model/v1/config.json; echo
regfs umount reg
# elsewhere, with an empty cache: read 16 bytes of 256 MiB
regfs mount --read-only --cache-dir elsewhere localhost:5000/team/model:v1 reg
ls -lh reg
tail -c 16 reg/weights.bin | od -A d -t x1
du -sh elsewhere | cut -f 1
regfs status reg | head -4
regfs umount reg
# any other client sees an ordinary artifact
curl -s localhost:5000/v2/team/model/tags/list
"""


class Recording:
    """What a terminal showed, and when.

    :param shell: the environment and the directory of the shell
    :param names: what is shown in the place of what cannot be the same everywhere
    """

    def __init__(self, environment: dict[str, str], directory: Path, names: dict[str, str]) -> None:
        self._environment = environment
        self._directory = directory
        self._names = names
        self.events: list[tuple[float, str]] = []
        self._now = 0.0

    def type(self, line: str) -> None:
        """Type a line and wait for what it prints. A comment prints nothing."""
        if line.startswith("#"):
            self._show(f"\x1b[2m{line}\x1b[0m\r\n", _PAUSE)
            return
        self._show("\x1b[1;32m$\x1b[0m ", 0.3)
        for key in line:
            self._show(key, _KEY)
        self._show("\r\n", 0.2)
        for seconds, text in self._run(line):
            self._show(text, min(seconds, 1.0))
        self._now += _PAUSE

    def _show(self, text: str, seconds: float) -> None:
        self._now += seconds
        self.events.append((round(self._now, 3), text))

    def _run(self, line: str) -> Iterator[tuple[float, str]]:
        for real, shown in self._names.items():
            line = line.replace(shown, real)  # as it was typed, so that it does what it says
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self._directory)
            os.execve("/bin/bash", ["bash", "-c", line], self._environment)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        began = time.monotonic()
        with suppress(OSError):  # the terminal is gone when the shell is
            while data := os.read(terminal, 1 << 16):
                text = data.decode()
                for real, shown in self._names.items():
                    text = text.replace(real, shown)
                yield time.monotonic() - began, text
                began = time.monotonic()
        _, status = os.waitpid(process, 0)
        os.close(terminal)
        if status:
            sys.exit(f"scripts/record: failed at: {line}")


def record(directory: Path) -> None:
    """Record the session, and write what came of it to *directory*."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch, "home")
        home.mkdir()
        (home / "config.json").write_text('{"layers": 12, "heads": 8}\n')
        (home / "weights.bin").write_bytes(os.urandom(256 << 20))
        Path(scratch, "lab").mkdir()
        lab = Lab(Path(scratch, "lab"))
        try:
            registry = lab.start("plain")
            recording = Recording(
                _environment(home), home, {registry.host: "localhost:5000", os.fspath(home): "/home/fred"}
            )
            for line in _SESSION.splitlines():
                recording.type(line)
        finally:
            subprocess.run(["fusermount", "-u", "-z", home / "reg"], check=False, stderr=subprocess.DEVNULL)
            lab.stop()
    _write_cast(directory / "session.cast", recording)
    _write_picture(directory / "session.svg", recording)


def _environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return {"HOME": str(home), "PATH": path, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _write_cast(path: Path, recording: Recording) -> None:
    header = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "regfs"}
    lines = [header, *([seconds, "o", text] for seconds, text in recording.events)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def _write_picture(path: Path, recording: Recording) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi("".join(text for _, text in recording.events).replace("\r\n", "\n").rstrip("\n")))
    picture = console.export_svg(title="regfs")
    path.write_text(picture.replace("<text ", '<text xml:space="preserve" '), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
