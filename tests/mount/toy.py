"""A file system in memory, mounted by the kernel's own protocol: ``python -m tests.mount.toy DIRECTORY``.

Each line on standard input is answered by one on standard output: how many nodes the kernel knows, and how many handles
are open. It has a directory ``many`` of 5,000 files, and ``slow``, whose bytes come after a minute.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from regfs.mount.kernel.adapter import WANTED, Adapter
from regfs.mount.kernel.backing import Backing
from regfs.mount.kernel.device import Wanted, mount
from regfs.mount.kernel.loop import Answers, Loop
from regfs.mount.kernel.nodes import Nodes
from regfs.mount.kernel.notices import Notices
from regfs.mount.ownership import Ownership
from regfs.tree.attributes import Attributes, Kind

FILES = 5000
_DIRECTORY = Attributes(Kind.DIRECTORY, 0, 0)


class Toy:
    """The verbs of a filesystem that only reads."""

    def __init__(self) -> None:
        self._handles = itertools.count(1)
        self.open_handles: dict[int, str] = {}

    def getattr(self, path: str) -> Attributes:
        if path in ("/", "/many"):
            return _DIRECTORY
        if path == "/slow" or (path.startswith("/many/f") and int(path[7:]) < FILES):
            return Attributes(Kind.FILE, 6, 0, content=path)
        raise OSError(errno.ENOENT, "no such file")

    def getattr_open(self, handle: int) -> Attributes:
        return self.getattr(self.open_handles[handle])

    def backing_file(self, handle: int) -> int | None:
        return None

    def opendir(self, path: str) -> None:
        self.getattr(path)

    def readdir(self, path: str) -> Iterator[tuple[str, Attributes]]:
        names = [f"f{number}" for number in range(FILES)] if path == "/many" else ["many", "slow"]
        for name in names:
            yield name, self.getattr(f"{path.rstrip('/')}/{name}")

    def open(self, path: str, flags: int, closes_first: bool = False) -> int:
        self.getattr(path)
        handle = next(self._handles)
        self.open_handles[handle] = path
        if path == "/slow":
            time.sleep(60)
        return handle

    def read_into(self, handle: int, buffer: memoryview, offset: int) -> int:
        piece = b"bytes\n"[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def release(self, handle: int) -> None:
        del self.open_handles[handle]


def main(directory: Path) -> None:
    """Mount it, and say so."""
    toy, nodes = Toy(), Nodes()
    filesystem = cast(Any, toy)
    device = mount(Wanted(directory=directory, source="toy"))
    loop = Loop(device)
    agreed = loop.agree(WANTED)
    assert agreed is not None
    adapter = Adapter(
        filesystem, Ownership(0, 0, 0, True), nodes, Notices(nodes, device.notify), Backing(None), entry_seconds=1.0
    )
    loop.start(agreed, Answers(adapter.answer, adapter.forget, adapter.waits, adapter.undo), lambda: os._exit(0))
    print("mounted", flush=True)
    for _ in sys.stdin:
        print(len(nodes), len(toy.open_handles), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
