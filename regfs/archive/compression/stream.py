"""What a format of compression offers to the rest of the room. Knows no format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regfs.archive.points import Points


class Scan(Protocol):
    """Unpacks a whole stream that comes in pieces, and notes points on the way.

    :ivar points: those noted until now
    :ivar window_bytes: the most memory that one unpacker of the stream needs to remember
    """

    points: Points
    window_bytes: int

    def feed(self, data: bytes) -> Iterator[memoryview | bytes]:
        """Take a piece and yield what is unpacked from it; each yield is valid until the next one.

        :raises CorruptArchive: when the stream is corrupt
        """

    def finish(self) -> None:
        """Say that no piece is left.

        :raises CorruptArchive: when the stream is cut
        """


class Unpacker(Protocol):
    """Unpacks a stream from a point on.

    :ivar position: offset of the next unpacked byte
    :ivar memory_bytes: about what it holds between two reads
    """

    position: int
    memory_bytes: int

    def read(self, length: int) -> bytes:
        """Return the next bytes: *length* of them, fewer only at the stream's end.

        :raises CorruptArchive: when the stream is corrupt or cut
        """
