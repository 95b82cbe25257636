"""How much to ask for at a time, and how far ahead of a reader: from how it has read, and how fast the answers came.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from dataclasses import dataclass

from regfs.cache.storage import CHUNK_BYTES, WINDOW_CHUNKS

# Chunks that one request ahead of the reader asks for: more when they come fast.
FIRST_REQUEST_CHUNKS, _LAST_REQUEST_CHUNKS = 4, 32

# Bytes read from the network at a time: few when it is slow, many when it is fast.
FIRST_PIECE_BYTES, _LAST_PIECE_BYTES = 64 << 10, CHUNK_BYTES

# The kernel's reads, up to twelve at once, arrive out of order by less.
_NEAR_BYTES = 4 << 20


@dataclass(eq=False)
class ReadAhead:
    """How far ahead of one handle to fetch, from how it has read so far. Used under the download's lock.

    :ivar next: the offset that goes on from the last read
    :ivar reached: the last chunk of the reading in order
    :ivar chunks: how many chunks to fetch ahead
    :ivar fetched: the first chunk that has not been asked for ahead of the reader
    :ivar turns: how often the handle has gone elsewhere
    """

    next: int = 0
    reached: int = -1
    chunks: int = 0
    fetched: int = 0
    turns: int = 0

    def passed(self, offset: int, end: int) -> bool:
        """Note a read; returns whether it went on, in order, into another chunk."""
        last = (end - 1) // CHUNK_BYTES
        if abs(offset - self.next) > _NEAR_BYTES:
            self.chunks, self.fetched, self.reached, self.next = 0, 0, last, end
            self.turns += 1
            return False
        self.next = max(self.next, end)
        if last <= self.reached:
            return False
        if self.reached >= 0:
            self.chunks = min(WINDOW_CHUNKS, max(1, self.chunks * 2))
        self.reached = last
        return self.chunks > 0

    def due(self, most_ahead: int, chunks: int) -> range:
        """The chunks to ask for now, of a blob of so many chunks. Notes that they are asked for.

        None while half of the window is still ahead: asking for the rest now would be many small requests.
        """
        ahead = min(self.chunks, most_ahead)
        first = max(self.fetched, self.reached + 1)
        if first > self.reached + 1 + ahead // 2:
            return range(0)
        self.fetched = min(self.reached + 1 + ahead, chunks)
        return range(first, self.fetched)


def next_request(chunks: int, seconds: float) -> int:
    """How many chunks to ask for next, when a request for *chunks* took so long.

    Measured on loopback, 512 MiB: the registry spends 1.0 s of CPU on 110 requests, 0.7 s on 45, 0.35 s on one; the
    mount 2.3 s and 1.8 s. On a slow link the window is better spent on more requests at once.
    """
    if seconds < 0.1:
        return min(_LAST_REQUEST_CHUNKS, chunks * 2)
    return max(FIRST_REQUEST_CHUNKS, chunks // 2) if seconds > 0.4 else chunks


def next_piece(piece: int, seconds: float) -> int:
    """How many bytes to read next, when reading *piece* bytes took so long."""
    if seconds < 0.005:
        return min(_LAST_PIECE_BYTES, piece * 2)
    return max(FIRST_PIECE_BYTES, piece // 2) if seconds > 0.1 else piece
