"""One call for all who want the same thing at the same time. Knows nothing of what is called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """Concurrent calls with one key become one call, whose result or exception all of them get."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Key, Future[Result]] = {}

    def do(self, key: Key, call: Callable[[], Result]) -> Result:
        """Return what *call* returns, or what the call already under way for *key* returns.

        :raises: whatever the call raises
        """
        with self._lock:
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if mine:
            self._fly(key, flight, call)
        return flight.result()

    def _fly(self, key: Key, flight: Future[Result], call: Callable[[], Result]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is
            self._land(key)
            flight.set_exception(error)
        else:
            self._land(key)
            flight.set_result(result)

    def _land(self, key: Key) -> None:
        with self._lock:
            del self._flights[key]
