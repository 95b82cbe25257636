"""One blob on its way into the cache: the readers that wait for its chunks, and who holds its files.

A transfer fills consecutive chunks. A reader waits for the transfer that covers its bytes, or starts one; reading on
and on opens a window of transfers ahead of it. What is verified is published. A download knows its parts (schedule,
receiver, verifier, storage) and nobody above it.

``Download._changed`` is the lock of all of them. It is not held across the network, nor across the disk's data.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor

from regfs.cache.claims import Claims, Patience
from regfs.cache.fallback import StorageFallback
from regfs.cache.read_ahead import ReadAhead
from regfs.cache.receiver import Receiver
from regfs.cache.schedule import Schedule
from regfs.cache.source import BlobSource
from regfs.cache.storage import CHUNK_BYTES, SMALL_BLOB_BYTES, ChunkStorage
from regfs.cache.transfer import Transfer
from regfs.cache.verifier import Mismatches, Verifier

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.02  # between looks at what another process has brought
_HASH_POLL_SECONDS = 0.1  # between looks at the thread that hashes


class Download:
    """A blob on its way into the cache, held by its readers, its transfers and its publisher.

    :param storage: where its chunks are; closed when nobody holds the download any more
    :param source: where its bytes come from
    :param demanded: runs the requests that a reader waits for, and what publishes
    :param ahead: runs the requests ahead of readers
    :param received: counts the bytes that come from the registry
    :param mismatches: counts bytes that were not the blob's
    """

    def __init__(
        self,
        *,
        storage: StorageFallback,
        source: BlobSource,
        demanded: Executor,
        ahead: Executor,
        received: Callable[[int], None],
        mismatches: Mismatches,
    ) -> None:
        self.digest, self.size = storage.current.digest, storage.current.size
        self.is_closed = False
        self._storage = storage
        self._demanded = demanded
        self._ahead = ahead
        self._held = 0
        self._is_stopped = False
        self._is_verified = False  # and handed to the publisher
        self._whole: ChunkStorage | None = None  # has every byte, verified
        self._changed = threading.Condition()
        self._claims = Claims()
        self._schedule = Schedule(self.size)
        self._verifier = Verifier(storage=storage, source=source, mismatches=mismatches, changed=self._changed)
        self._receiver = Receiver(
            source=source,
            storage=storage,
            verifier=self._verifier,
            schedule=self._schedule,
            claims=self._claims,
            received=received,
            changed=self._changed,
        )

    def hold(self) -> bool:
        """Add a reader; False when there is nothing to read here any more and the blob has to be opened anew."""
        with self._changed:
            if self.is_closed or self._verifier.failure is not None:
                return False
            self._held += 1
            self._schedule.readers += 1
            return True

    def drop(self) -> None:
        """Take a reader away; without any, nothing is fetched ahead."""
        with self._changed:
            self._schedule.readers -= 1
            if self._schedule.readers == 0:
                self._schedule.cancel()
        self._let_go()

    def _let_go(self) -> None:
        with self._changed:
            self._held -= 1
            if self._held:
                return
            self.is_closed = True
        self._storage.close()

    def stop(self) -> None:
        """Fetch nothing more; those who wait get an error."""
        with self._changed:
            self._is_stopped = True
            self._schedule.cancel()
            self._changed.notify_all()

    def wait_for(self, offset: int, end: int, read_ahead: ReadAhead) -> ChunkStorage:
        """Return when the bytes from *offset* up to *end* are there; those at the end of the blob when it is verified.

        :returns: where they are; memory can let go of them again before they are read
        :raises DXFDigestMismatchError: when the blob's bytes are not its digest's
        :raises: what the transfer that was to bring the bytes failed with
        """
        self._require_readable()
        if self._whole is not None or end <= offset:
            return self._whole or self._storage.current
        with self._changed:
            if read_ahead.passed(offset, end):
                self._fetch_ahead(read_ahead)
        for chunk in range(offset // CHUNK_BYTES, -(-end // CHUNK_BYTES)):
            if not self._storage.current.has(chunk):
                self._wait_for_chunk(chunk, min(end, (chunk + 1) * CHUNK_BYTES))
        if end == self.size and self._verifier.can_finish():
            self._wait_until_verified()
        return self._storage.current

    def wait_until_whole(self, progress: Callable[[int], object] = lambda count: None) -> None:
        """Fetch everything and verify it.

        :param progress: called with the number of bytes that are there, as they come to be
        :raises DXFDigestMismatchError: when the bytes are not the blob's
        :raises OSError: ENOSPC when there is no room to have it whole
        """
        for _ in range(2):  # the second time in memory, when the disk filled up in the first
            if not self._storage.current.keeps_all:
                break
            self._fetch_whole(progress)
            self._wait_until_verified()
            if self._is_verified and self._storage.current.keeps_all:
                return
        raise OSError(errno.ENOSPC, f"no room to verify {self.digest} whole")

    def _fetch_whole(self, progress: Callable[[int], object]) -> None:
        read_ahead = ReadAhead(chunks=SMALL_BLOB_BYTES // CHUNK_BYTES)
        with self._changed:
            self._fetch_ahead(read_ahead)
        for offset in range(0, self.size, CHUNK_BYTES):
            end = min(offset + CHUNK_BYTES, self.size)
            self.wait_for(offset, end, read_ahead)
            progress(end - offset)

    def _require_readable(self) -> None:
        if self._verifier.failure is not None:
            raise self._verifier.failure
        if self._is_stopped:
            raise OSError(errno.ECANCELED, "stopped")

    def _fetch_ahead(self, read_ahead: ReadAhead) -> None:
        """Start transfers for the chunks of a window that are missing. Called under the lock."""
        for transfer in self._schedule.ahead(read_ahead, self._storage.current):
            self._start(transfer, self._ahead)

    def _start(self, transfer: Transfer, pool: Executor) -> None:
        pool.submit(self._run, transfer)
        self._schedule.add(transfer)
        self._held += 1

    def _run(self, transfer: Transfer) -> None:
        try:
            self._receiver.run(transfer)
            self._publish_if_verified()
        finally:
            self._let_go()

    def _wait_for_chunk(self, chunk: int, end: int) -> None:
        """Return when the bytes of a chunk up to *end* are there, or memory may have let go of them again."""
        patience = Patience(self._storage.current, self._claims)
        with self._changed:
            while True:
                self._require_readable()
                storage = self._storage.current
                if storage.has(chunk):
                    return
                transfer = self._schedule.covering(chunk)
                if transfer is None and not self._claims.take(storage, chunk):
                    self._wait_for_other_process(patience)
                    continue
                if transfer is None:
                    transfer = self._demand(chunk, storage)
                if transfer is None or (transfer.storage is storage and transfer.has_brought(chunk, end)):
                    return
                self._changed.wait()
                if transfer.error is not None:
                    raise transfer.error

    def _wait_for_other_process(self, patience: Patience) -> None:
        if patience.is_over():
            self._claims.ignore()
        self._changed.wait(_POLL_SECONDS)

    def _demand(self, chunk: int, storage: ChunkStorage) -> Transfer | None:
        """Fetch a chunk that is claimed; None when it came just before."""
        if storage.has(chunk):
            storage.release(chunk)
            return None
        transfer = Transfer(chunk, chunk + 1, storage, claimed=[chunk])
        self._start(transfer, self._demanded)
        return transfer

    def _wait_until_verified(self) -> None:
        """Return when all bytes, which are all there, have been hashed and are the blob's.

        Also when they cannot be hashed, because memory has let chunks go; ``_is_verified`` says which.

        :raises DXFDigestMismatchError: when they are not
        """
        while True:
            self._verifier.hash()
            self._publish_if_verified()
            with self._changed:
                self._require_readable()
                if self._is_verified or not self._verifier.can_finish():
                    return
                if not self._verifier.verified:
                    self._changed.wait(_HASH_POLL_SECONDS)  # another thread hashes

    def _publish_if_verified(self) -> None:
        """Let the blob join the cache, behind its readers' backs, once it is verified."""
        with self._changed:
            if not self._verifier.verified or self._is_verified or self._is_stopped:
                return
            self._demanded.submit(self._publish)
            self._held += 1
            self._is_verified = True
            storage = self._storage.current
            if storage.keeps_all and storage.missing(0, storage.chunks - 1) is None:
                self._whole = storage

    def _publish(self) -> None:
        try:
            self._storage.current.publish()
        except OSError as error:
            log.warning("%s is not kept in the cache: %s", self.digest, error.strerror)
        finally:
            self._let_go()
