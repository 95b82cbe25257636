"""A program that writes into a directory until it is stopped or fails, and says what it did, a line each, at once.

``python writer.py DIRECTORY NAME SEED``. Standard library only: it runs in a process of its own.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import suppress

NAMES = 3
_LARGE = 18 << 20  # bytes: more than what is sent while it is written
_PIECE = 1 << 16


def content_of(token: str) -> bytes:
    """The bytes that a token stands for: no two share any, and a part of them tells which they are of."""
    chosen = random.Random(token)
    size = _LARGE if chosen.random() < 0.06 else chosen.choice((0, 1, 4096, 70_000, 400_000))
    line = f"{token}\n".encode()
    return (line * (size // len(line) + 1))[:size]


def write(path: str, token: str) -> None:
    """Write a whole file, as programs do, and close it; every byte has been taken when it says that it closes."""
    content = content_of(token)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            while piece:
                piece = piece[file.write(piece) :]
        print("closes", os.path.basename(path), token, flush=True)


def main(directory: str, writer: str, seed: int) -> None:
    """Write, replace and remove files; each is announced, then acknowledged. SIGTERM ends it after the one at hand."""
    chosen = random.Random(seed)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    turn = 0
    while not stopped:
        turn += 1
        name, token = f"{writer}{chosen.randrange(NAMES)}", f"{writer}-{seed}-{turn}"
        path = os.path.join(directory, name)
        verb = chosen.choices(("write", "replace", "remove"), (6, 3, 1))[0]
        print(f"{verb}s", name, token, flush=True)
        if verb == "write":
            write(path, token)
        elif verb == "replace":
            write(f"{path}.part", token)
            print("renames", name, token, flush=True)
            os.replace(f"{path}.part", path)
        else:
            with suppress(FileNotFoundError):
                os.remove(path)
        print("done", name, token, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except OSError as error:
        print("failed", error.errno, flush=True)
