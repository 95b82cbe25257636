"""The report of a mount: one JSON document for each connection to a socket that only the user can open.

`regfs status` does not ask through the kernel: a mount that hangs would hang it, too.
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

_PATIENCE = 2.0  # seconds for a mount to answer, and for the client to read the answer
_MOST = 1 << 20  # bytes of an answer


def document(activity: Activity, handles: int, remedy: Callable[[int], str | None]) -> dict[str, Any]:
    """Return the activity of a mount, as ``regfs status --json`` prints it.

    :param handles: number of open files
    :param remedy: returns the remedy of an error number
    """
    counts = activity.counts()
    return {
        "handles": handles,
        "cache": {"hits": counts.hits, "misses": counts.misses, "bytes": counts.cached},
        "network": {"received": counts.received, "sent": counts.sent},
        "pushed": counts.pushed,
        "requests": [asdict(requests) for requests in activity.requests()],
        "pushes": [asdict(push) for push in activity.pushes()],
        "indexing": [asdict(indexing) for indexing in activity.indexings()],
        "errors": [
            {**asdict(failure), "errno": errno.errorcode.get(failure.errno), "remedy": remedy(failure.errno)}
            for failure in activity.failures()
        ],
    }


@contextmanager
def answering(directory: Path, describe: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Answer calls of :func:`ask`, in a thread of its own, as long as the context lasts.

    :param directory: only the user can enter it; the name of the socket in it is the number of this process
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
    """Return the report of the mount that *process* serves; None if it does not answer."""
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
    """Yield a name of *path* that is short enough for a socket: at most 107 bytes (unix(7))."""
    above = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{above}/{path.name}"
    finally:
        os.close(above)
