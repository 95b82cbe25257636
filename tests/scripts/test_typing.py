"""A program that uses the client type-checks: regfs is installed with its types (PEP 561)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from collections.abc import Iterator

import regfs
from regfs import exceptions


def auth(dxf: regfs.DXFBase, response: object) -> None:
    dxf.authenticate("fred", "secret", response=None)


def names(host: str) -> Iterator[str]:
    with regfs.DXF(host, "fred/datalogger", auth) as client:
        digest: str = client.push_blob("logger.dat")
        size: int = client.blob_size(digest)
        client.set_alias("may15-readings", digest)
        assert size >= 0
        for alias in client.list_aliases():
            yield alias
    assert regfs.hash_bytes(b"").startswith("sha256:")


try:
    print(list(names("localhost:5000")))
except exceptions.DXFUnauthorizedError as error:
    print(error)
"""
SESSIONS = """
from typing import BinaryIO, TextIO

import regfs
from regfs.fsspec import RegistryFileSystem


def first_line(location: str) -> str:
    with regfs.open(location, "r", access=regfs.Access(username="fred", ttl=0)) as text:
        checked: TextIO = text
        return checked.readline()


def names(host: str, repository: str) -> list[str]:
    with regfs.Session(host, regfs.Access(anon=True)) as session:
        with session.open(f"{repository}:v1/config.json") as file:
            binary: BinaryIO = file
            content: bytes = binary.read()
        size: int = session.files.entry((f"{repository}:v1", "config.json")).size
        assert size == len(content)
        return [name for name, entry in session.files.list((f"{repository}:v1",)) if not entry.is_directory]


fs = RegistryFileSystem(anon=True)
client = regfs.DXF("localhost:5000", "fred/datalogger", auth=regfs.docker_auth)
"""
WRONG = "import regfs\nclient = regfs.DXF(5000, ['fred'])\nreveal_type(regfs.DXF)\n"


def checked(directory: Path, program: str) -> subprocess.CompletedProcess[str]:
    """What a user's mypy says of a program, with a configuration that knows nothing of regfs."""
    (directory / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "program.py"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_a_program_that_uses_the_client_type_checks(tmp_path: Path) -> None:
    done = checked(tmp_path, PROGRAM)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["Success: no issues found in 1 source file"]), done


def test_a_program_that_uses_sessions_type_checks(tmp_path: Path) -> None:
    done = checked(tmp_path, SESSIONS)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["Success: no issues found in 1 source file"]), done


def test_a_program_that_calls_the_client_wrongly_is_told(tmp_path: Path) -> None:
    done = checked(tmp_path, WRONG)
    assert done.returncode == 1
    assert 'Argument 1 to "DXF" has incompatible type "int"' in done.stdout
    assert 'Argument 2 to "DXF" has incompatible type "list[str]"' in done.stdout
