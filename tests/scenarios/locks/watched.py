"""Locks that are watched: which is taken while which is held, and what is waited for meanwhile.

``watch`` puts a watched lock in the place of every lock that a module of regfs makes from then on. What is seen is
told at once, and once: a process that is killed has told what it did before. Knows nothing of what the locks protect.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

NETWORK, CALL = "the network", "a call under way"
Tell = Callable[[str, str], None]
_WAITING = [
    *((kind, name, NETWORK) for kind in (socket.socket, ssl.SSLSocket) for name in ("connect", "sendall", "recv_into")),
    (Future, "result", CALL),
]
_Lock, _RLock, _Condition = threading.Lock, threading.RLock, threading.Condition
_threads = threading.local()


def watch(tell: Tell) -> None:
    """Watch the locks that regfs makes from now on, to the end of the process.

    :param tell: called with whose lock is held, and what is done meanwhile: whose lock is taken, NETWORK or CALL
    """
    told: set[tuple[str, str]] = set()

    def seen(taken: str) -> None:
        for held in _held():
            if (held.name, taken) not in told:
                told.add((held.name, taken))
                tell(held.name, taken)

    def lock() -> Any:
        name = _maker()
        return _Lock() if name is None else Watched(name, _Lock(), seen)

    def condition(inner: Any = None) -> threading.Condition:
        name = _maker()
        return _Condition(inner if name is None else WatchedTwice(name, _RLock(), seen))

    threading.Lock, threading.Condition = lock, condition  # type: ignore[assignment, misc]
    for kind, method, what in _WAITING:
        setattr(kind, method, _telling(getattr(kind, method), seen, what))


def _held() -> list[Watched]:
    held: list[Watched] = _threads.__dict__.setdefault("held", [])
    return held


def _telling(original: Callable[..., Any], seen: Callable[[str], None], what: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        seen(what)
        return original(*arguments, **named)

    return call


def _maker() -> str | None:
    """The name of the class that makes a lock for each of its instances; None when it is not one of regfs."""
    frame = sys._getframe(2)
    if not str(frame.f_globals.get("__name__")).startswith("regfs."):
        return None
    return type(frame.f_locals["self"]).__name__.lstrip("_")


class Watched:
    """A lock that says what is held already when it is taken."""

    def __init__(self, name: str, lock: Any, seen: Callable[[str], None]) -> None:
        self.name = name
        self._lock = lock
        self._seen = seen

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; what is not waited for cannot be part of a deadlock."""
        if blocking and not self._is_mine():
            self._seen(self.name)
        taken: bool = self._lock.acquire(blocking, timeout)
        if taken:
            _held().append(self)
        return taken

    def release(self) -> None:
        """Let go of it."""
        _held().remove(self)
        self._lock.release()

    def _is_mine(self) -> bool:
        return False  # a thread that takes it twice would wait for ever: that is told, too

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class WatchedTwice(Watched):
    """A lock that its owner can take again, as a condition has it."""

    def _is_mine(self) -> bool:
        return self in _held()

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned

    def _release_save(self) -> tuple[Any, int]:
        held = _held()
        count = held.count(self)
        held[:] = [lock for lock in held if lock is not self]
        return self._lock._release_save(), count

    def _acquire_restore(self, state: tuple[Any, int]) -> None:
        self._seen(self.name)
        self._lock._acquire_restore(state[0])
        _held().extend([self] * state[1])
