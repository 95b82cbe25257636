"""A blob of which each MiB is compared with the digest that its index has. Knows no format."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from regfs.archive.errors import DigestMismatch
from regfs.archive.reader import PIECE_BYTES, read_exactly

if TYPE_CHECKING:
    from regfs.archive.index import Index
    from regfs.archive.pool import Pool
    from regfs.archive.reader import Reader

_DIGEST_BYTES = hashlib.sha256().digest_size


class VerifiedReader:
    """Reads a blob by whole pieces of 1 MiB, and returns no byte of a piece that was not verified.

    For a blob that is read from the registry in ranges after its index was made from all of it.
    """

    def __init__(self, blob: Reader, index: Index, pool: Pool) -> None:
        self._blob = blob
        self._index = index
        self._pool = pool

    @property
    def size(self) -> int:
        return self._index.blob_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset* on: *length* of them, fewer only where the end is.

        :raises DigestMismatch: when a piece is not the one that was indexed
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        numbers = range(offset // PIECE_BYTES, -(-end // PIECE_BYTES))
        start = numbers[0] * PIECE_BYTES
        return b"".join(map(self._piece, numbers))[offset - start : end - start]

    def _piece(self, number: int) -> bytes:
        return self._pool.block_or_make(("piece", self._index.blob_digest, number), lambda: self._fetch(number))

    def _fetch(self, number: int) -> bytes:
        start = number * PIECE_BYTES
        piece = read_exactly(self._blob, start, min(PIECE_BYTES, self.size - start), self._index.blob_digest)
        expected = self._index.piece_digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        digest = hashlib.sha256(piece).digest()
        if digest != expected:
            subject = f"{self._index.blob_digest}, MiB {number}"
            raise DigestMismatch(subject, f"sha256:{expected.hex()}", f"sha256:{digest.hex()}")
        return piece
