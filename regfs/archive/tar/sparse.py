"""Maps of sparse files, in the four forms that GNU tar has written. Knows no archive around them.

The form 1.0 puts its map before the file's bytes; :class:`DecimalMap` takes it block by block.
"""

from __future__ import annotations

import itertools

from regfs.archive.entry import Segment
from regfs.archive.errors import ArchiveLimit, CorruptArchive
from regfs.archive.tar import pax
from regfs.archive.tar.header import BLOCK_BYTES, natural

Pairs = list[tuple[int, int]]

_OLD_MAP_START = 386
_OLD_MAP_PAIRS = 4
_OLD_EXTENDED = 482
_OLD_SIZE = slice(483, 495)
_MORE_PAIRS = 21
_MORE_EXTENDED = 504
FIELD_BYTES = 12
_DIGITS_MAX = 20


def old_map(block: bytes) -> tuple[Pairs, bool, int]:
    """Parse the map in a header of type ``S``.

    :returns: pairs of position and length; whether a block with more follows; bytes of the expanded file
    """
    more = block[_OLD_EXTENDED] != 0
    return _fields(block, _OLD_MAP_START, _OLD_MAP_PAIRS), more, natural(block[_OLD_SIZE], "size")


def more_of_old_map(block: bytes) -> tuple[Pairs, bool]:
    """Parse a block that goes on with such a map: pairs, and whether another block follows."""
    return _fields(block, 0, _MORE_PAIRS), block[_MORE_EXTENDED] != 0


def _fields(block: bytes, start: int, count: int) -> Pairs:
    pairs: Pairs = []
    for offset in range(start, start + 2 * FIELD_BYTES * count, 2 * FIELD_BYTES):
        first, second = block[offset : offset + FIELD_BYTES], block[offset + FIELD_BYTES : offset + 2 * FIELD_BYTES]
        if not first[0]:
            break
        pairs.append((natural(first, "position"), natural(second, "length")))
    return pairs


def pairs_of_records(records: pax.Records) -> Pairs | None:
    """Return the map of the forms 0.0 and 0.1, which stands in PAX records; None when there is none."""
    numbers: list[bytes] = []
    for key, value in records:
        if key == "GNU.sparse.map":
            numbers = value.split(b",") if value else []
            break
        if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            numbers.append(value)
    else:
        if not numbers and not any(key == "GNU.sparse.numblocks" for key, _ in records):
            return None
    return _paired([pax.natural(value, "a sparse map's number") for value in numbers])


def _paired(numbers: list[int]) -> Pairs:
    if len(numbers) % 2:
        raise CorruptArchive("tar: a sparse map is cut")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


class DecimalMap:
    """The map of form 1.0: decimal lines, their number first, padded to whole blocks.

    :param limit: bytes of it at most
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._numbers: list[int] = []
        self._rest = b""

    def add(self, block: bytes) -> bool:
        """Take a block; True when the map is whole.

        :raises CorruptArchive: when a line is not a number
        :raises ArchiveLimit: when the map is too long
        """
        self._left -= BLOCK_BYTES
        if self._left < 0:
            raise ArchiveLimit("tar: a sparse map is too long")
        *lines, rest = (self._rest + block).split(b"\n")
        for line in lines:
            if self._is_whole():
                break
            self._numbers.append(pax.natural(line, "a sparse map's number"))
        if not self._is_whole() and len(rest) > _DIGITS_MAX:
            raise CorruptArchive("tar: a sparse map is not made of lines")
        self._rest = rest
        return self._is_whole()

    def _is_whole(self) -> bool:
        return bool(self._numbers) and len(self._numbers) > 2 * self._numbers[0]

    def pairs(self) -> Pairs:
        """Return the map, once it is whole."""
        return _paired(self._numbers[1:])


def segments(pairs: Pairs, offset: int, stored_bytes: int, size: int) -> tuple[Segment, ...]:
    """Return where the bytes of a sparse file lie.

    :param offset: of the first stored byte in the archive
    :param stored_bytes: how many the header says are stored
    :param size: of the expanded file
    :raises CorruptArchive: when the map is not in order, leaves the file, or adds up to another number
    """
    lengths = [length for _, length in pairs]
    ends = [position + length for position, length in pairs]
    starts = [position for position, _ in pairs]
    in_order = all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    if not in_order or sum(lengths) != stored_bytes or (ends and ends[-1] > size):
        raise CorruptArchive("tar: a sparse map does not fit its file")
    offsets = itertools.accumulate(lengths, initial=offset)
    return tuple(
        Segment(position, where, length) for (position, length), where in zip(pairs, offsets, strict=False) if length
    )
