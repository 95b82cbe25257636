"""Running transfers: claim chunks, ask for their bytes, store them as they come, go on where a connection was cut.

A receiver runs in the threads of a pool. It knows the parts of one download, and no reader. The download's lock is not
held across the network, nor across the disk's data.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from time import monotonic

from regfs.cache.claims import Claims
from regfs.cache.fallback import StorageFallback
from regfs.cache.read_ahead import FIRST_PIECE_BYTES, next_piece
from regfs.cache.schedule import Schedule
from regfs.cache.source import BlobSource, Body
from regfs.cache.storage import CHUNK_BYTES
from regfs.cache.transfer import Transfer
from regfs.cache.verifier import Verifier
from regfs.registry.http.transport import ConnectionFailed, Offline, Timeout, TransferCut

log = logging.getLogger(__name__)

# Failures in a row without a byte: a silence lasts a whole timeout.
_FAILURES, _SILENCES = 5, 2

# A piece that is not full after so long is stored as it is; each piece costs a write and wakes the readers.
_PIECE_SECONDS = 0.005


class Receiver:
    """Runs the transfers of one download.

    :param received: counts the bytes that come from the registry
    :param changed: the download's lock; readers are woken when bytes are there
    """

    def __init__(
        self,
        *,
        source: BlobSource,
        storage: StorageFallback,
        verifier: Verifier,
        schedule: Schedule,
        claims: Claims,
        received: Callable[[int], None],
        changed: threading.Condition,
    ) -> None:
        self._source = source
        self._storage = storage
        self._verifier = verifier
        self._schedule = schedule
        self._claims = claims
        self._received = received
        self._changed = changed
        self._digest, self._size = storage.current.digest, storage.current.size

    def run(self, transfer: Transfer) -> None:
        """Run a transfer to its end. An error goes to the reader that waits for it."""
        storage = transfer.storage
        try:
            if not transfer.claimed and self._schedule.has_ranges:
                self._claim(transfer)
            if transfer.claimed:
                began = monotonic()
                self._bring(transfer)
                self._schedule.took(len(transfer.claimed), monotonic() - began)
        except Exception as error:  # noqa: BLE001 - the boundary of a thread: the reader raises it
            self._fail(transfer, error)
        finally:
            for chunk in transfer.claimed:
                storage.release(chunk)
            with self._changed:
                self._schedule.remove(transfer)
                self._changed.notify_all()

    def _fail(self, transfer: Transfer, error: Exception) -> None:
        """Hand the error to those who wait; those whom the transfer was ahead of ask again themselves."""
        with self._changed:
            if transfer.ahead_of is None:
                transfer.error = error
        log.debug("%s: chunks %d-%d: %s", self._digest, transfer.first, transfer.end - 1, error)

    def _claim(self, transfer: Transfer) -> None:
        """Take the chunks of a transfer that no other process has, or is fetching: a run from its first one."""
        for chunk in range(transfer.first, transfer.end):
            if not self._claims.take(transfer.storage, chunk):
                return
            if transfer.storage.has(chunk):
                transfer.storage.release(chunk)
                return
            transfer.claimed.append(chunk)

    def _bring(self, transfer: Transfer) -> None:
        """Fill the claimed chunks, going on where the connection was cut, until there are too many failures."""
        end = min((transfer.claimed[-1] + 1) * CHUNK_BYTES, self._size)
        failures = 0
        while transfer.position < end and self._schedule.goes_on(transfer):
            before = transfer.position
            try:
                with self._source.open(before, end, self._size) as body:
                    transfer.begun = True
                    if body.start != before or body.end > end:
                        if not self._widen(transfer):
                            return
                        end = self._size
                    self._receive(transfer, end, body)
            except (ConnectionFailed, Timeout) as error:
                failures = failures + 1 if transfer.whole or transfer.position == before else 1
                _require_hope(error, failures)
                log.info("%s: resumed at byte %d: %s", self._digest, transfer.position, error)
                threading.Event().wait(random.uniform(0.5, 1) * 0.1 * 2**failures)  # noqa: S311 - jitter

    def _widen(self, transfer: Transfer) -> bool:
        """The registry ignores ranges: let this transfer bring the whole blob, unless another one does."""
        with self._changed:
            return self._schedule.widen(transfer, transfer.storage.chunks)

    def _receive(self, transfer: Transfer, end: int, body: Body) -> None:
        """Store what comes, up to *end*.

        :raises TransferCut: when the body ended before
        """
        buffer = memoryview(bytearray(min(CHUNK_BYTES, end - transfer.position // CHUNK_BYTES * CHUNK_BYTES)))
        first, piece = transfer.position, FIRST_PIECE_BYTES
        while transfer.position < end and self._schedule.goes_on(transfer):
            start = transfer.position % CHUNK_BYTES
            began = monotonic()
            count = _fill(body, buffer[start : start + piece], began + _PIECE_SECONDS)
            if not count:
                raise TransferCut(f"{self._digest} ended at byte {transfer.position} of {end}")
            piece = next_piece(piece, monotonic() - began)
            self._received(count)
            if not self._storage.write(transfer.storage, buffer[start : start + count], transfer.position):
                return self._begin_again(transfer)
            is_in_buffer = first <= transfer.position - start  # the whole chunk, not only what came after a cut
            self._move(transfer, transfer.position + count, buffer if is_in_buffer else None)
        return None

    def _begin_again(self, transfer: Transfer) -> None:
        """Ask for the chunk of now from its start, for another storage."""
        with self._changed:
            transfer.begin_again(self._storage.current)
            self._changed.notify_all()

    def _move(self, transfer: Transfer, position: int, buffer: memoryview | None) -> None:
        """Note that every byte up to *position* is stored, and let the hash follow.

        :param buffer: has the bytes of the chunk, if it does
        """
        chunk = (position - 1) // CHUNK_BYTES
        whole = position == min((chunk + 1) * CHUNK_BYTES, self._size)
        if whole and not transfer.storage.has(chunk):
            transfer.storage.mark(chunk)
            transfer.storage.release(chunk)
        with self._changed:
            self._claims.brought += whole
            transfer.position = position
            self._changed.notify_all()
        if whole:
            self._verifier.hash(chunk, buffer)


def _require_hope(error: Exception, failures: int) -> None:
    """Raise *error* when trying again after so many failures in a row is of no use."""
    if isinstance(error, Offline) or failures >= (_SILENCES if isinstance(error, Timeout) else _FAILURES):
        raise error


def _fill(body: Body, buffer: memoryview, until: float) -> int:
    """Read until the buffer is full, the body ends or it is late."""
    count = body.read_into(buffer)
    more = count
    while more and count < len(buffer) and monotonic() < until:
        try:
            more = body.read_into(buffer[count:])
        except (ConnectionFailed, Timeout):
            break  # what came before counts; the next read fails again
        count += more
    return count
