"""What the tests of the commands can ask for: a registry, a home of their own, and a directory to mount on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.views import REGFS, environment


class Regfs:
    """Runs ``regfs`` in a directory, ``here``."""

    def __init__(self, home: Path) -> None:
        self.here = home / "here"
        self.here.mkdir()
        self.environment = environment(home)

    def run(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end.

        :param answer: its standard input
        """
        return subprocess.run(
            [sys.executable, REGFS, *arguments],
            input=answer, capture_output=True, text=True, env=self.environment, cwd=self.here, timeout=90, check=False,
        )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        """What it prints when it succeeds, quietly."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def fails(self, *arguments: str, status: int = 1, answer: str = "") -> str:
        """The one line that it says when it fails."""
        done = self.run(*arguments, answer=answer)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1), done
        return done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [sys.executable, REGFS, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment, cwd=self.here,
        )  # fmt: skip

    def write(self, name: str, content: bytes) -> Path:
        """Make a file here."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def files(self, directory: str = ".") -> dict[str, bytes]:
        """The files below a directory here."""
        top = self.here / directory
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


@pytest.fixture
def regfs(tmp_path: Path) -> Regfs:
    """The command."""
    return Regfs(tmp_path)
