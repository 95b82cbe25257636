"""What a process has: descriptors, threads, children. Knows nothing of tests, nor of what these are for."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

Possessions = frozenset[str]
_PATIENCE = 10.0  # seconds in which a thread that was told to stop, or a connection's other end, comes to its end


def files(process: int | str = "self") -> Possessions:
    """The open descriptors of a process, but for its connections: number and path of each."""
    return frozenset(name for name in _descriptors(process) if "socket:" not in name)


def connections(process: int | str = "self") -> Possessions:
    """The open sockets of a process."""
    return frozenset(name for name in _descriptors(process) if "socket:" in name)


def _descriptors(process: int | str) -> Iterator[str]:
    directory = f"/proc/{process}/fd"
    for number in os.listdir(directory):
        try:
            yield f"descriptor {number} on {os.readlink(f'{directory}/{number}')}"
        except FileNotFoundError:  # it was the listing's own
            continue


def threads() -> Possessions:
    """The threads of this process that Python knows of."""
    return frozenset(f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate())


def children() -> Possessions:
    """The child processes of this process, those that ended and were not waited for among them: name and number."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            for number in (task / "children").read_text().split():
                found.add(f"{Path(f'/proc/{number}/comm').read_text().strip()} {number}")
    return frozenset(found)


def more(now: Callable[[], Possessions], before: Collection[str], patience: float = _PATIENCE) -> list[str]:
    """What there is and was not there before; what goes in the next seconds does not count.

    Nor what goes with its garbage: an exception that a test has caught holds its frames, and an answer in one of them.
    """
    end = time.monotonic() + patience
    while (left := now() - frozenset(before)) and time.monotonic() < end:
        time.sleep(0.02)
        gc.collect()
    return sorted(left)
