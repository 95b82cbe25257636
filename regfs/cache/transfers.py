"""One blob on its way into the cache: transfers that bring its chunks, readers that wait for them, and its hash.

A transfer is a range request that fills consecutive chunks. A reader waits for the transfer that covers its bytes, or
starts one. A handle that reads on and on opens a window of transfers ahead of it. The hash follows as a frontier behind
which every chunk is there.

``Download._changed`` is not held across the network, nor across the disk's data.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from regfs.cache.partial import CHUNK, SMALL, MemoryBlob, SparseBlob
from regfs.cache.read_ahead import FIRST_PIECE, REQUEST, WINDOW, Window, next_piece, next_request
from regfs.exceptions import DXFDigestMismatchError
from regfs.registry.http.ranges import Body
from regfs.registry.http.transport import ConnectionFailed, Offline, Timeout, TransferCut

log = logging.getLogger(__name__)

_ATTEMPTS = 5  # in a row without a byte
_SILENCES = 2  # in a row without a byte, where each is a whole timeout
_PATIENCE = 30.0  # seconds that another process may bring no chunk before it is taken for stopped
_POLL = 0.02  # seconds between looks at what another process has brought
_SOON = 0.005  # seconds
_NOBODY = Window(turns=-1)  # of a transfer that nobody waits for any more
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class Source(Protocol):
    """Where a blob's bytes come from; :class:`regfs.registry.http.ranges.MirroredSource` is one."""

    def open(self, start: int, end: int, size: int) -> AbstractContextManager[Body]:
        """Ask for the bytes from *start* up to *end*; what comes may be the whole blob instead."""

    def blame(self) -> bool:
        """Note that what came was not the blob; returns whether it came from a mirror of the registry."""


class FromMirror(DXFDigestMismatchError):
    """The bytes that were not the blob's came from a mirror: the registry itself may have the right ones."""


class Home(Protocol):
    """What a download needs of where it lives; :class:`regfs.cache.fetcher.Fetcher` is one."""

    ahead: ThreadPoolExecutor  # runs the requests ahead of readers
    demanded: ThreadPoolExecutor  # runs those that a reader waits for

    def received(self, count: int) -> None:
        """Note that bytes came from the registry."""

    def ended(self, download: Download) -> bool:
        """Forget a download that nobody holds any more; False when somebody took hold of it just now."""

    def forget(self, download: Download) -> None:
        """Let the next open of the blob begin anew: its bytes have been dropped."""


@dataclass(eq=False)
class _Transfer:
    """One range request: the chunks from *first* up to *end*."""

    first: int
    end: int
    window: Window | None = None  # whose window it belongs to; None: a reader waits for it
    turn: int = 0
    position: int = 0  # every byte before it is there
    base: int = 0  # no byte before it was put into the storage of now
    begun: bool = False  # its answer is on the way
    wide: bool = False  # of the whole blob, because the registry ignores ranges
    error: Exception | None = None
    claimed: list[int] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return self.window is None or self.window.turns == self.turn


def _read(body: Body, buffer: memoryview, until: float) -> int:
    """Read until the buffer is full, the body ends or it is late; each return costs a write and a wake-up."""
    count = body.read_into(buffer)
    more = count
    while more and count < len(buffer) and monotonic() < until:
        try:
            more = body.read_into(buffer[count:])
        except (ConnectionFailed, Timeout):
            break  # what came before counts; the next read fails again
        count += more
    return count


class Download:
    """A blob on its way into the cache, shared by its readers and its transfers, each of which holds it."""

    def __init__(
        self,
        home: Home,
        storage: SparseBlob | MemoryBlob,
        source: Source,
    ) -> None:
        self.digest = storage.digest
        self.size = storage.size
        self.held = 0
        self.closed = False
        self._readers = 0
        self._home = home
        self._storage = storage
        self._left: list[SparseBlob] = []
        self._source = source
        self._request = REQUEST
        self._ranges = True  # whether the registry heeds ranges, as far as is known
        self._changed = threading.Condition()
        self._transfers: list[_Transfer] = []
        self._hasher = hashlib.new(self.digest.partition(":")[0])
        self._hashed = 0  # chunks
        self._hashing = False
        self._verified = False
        self._failure: DXFDigestMismatchError | None = None
        self._stopped = False
        self._brought = 0  # chunks, by this process
        self._alone = False  # whether others' claims mean nothing, because they bring nothing

    def hold(self) -> None:
        """One more reader."""
        with self._changed:
            self.held += 1
            self._readers += 1

    def drop(self) -> None:
        """One reader less; when nobody is left the files are closed."""
        with self._changed:
            self._readers -= 1
            for transfer in self._transfers if self._readers == 0 else ():
                transfer.window = _NOBODY
        self._drop()

    def stop(self) -> None:
        """Fetch nothing more."""
        with self._changed:
            self._stopped = True
            for transfer in self._transfers:
                transfer.window = _NOBODY
            self._changed.notify_all()

    def _drop(self) -> None:
        with self._changed:
            self.held -= 1
            last = self.held == 0
        if last and self._home.ended(self):
            for storage in (self._storage, *self._left):
                storage.close()

    def read_into(self, buffer: memoryview, offset: int, window: Window) -> int:
        """Fill *buffer* from *offset* on, waiting for what is not there yet."""
        end = min(offset + len(buffer), self.size)
        self._require_not_failed()
        if end <= offset:
            return 0
        buffer = buffer[: end - offset]
        if self._verified and isinstance(self._storage, SparseBlob):
            return self._storage.read_into(buffer, offset)
        with self._changed:
            if window.passed(offset, end):
                self._fetch_ahead(window)
        while True:
            self._wait_for(offset, end)
            if end == self.size and self._may_be_judged():
                self._wait_until_verified()
            if self._storage.read_into(buffer, offset) == len(buffer):
                return len(buffer)

    def _may_be_judged(self) -> bool:
        """Whether all bytes are there, or memory has let some go after they were hashed."""
        storage = self._storage
        return isinstance(storage, MemoryBlob) or storage.missing(0, storage.chunks - 1) is None

    def wait_until_whole(self, progress: Callable[[int], object] = lambda count: None) -> None:
        """Fetch everything and verify it.

        :param progress: called with the number of bytes that are there, as they come to be
        :raises DXFDigestMismatchError: when the bytes are not the blob's
        :raises OSError: ENOSPC when there is no room to have it whole
        """
        for _ in range(2):  # the second time in memory, when the disk filled up in the first
            if isinstance(self._storage, MemoryBlob) and not self._storage.holds_all:
                break
            self._fetch_whole(progress)
            self._wait_until_verified()
            if self._verified and (isinstance(self._storage, SparseBlob) or self._storage.holds_all):
                return
        raise OSError(errno.ENOSPC, f"no room to verify {self.digest} whole")

    def _fetch_whole(self, progress: Callable[[int], object]) -> None:
        window = Window(chunks=SMALL // CHUNK)
        with self._changed:
            self._fetch_ahead(window)
        for offset in range(0, self.size, CHUNK):
            end = min(offset + CHUNK, self.size)
            with self._changed:
                if window.passed(offset, end):
                    self._fetch_ahead(window)
            self._wait_for(offset, end)
            progress(end - offset)

    def _require_not_failed(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._stopped:
            raise OSError(errno.ECANCELED, "stopped")

    def _fetch_ahead(self, window: Window) -> None:
        """Start transfers for what is missing of the window. Called under the lock."""
        if not self._ranges:
            return
        ahead = min(window.chunks, SMALL // CHUNK) if isinstance(self._storage, MemoryBlob) else window.chunks
        first = max(window.fetched, window.reached + 1)
        last = min(window.reached + 1 + ahead, self._storage.chunks) - 1
        if first > window.reached + 1 + ahead // 2:
            return  # half of the window is still ahead: asking for the rest now would be many small requests
        window.fetched = last + 1
        piece = self._request if self.size > SMALL else WINDOW
        while first <= last:
            missing = self._storage.missing(first, last)
            if missing is None:
                return
            covering = self._covering(missing)
            if covering is not None:
                first = covering.end
                continue
            end = missing + 1
            while end <= last and end - missing < piece and not self._storage.has(end) and not self._covering(end):
                end += 1
            transfer = _Transfer(missing, end, window, window.turns, missing * CHUNK, missing * CHUNK)
            self._start(transfer, self._home.ahead)
            first = end

    def _covering(self, chunk: int) -> _Transfer | None:
        return next((t for t in self._transfers if t.first <= chunk < t.end), None)

    def _start(self, transfer: _Transfer, pool: ThreadPoolExecutor) -> None:
        pool.submit(self._run, transfer)
        self._transfers.append(transfer)
        self.held += 1

    def _wait_for(self, offset: int, end: int) -> None:
        """Return when the bytes from *offset* up to *end* are there.

        :raises: what the transfer that was to bring them failed with
        """
        for chunk in range(offset // CHUNK, (end - 1) // CHUNK + 1):
            if not self._storage.has(chunk):
                with self._changed:
                    self._wait_for_chunk(chunk, min(end, (chunk + 1) * CHUNK))

    def _wait_for_chunk(self, chunk: int, upto: int) -> None:
        arrived, since = -1, 0.0  # of other processes
        while True:
            self._require_not_failed()
            if self._storage.has(chunk):
                return
            transfer = self._covering(chunk)
            if transfer is None and not self._storage.claim(chunk) and not self._alone:  # another process fetches it
                if arrived != (arrived := self._storage.arrived() - self._brought):
                    since = monotonic()
                self._alone = monotonic() - since > _PATIENCE
                self._changed.wait(_POLL)
                continue
            if transfer is None:
                transfer = self._demand(chunk)
            if transfer is None or (transfer.position >= upto and transfer.base <= chunk * CHUNK):
                return
            self._changed.wait()
            if transfer.error is not None:
                raise transfer.error

    def _demand(self, chunk: int) -> _Transfer | None:
        """Fetch a chunk that is claimed; None when it came just before."""
        if self._storage.has(chunk):
            self._storage.release(chunk)
            return None
        start = chunk * CHUNK
        transfer = _Transfer(chunk, chunk + 1, position=start, base=start, claimed=[chunk])
        self._start(transfer, self._home.demanded)
        return transfer

    def _run(self, transfer: _Transfer) -> None:
        try:
            if not transfer.claimed and self._ranges:
                self._claim(transfer)
            if transfer.claimed:
                began = monotonic()
                self._transfer(transfer)
                if len(transfer.claimed) >= self._request:
                    self._request = next_request(self._request, monotonic() - began)
        except Exception as error:  # noqa: BLE001 - it is handed to whoever waits for the bytes
            self._fail(transfer, error)
        finally:
            for chunk in transfer.claimed:
                self._storage.release(chunk)
            with self._changed:
                self._transfers.remove(transfer)
                self._changed.notify_all()
            self._drop()

    def _fail(self, transfer: _Transfer, error: Exception) -> None:
        """Those who wait get the error; for a transfer ahead of its reader, they try again themselves."""
        with self._changed:
            if transfer.window is None:
                transfer.error = error
        log.debug("%s: chunks %d-%d: %s", self.digest, transfer.first, transfer.end - 1, error)

    def _claim(self, transfer: _Transfer) -> None:
        """Take the chunks of a transfer that no other process has, or is fetching: a run from its first one."""
        for chunk in range(transfer.first, transfer.end):
            if not self._storage.claim(chunk) and not self._alone:
                return
            if self._storage.has(chunk):
                self._storage.release(chunk)
                return
            transfer.claimed.append(chunk)

    def _transfer(self, transfer: _Transfer) -> None:
        """Fill the claimed chunks, going on where the connection was cut, until there are too many failures."""
        end = min((transfer.claimed[-1] + 1) * CHUNK, self.size)
        failures = 0
        while transfer.position < end and self._goes_on(transfer):
            before = transfer.position
            try:
                with self._source.open(before, end, self.size) as body:
                    transfer.begun = True
                    if body.start != before or body.end > end:
                        if not self._widen(transfer):
                            return
                        end = self.size
                    self._receive(transfer, end, body)
                    if transfer.position < end and self._goes_on(transfer):
                        raise TransferCut(f"{self.digest} ended at byte {transfer.position} of {end}")
            except (ConnectionFailed, Timeout) as error:
                if isinstance(error, Offline):
                    raise
                failures = failures + 1 if transfer.wide or transfer.position == before else 1
                if failures >= (_SILENCES if isinstance(error, Timeout) else _ATTEMPTS):
                    raise
                log.info("%s: resumed at byte %d: %s", self.digest, transfer.position, error)
                threading.Event().wait(random.uniform(0.5, 1) * 0.1 * 2**failures)  # noqa: S311 - jitter

    def _goes_on(self, transfer: _Transfer) -> bool:
        """Whether a transfer is still wanted; one whose bytes are on the way also when others may read them.

        Readers share the kernel's pages, and so seem to jump over what another one has read.
        """
        shared = transfer.begun and self._readers > 1 and transfer.window is not _NOBODY
        return transfer.wanted or shared

    def _widen(self, transfer: _Transfer) -> bool:
        """The registry ignores ranges: make this transfer one of the whole blob, unless there is such a one already."""
        with self._changed:
            self._ranges = False
            if any(other.wide for other in self._transfers if other is not transfer):
                return False
            transfer.wide, transfer.window = True, None
            transfer.first, transfer.end, transfer.position, transfer.base = 0, self._storage.chunks, 0, 0
            return True

    def _receive(self, transfer: _Transfer, end: int, body: Body) -> None:
        buffer = memoryview(bytearray(min(CHUNK, end - transfer.position // CHUNK * CHUNK)))
        piece, first, storage = FIRST_PIECE, transfer.position, self._storage
        while transfer.position < end and self._goes_on(transfer):
            start = transfer.position % CHUNK
            in_buffer = first <= transfer.position - start  # the whole chunk, not only what came after a cut
            began = monotonic()
            count = _read(body, buffer[start : start + piece], began + _SOON)
            if not count:
                return
            self._home.received(count)
            piece = next_piece(piece, monotonic() - began)
            if not self._written(storage, buffer[start : start + count], transfer.position):
                self._begin_again(transfer)
                return
            self._moved(transfer, transfer.position + count, buffer if in_buffer else None)

    def _written(self, storage: SparseBlob | MemoryBlob, data: memoryview, offset: int) -> bool:
        """Put bytes in their place; False when that is in memory now, which has nothing of the chunk yet."""
        try:
            storage.write(data, offset)
        except OSError as error:
            if error.errno not in _FULL or isinstance(storage, MemoryBlob):
                raise
            self._leave_disk(storage, error)
        return storage is self._storage

    def _leave_disk(self, storage: SparseBlob, error: OSError) -> None:
        """Go on in memory. What was on disk stays there for a better day."""
        with self._changed:
            if self._storage is storage:
                log.warning("%s is read uncached: %s", self.digest, error.strerror)
                storage.release_all()
                self._left.append(storage)
                self._storage = MemoryBlob(self.digest, self.size)
                for transfer in self._transfers:
                    transfer.base = self.size

    def _begin_again(self, transfer: _Transfer) -> None:
        """Ask for the chunk from its start, for another storage."""
        with self._changed:
            transfer.base = transfer.position = transfer.position // CHUNK * CHUNK
            self._changed.notify_all()

    def _moved(self, transfer: _Transfer, position: int, buffer: memoryview | None) -> None:
        chunk = (position - 1) // CHUNK
        whole = position == min((chunk + 1) * CHUNK, self.size)
        if whole and not self._storage.has(chunk):
            self._storage.mark(chunk)
            self._storage.release(chunk)
        with self._changed:
            self._brought += whole
            transfer.position = position
            self._changed.notify_all()
        if whole:
            self._hash(chunk, buffer)

    def _hash(self, fresh: int = -1, buffer: memoryview | None = None) -> None:
        """Move the frontier of the hash over the chunks that are there, one thread at a time.

        :param fresh: a chunk whose bytes are still in *buffer*
        """
        while self._may_hash():
            hashed = False
            try:
                hashed = self._hash_next(buffer if self._hashed == fresh else None)
            finally:
                with self._changed:
                    self._hashed += hashed
                    self._hashing = False
            if not hashed:
                return
        if self._failure is not None:
            self._home.forget(self)

    def _hash_next(self, buffer: memoryview | None) -> bool:
        """Hash the chunk at the frontier; False when memory has let go of it."""
        start = self._hashed * CHUNK
        length = min(CHUNK, self.size - start)
        if buffer is None:
            buffer = memoryview(bytearray(length))
            if self._storage.read_into(buffer, start) != length:
                return False
        self._hasher.update(buffer[:length])
        return True

    def _may_hash(self) -> bool:
        with self._changed:
            if self._hashing or self._verified or self._failure is not None:
                return False
            if self._hashed == self._storage.chunks:
                self._judge()
                return False
            self._hashing = self._storage.has(self._hashed)
            return self._hashing

    def _judge(self) -> None:
        """Compare. Called under the lock, once, when every byte has been hashed."""
        got = f"{self._hasher.name}:{self._hasher.hexdigest()}"
        if got == self.digest:
            self._verified = True
            self.held += 1
            self._home.demanded.submit(self._publish)
        else:
            kind = FromMirror if self._source.blame() else DXFDigestMismatchError
            self._failure = kind(got, self.digest)
            log.error("the registry sent bytes of digest %s for %s; they are dropped", got, self.digest)
            self._storage.discard()
        self._changed.notify_all()

    def _publish(self) -> None:
        try:
            self._storage.publish()
        except OSError as error:
            log.warning("%s is not kept in the cache: %s", self.digest, error.strerror)
        finally:
            self._drop()

    def _wait_until_verified(self) -> None:
        """Return when all bytes, which are all there, have been hashed and are the blob's.

        Also when they cannot be hashed, because memory has let chunks go; ``_verified`` says which.

        :raises DXFDigestMismatchError: when they are not
        """
        while True:
            self._hash()
            with self._changed:
                self._require_not_failed()
                if self._verified or (isinstance(self._storage, MemoryBlob) and not self._hashing):
                    return
                self._changed.wait(0.1)  # another thread hashes
