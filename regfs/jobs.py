"""Waiting for jobs of a pool in the main thread."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

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
