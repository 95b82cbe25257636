"""Bytes for tests to write, to read and to spoil."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

MIB = 1 << 20  # bytes


def content_of(size: int, seed: int = 0) -> bytes:
    """Bytes that no two offsets share."""
    return Random(seed).randbytes(size)


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)
