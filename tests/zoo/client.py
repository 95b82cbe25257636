"""``regfs`` as a user has it: processes with a home of their own, and mounts by them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registries import PASSWORD, USER
from tests.scenarios.views import REGFS, environment
from tests.zoo.warm import Warm

_TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    output: str
    error: str


class Home:
    """A user's home. ``here`` is the directory that commands run in.

    :param warm: runs its commands
    :param variables: of the environment, beside the home's
    """

    def __init__(self, directory: Path, warm: Warm, **variables: str) -> None:
        self.directory, self._warm = directory, warm
        self.here = directory / "here"
        self.here.mkdir(parents=True)
        runtime = directory / "run"
        runtime.mkdir()
        self.environment = {**environment(directory), "XDG_RUNTIME_DIR": str(runtime), **variables}
        self._mounts = 0

    def run(self, *arguments: str, answer: str = "") -> Done:
        """Run ``regfs`` to its end.

        :param answer: its standard input
        """
        status, output, error = self._warm.run(arguments, self.environment, self.here, answer.encode())
        return Done(status, output.decode(errors="replace"), error.decode(errors="replace"))

    def __call__(self, *arguments: str) -> str:
        """What it prints when it succeeds."""
        done = self.run(*arguments)
        assert done.status == 0, done
        return done.output

    def fails(self, *arguments: str) -> str:
        """The one line that it says when it fails."""
        done = self.run(*arguments)
        assert (done.status, len(done.error.splitlines())) == (1, 1), done
        return done.error

    def write(self, name: str, content: bytes) -> Path:
        """Make a file here."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def docker(self, document: Mapping[str, object]) -> None:
        """Make it docker's configuration."""
        path = self.directory / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))

    def log_in(self, key: str) -> None:
        """Be who a registry lets in, as docker keeps it."""
        self.docker({"auths": {key: {"auth": login()}}})

    def helper(self, name: str, script: str) -> None:
        """Make a credential helper, a shell script that has read the host's name as ``$key``."""
        programs = self.directory / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\nread key\n{script}\n")
        program.chmod(0o755)
        self.environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    def log(self) -> str:
        """What mounts in the background have logged."""
        file = self.directory / "state/regfs/log/mount.log"
        return file.read_text() if file.exists() else ""

    @contextmanager
    def mount(self, *arguments: str) -> Iterator[Path]:
        """A mount in a process of its own, unmounted at the end."""
        where = self._mountpoint()
        try:
            done = self.run("mount", *arguments, str(where))
            assert done.status == 0, done
            yield where
        finally:
            unmount(where)

    @contextmanager
    def mount_by_program(self, *arguments: str) -> Iterator[Path]:
        """As :meth:`mount`, by the program that users run."""
        where = self._mountpoint()
        command = [sys.executable, REGFS, "mount", *arguments, str(where)]
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment,
                timeout=_TIMEOUT, check=True,
            )  # fmt: skip
            yield where
        except subprocess.CalledProcessError as error:
            raise AssertionError(error.stderr) from None
        finally:
            unmount(where)

    def _mountpoint(self) -> Path:
        self._mounts += 1
        where = self.directory / f"mnt{self._mounts}"
        where.mkdir()
        return where


def unmount(where: Path) -> None:
    """Take a mount away at once."""
    subprocess.run(["fusermount", "-u", "-z", where], check=False, stderr=subprocess.DEVNULL)


def login(user: str = USER, password: str = PASSWORD) -> str:
    """User and password as the files have them."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
