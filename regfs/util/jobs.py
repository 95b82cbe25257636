"""Waiting for other threads, for as long as it makes sense to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from time import monotonic
from typing import Any, TypeVar

Result = TypeVar("Result")

_SOON = 0.2  # seconds; Python notices a signal between two waits, not always in one that has no end


def finished(jobs: Iterable[Future[Any]]) -> None:
    """Wait until all jobs are done.

    :raises: the first error of any of them
    """
    pending = set(jobs)
    while pending:
        done, pending = wait(pending, _SOON, FIRST_COMPLETED)
        for job in done:
            job.result()


def answered(calls: Iterable[Callable[[], Result]], seconds: float) -> list[Result]:
    """Make calls that may hang, each in a thread of its own; return what those returned that ended in time.

    For calls into the kernel that wait for another process without being interruptible. A call that hangs keeps its
    thread, which does not keep the process alive. An error of a call counts as no answer.

    :param seconds: to wait for all of them together
    :returns: in the order of the calls
    """
    results: dict[int, Result] = {}

    def make(number: int, call: Callable[[], Result]) -> None:
        try:
            results[number] = call()
        except OSError:
            return

    threads = [threading.Thread(target=make, args=made, daemon=True) for made in enumerate(calls)]
    end = monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - monotonic()))
    return [result for _, result in sorted(results.copy().items())]
