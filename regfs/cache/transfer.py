"""One range request on its way: which chunks it fills, where to, and how far it has come. No lock, no thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from regfs.cache.read_ahead import ReadAhead
from regfs.cache.storage import CHUNK_BYTES, ChunkStorage

# The read-ahead of a transfer that nobody waits for any more.
_NO_READER = ReadAhead(turns=-1)


@dataclass(eq=False)
class Transfer:
    """The chunks from *first* up to *end* of a blob, on their way.

    :ivar storage: where its bytes go
    :ivar ahead_of: the read-ahead of the handle that it belongs to; None when a reader waits for it
    :ivar turn: how often that handle had gone elsewhere when the transfer began
    :ivar position: every byte before it is there
    :ivar base: no byte before it was put into the storage
    :ivar begun: whether its answer is on the way
    :ivar whole: whether it is of the whole blob, because the registry ignores ranges
    :ivar error: why it ended too early
    :ivar claimed: the chunks that other processes do not fetch meanwhile
    """

    first: int
    end: int
    storage: ChunkStorage
    ahead_of: ReadAhead | None = None
    turn: int = 0
    position: int = field(init=False)
    base: int = field(init=False)
    begun: bool = False
    whole: bool = False
    error: Exception | None = None
    claimed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.position = self.base = self.first * CHUNK_BYTES

    @property
    def is_wanted(self) -> bool:
        """Whether a reader waits for it, or has not turned away from what is ahead."""
        return self.ahead_of is None or self.ahead_of.turns == self.turn

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody may want it any more."""
        return self.ahead_of is _NO_READER

    def cancel(self) -> None:
        """Bring no more bytes."""
        self.ahead_of = _NO_READER

    def has_brought(self, chunk: int, end: int) -> bool:
        """Whether the bytes of a chunk up to *end*, an offset in the blob, are in its storage."""
        return self.position >= end and self.base <= chunk * CHUNK_BYTES

    def become_whole(self, chunks: int) -> None:
        """Bring the whole blob, of so many chunks."""
        self.whole, self.ahead_of = True, None
        self.first, self.end, self.position, self.base = 0, chunks, 0, 0

    def begin_again(self, storage: ChunkStorage) -> None:
        """Go on with the chunk of now, from its start, in another storage."""
        self.storage = storage
        self.base = self.position = self.position // CHUNK_BYTES * CHUNK_BYTES
