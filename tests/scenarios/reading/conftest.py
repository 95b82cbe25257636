"""A real mount in a process of its own, on a real registry, behind a proxy that counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contents import MIB
from tests.scenarios.making import Mount, making
from tests.scenarios.views import Mounted


@pytest.fixture
def mount(tmp_path: Path, adapter: str) -> Iterator[Mount]:
    """Mounts a reference, by default with names that stay fresh."""
    with making(Mounted, tmp_path, ttl=60, fuse=adapter) as make:
        yield make


def process_of(view: Mounted) -> int:
    """The process that serves a mount."""
    lines = [line for line in view.log().splitlines() if f"is mounted on {view.directory}" in line]
    match = re.search(r" (\d+) INFO ", lines[-1])
    assert match is not None
    return int(match[1])


def counter(process: int, name: str) -> int:
    """A number of ``/proc/PID/io``: ``syscr`` counts the requests that the kernel made, among other reads; ``wchar``
    the bytes of the answers, among others."""
    with open(f"/proc/{process}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


def read(view: Mounted, path: str, size: int = -1, offset: int = 0) -> bytes:
    """Bytes of a file, as a program reads them."""
    with open(view.path(path), "rb", buffering=0) as file:
        file.seek(offset)
        found = bytearray()
        while size < 0 or len(found) < size:
            piece = file.read(MIB if size < 0 else min(MIB, size - len(found)))
            if not piece:
                break
            found += piece
        return bytes(found)


def warnings(view: Mounted) -> list[str]:
    """What the log warns of."""
    return [line for line in view.log().splitlines() if " WARNING " in line or " ERROR " in line]
