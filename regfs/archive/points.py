"""Places in a compressed stream from which it can be unpacked. Knows no format."""

from __future__ import annotations

import itertools
import zlib
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

WINDOW_BYTES = 32 << 10
_WINDOW_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Point:
    """A place from which a stream can be unpacked.

    :param unpacked: offset in the unpacked bytes
    :param packed: offset in the blob of the first whole byte
    :param bits: of the byte before that belong to what follows, its upper ones
    :param window: unpacked bytes before the point that what follows may repeat; None where a member or frame begins
    """

    unpacked: int
    packed: int
    bits: int = 0
    window: bytes | None = None


@dataclass(eq=False)
class Points:
    """Points in order, the first at 0. Windows are kept compressed.

    :param window_ends: where each point's window ends in *windows*; an empty one is a member's or frame's beginning
    """

    unpacked: array[int] = field(default_factory=lambda: array("q"))
    packed: array[int] = field(default_factory=lambda: array("q"))
    bits: array[int] = field(default_factory=lambda: array("B"))
    window_ends: array[int] = field(default_factory=lambda: array("Q"))
    windows: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.unpacked)

    def add(self, point: Point) -> None:
        """Append a point."""
        self.unpacked.append(point.unpacked)
        self.packed.append(point.packed)
        self.bits.append(point.bits)
        if point.window is not None:
            self.windows += zlib.compress(point.window, _WINDOW_LEVEL)
        self.window_ends.append(len(self.windows))

    def __getitem__(self, number: int) -> Point:
        start = self.window_ends[number - 1] if number else 0
        compressed = self.windows[start : self.window_ends[number]]
        window = zlib.decompressobj().decompress(compressed, WINDOW_BYTES) if compressed else None
        return Point(self.unpacked[number], self.packed[number], self.bits[number], window)

    def number_before(self, unpacked: int) -> int:
        """Return the number of the last point at or before an offset."""
        return bisect_right(self.unpacked, unpacked) - 1

    def longest(self, unpacked_bytes: int) -> int:
        """Return the bytes between the two neighbours that are farthest apart, the end of the stream included."""
        starts = [*self.unpacked, unpacked_bytes]
        return max((end - start for start, end in itertools.pairwise(starts)), default=0)
