"""What a mount says of itself to who asks: one JSON document for each connection to a socket of the user's alone.

The mount is not asked through the kernel: one that hangs would hang who asks.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from regfs.observe.counters import Activity

_PATIENCE = 2.0  # seconds for a mount to answer, and for who asked to take the answer
_MOST = 1 << 20  # bytes of an answer


def document(activity: Activity, handles: int, remedy: Callable[[int], str | None]) -> dict[str, Any]:
    """What a mount is doing, as ``regfs status --json`` prints it.

    :param handles: how many files are open
    :param remedy: says what to do about an error number
    """
    counts = activity.counts()
    return {
        "handles": handles,
        "cache": {"hits": counts.hits, "misses": counts.misses, "bytes": counts.cached},
        "network": {"received": counts.received, "sent": counts.sent},
        "pushed": counts.pushed,
        "requests": [asdict(requests) for requests in activity.requests()],
        "pushes": [asdict(push) for push in activity.pushes()],
        "errors": [
            {**asdict(failure), "errno": errno.errorcode.get(failure.errno), "remedy": remedy(failure.errno)}
            for failure in activity.failures()
        ],
    }


@contextmanager
def answering(directory: Path, describe: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Answer who asks :func:`ask`, in a thread of its own, as long as the context lasts.

    :param directory: of the user's alone; the socket in it is named by this process
    """
    path = directory / f"{os.getpid()}.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with _short(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(8)
        threading.Thread(target=_answer, args=(listener, describe), name="regfs-report", daemon=True).start()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket, describe: Callable[[], dict[str, Any]]) -> None:
    while True:
        try:
            asking, _ = listener.accept()
        except OSError:  # the mount has ended
            return
        with asking, suppress(OSError):
            asking.settimeout(_PATIENCE)
            asking.sendall(json.dumps(describe()).encode())


def ask(directory: Path, process: int) -> dict[str, Any] | None:
    """What the mount that *process* serves says; None when it does not answer."""
    end = time.monotonic() + _PATIENCE
    content = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError, ValueError):
        asking.settimeout(_PATIENCE)
        with _short(directory / f"{process}.sock") as address:
            asking.connect(address)
        while time.monotonic() < end and len(content) < _MOST:
            piece = asking.recv(1 << 16)
            if not piece:
                told = json.loads(content)
                return told if isinstance(told, dict) else None
            content += piece
    return None


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of *path* that is short enough for a socket, whose longest is 107 bytes (unix(7))."""
    above = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{above}/{path.name}"
    finally:
        os.close(above)
