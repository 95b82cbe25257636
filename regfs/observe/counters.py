"""The counters of a mount. Knows no registry, and makes no request.

``Activity._lock`` is innermost, and held for a few additions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regfs.observe.exchange import Exchange

log = logging.getLogger(__name__)

_ERRORS = 20  # number of last errors that are kept


@dataclass(frozen=True)
class Requests:
    """The requests of one method, kind and result.

    :param seconds: duration of all of them together
    """

    method: str
    kind: str
    result: str
    count: int
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An error that a program received, or that no program could receive.

    :param time: seconds since the epoch
    :param errno: error number
    """

    time: float
    verb: str
    path: str
    errno: int
    text: str


@dataclass(frozen=True)
class Push:
    """A push under way.

    :param size: in bytes
    :param sent: bytes of it sent so far
    :param since: seconds since the epoch
    """

    target: str
    size: int
    sent: int
    since: float


@dataclass(frozen=True)
class Indexing:
    """An archive that is being indexed.

    :param size: of its blob, in bytes
    :param read: bytes of it read so far
    :param since: seconds since the epoch
    """

    digest: str
    size: int
    read: int
    since: float


@dataclass
class Counts:
    """The counters at one moment. All but the first three are in bytes.

    :param hits: opened blobs that were in the cache
    :param misses: opened blobs that were not
    :param pushed: files that the registry accepted
    :param cached: read by programs from blobs that were in the cache
    :param received: of blobs, from the registry
    :param sent: to the registry, in the bodies of requests
    """

    hits: int = 0
    misses: int = 0
    pushed: int = 0
    cached: int = 0
    received: int = 0
    sent: int = 0


class Activity:
    """The counters of one mount. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self._requests: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._pushes: dict[object, Callable[[], Push]] = {}
        self._indexings: dict[object, Callable[[], Indexing]] = {}
        self._failures: deque[Failure] = deque(maxlen=_ERRORS)

    def exchanged(self, exchange: Exchange) -> None:
        """Count a request."""
        log.debug(
            "%s %s: %s, %.0f ms, %d bytes sent, %d to come",
            exchange.method, exchange.address, exchange.result, exchange.seconds * 1000, exchange.sent, exchange.answer,
        )  # fmt: skip
        key = (exchange.method, exchange.kind, exchange.result)
        with self._lock:
            count, seconds = self._requests.get(key, (0, 0.0))
            self._requests[key] = (count + 1, seconds + exchange.seconds)
            self._counts.sent += exchange.sent

    def opened(self, cached: bool) -> None:
        """Count an opened blob.

        :param cached: whether the cache had all of it
        """
        with self._lock:
            self._counts.hits += cached
            self._counts.misses += not cached

    def read_cached(self, count: int) -> None:
        """Count bytes that a program read from a blob in the cache."""
        with self._lock:
            self._counts.cached += count

    def received(self, count: int) -> None:
        """Count bytes of a blob that came from the registry."""
        with self._lock:
            self._counts.received += count

    @contextmanager
    def pushing(self, target: str, size: int, sent: Callable[[], int]) -> Iterator[None]:
        """Note a push under way; the file counts as pushed if the block raises nothing.

        :param sent: returns the number of bytes sent so far
        """
        push, since = object(), time.time()
        with self._lock:
            self._pushes[push] = lambda: Push(target, size, sent(), since)
        try:
            yield
        finally:
            with self._lock:
                del self._pushes[push]
        with self._lock:
            self._counts.pushed += 1

    @contextmanager
    def indexing(self, digest: str, size: int, read: Callable[[], int]) -> Iterator[None]:
        """Note an archive that is being indexed, as long as the block lasts.

        :param read: returns the number of bytes read so far
        """
        indexing, since = object(), time.time()
        with self._lock:
            self._indexings[indexing] = lambda: Indexing(digest, size, read(), since)
        try:
            yield
        finally:
            with self._lock:
                del self._indexings[indexing]

    def indexings(self) -> list[Indexing]:
        """Return the archives that are being indexed, the oldest first."""
        with self._lock:
            describing = list(self._indexings.values())
        return [describe() for describe in describing]

    def failed(self, failure: Failure) -> None:
        """Keep an error among the last ones."""
        with self._lock:
            self._failures.append(failure)

    def counts(self) -> Counts:
        """Return the counters now."""
        with self._lock:
            return replace(self._counts)

    def requests(self) -> list[Requests]:
        """Return the requests so far, the most frequent ones first."""
        with self._lock:
            found = [Requests(*key, count, seconds) for key, (count, seconds) in self._requests.items()]
        return sorted(found, key=lambda item: -item.count)

    def pushes(self) -> list[Push]:
        """Return the pushes under way, the oldest first."""
        with self._lock:
            describing = list(self._pushes.values())
        return [describe() for describe in describing]

    def failures(self) -> list[Failure]:
        """Return the last errors, the oldest first."""
        with self._lock:
            return list(self._failures)


class Failures(logging.Handler):
    """Passes logged errors with a verb, a path and an errno to an :class:`Activity`."""

    def __init__(self, activity: Activity) -> None:
        super().__init__(logging.ERROR)
        self._activity = activity

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error if a program received it, or should have received it."""
        number = getattr(record, "errno", None)
        if number is not None:
            verb, path, text = record.args if isinstance(record.args, tuple) else ("", "", record.getMessage())
            told = text or os.strerror(number)
            self._activity.failed(Failure(record.created, str(verb), str(path or ""), number, str(told)))
