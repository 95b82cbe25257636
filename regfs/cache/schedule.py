"""Scheduling: which chunks of one blob to ask for next, and which transfers go on. No lock, no thread, no registry."""

from __future__ import annotations

from collections.abc import Iterator

from regfs.cache.read_ahead import FIRST_REQUEST_CHUNKS, ReadAhead, next_request
from regfs.cache.storage import SMALL_BLOB_BYTES, WINDOW_CHUNKS, ChunkStorage
from regfs.cache.transfer import Transfer


class Schedule:
    """The transfers of one download. Used under the download's lock.

    :param size: of the blob, in bytes
    :ivar readers: how many handles read the blob
    :ivar has_ranges: whether the registry heeds ranges, as far as is known
    """

    def __init__(self, size: int) -> None:
        self.readers = 0
        self.has_ranges = True
        self._request_chunks = FIRST_REQUEST_CHUNKS if size > SMALL_BLOB_BYTES else WINDOW_CHUNKS
        self._is_small = size <= SMALL_BLOB_BYTES
        self._transfers: list[Transfer] = []

    def covering(self, chunk: int) -> Transfer | None:
        """The transfer that brings a chunk."""
        return next((transfer for transfer in self._transfers if transfer.first <= chunk < transfer.end), None)

    def ahead(self, read_ahead: ReadAhead, storage: ChunkStorage) -> Iterator[Transfer]:
        """New transfers for the chunks of a handle's window that are missing and that no transfer brings."""
        due = read_ahead.due(storage.most_ahead, storage.chunks) if self.has_ranges else range(0)
        first = due.start
        while first < due.stop:
            missing = storage.missing(first, due.stop - 1)
            if missing is None:
                return
            covering = self.covering(missing)
            if covering is not None:
                first = covering.end
                continue
            first = missing + 1
            while first < due.stop and first - missing < self._request_chunks and self._lacks(first, storage):
                first += 1
            yield Transfer(missing, first, storage, read_ahead, read_ahead.turns)

    def _lacks(self, chunk: int, storage: ChunkStorage) -> bool:
        return not storage.has(chunk) and self.covering(chunk) is None

    def add(self, transfer: Transfer) -> None:
        """Note that a transfer runs."""
        self._transfers.append(transfer)

    def remove(self, transfer: Transfer) -> None:
        """Note that a transfer has ended."""
        self._transfers.remove(transfer)

    def cancel(self) -> None:
        """Let no transfer go on."""
        for transfer in self._transfers:
            transfer.cancel()

    def goes_on(self, transfer: Transfer) -> bool:
        """Whether a transfer is still wanted; one whose bytes are on the way also when others may read them.

        Readers share the kernel's pages, and so seem to jump over what another one has read.
        """
        return transfer.is_wanted or (transfer.begun and self.readers > 1 and not transfer.is_cancelled)

    def widen(self, transfer: Transfer, chunks: int) -> bool:
        """Note that the registry ignores ranges; False when another transfer brings the whole blob already.

        :param chunks: of the blob
        """
        self.has_ranges = False
        if any(other.whole for other in self._transfers if other is not transfer):
            return False
        transfer.become_whole(chunks)
        return True

    def took(self, chunks: int, seconds: float) -> None:
        """Note how long a request took: the next ones are larger or smaller."""
        if not self._is_small and chunks >= self._request_chunks:
            self._request_chunks = next_request(self._request_chunks, seconds)
