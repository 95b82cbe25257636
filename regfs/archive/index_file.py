"""An index as bytes, and as a file that is whole or not there. Knows no directory beyond the path that it is given.

The format is regfs's own and changes with its version, so that an index of another version is made again::

    magic, version, SHA-256 of all that follows
    sections: bytes packed, bytes unpacked, a frame of zstd

Columns of numbers that grow are stored as differences, which is what makes them small.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
import tempfile
from array import array
from contextlib import suppress
from operator import sub
from typing import TYPE_CHECKING

from regfs.archive.compression.formats import Compression
from regfs.archive.compression.zstd import pack, unpack
from regfs.archive.entry import Segment
from regfs.archive.errors import CorruptArchive, CorruptIndex
from regfs.archive.index import Index
from regfs.archive.listing import Listing, Rarity
from regfs.archive.points import Points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1
FILE_BYTES_MAX = 1 << 30

_MAGIC = b"regfsidx"
_HEADER = struct.Struct("<8sI32s")
_SECTION = struct.Struct("<QQ")

# Number of the entry, extended attributes, device, segments: as JSON has them.
_RarityRow = tuple[int, list[tuple[str, str]], tuple[int, int], "list[tuple[int, int, int]] | None"]

_LISTING_COLUMNS = ("kinds", "modes", "uids", "gids", "sizes", "mtimes", "offsets", "name_ends", "link_ends")
_POINT_COLUMNS = ("unpacked", "packed", "bits", "window_ends")
_GROWING = ("offsets", "name_ends", "link_ends", "unpacked", "packed", "window_ends")


def dump(index: Index) -> bytes:
    """Return an index as bytes."""
    facts = {
        "blob_digest": index.blob_digest,
        "blob_bytes": index.blob_bytes,
        "tar_digest": index.tar_digest,
        "tar_bytes": index.tar_bytes,
        "compression": index.compression.value,
        "window_bytes": index.window_bytes,
        "rarities": _dump_rarities(index.listing),
    }
    sections = [
        json.dumps(facts).encode(),
        index.piece_digests,
        bytes(index.listing.texts),
        bytes(index.points.windows),
    ]
    sections += [_dump_column(index.listing, name) for name in _LISTING_COLUMNS]
    sections += [_dump_column(index.points, name) for name in _POINT_COLUMNS]
    body = b"".join(map(_dump_section, sections))
    return _HEADER.pack(_MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def load(data: bytes) -> Index:
    """Return the index that :func:`dump` made bytes of.

    :raises CorruptIndex: when they are torn, damaged, or of another version
    """
    if len(data) < _HEADER.size:
        raise CorruptIndex("an index is cut")
    magic, version, checksum = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != VERSION:
        raise CorruptIndex("an index is of another version")
    body = memoryview(data)[_HEADER.size :]
    if hashlib.sha256(body).digest() != checksum:
        raise CorruptIndex("an index is damaged")
    try:
        return _index_of(_sections(body))
    except (ValueError, KeyError, TypeError, StopIteration, struct.error, OverflowError, CorruptArchive) as error:
        raise CorruptIndex(f"an index is not complete: {error!r}") from None


def save(index: Index, path: Path) -> None:
    """Write an index to a file, which has all of it or stays as it was.

    :raises OSError: when there is no room, or no such directory
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(dump(index))
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: Path, blob_digest: str) -> Index:
    """Read the index of a blob from a file.

    :raises CorruptIndex: when it is torn, damaged, of another version, or another blob's
    :raises OSError: when it is not there
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > FILE_BYTES_MAX:
            raise CorruptIndex(f"{path}: an index of more than {FILE_BYTES_MAX} bytes")
        index = load(file.read())
    if index.blob_digest != blob_digest:
        raise CorruptIndex(f"{path}: the index of another blob")
    return index


def _dump_section(data: bytes) -> bytes:
    packed = pack(data)
    return _SECTION.pack(len(packed), len(data)) + packed


def _sections(body: memoryview) -> Iterator[bytes]:
    position = 0
    while position < len(body):
        packed_bytes, unpacked_bytes = _SECTION.unpack_from(body, position)
        position += _SECTION.size
        yield unpack(bytes(body[position : position + packed_bytes]), unpacked_bytes)
        position += packed_bytes


def _index_of(sections: Iterator[bytes]) -> Index:
    facts, listing, points = json.loads(next(sections)), Listing(), Points()
    piece_digests = next(sections)
    listing.texts, points.windows = bytearray(next(sections)), bytearray(next(sections))
    for name in _LISTING_COLUMNS:
        _load_column(listing, name, next(sections))
    for name in _POINT_COLUMNS:
        _load_column(points, name, next(sections))
    listing.rarities = _load_rarities(facts.pop("rarities"))
    compression = Compression(facts.pop("compression"))
    return Index(**facts, compression=compression, points=points, piece_digests=piece_digests, listing=listing)


def _dump_column(table: Listing | Points, name: str) -> bytes:
    column: array[int] = getattr(table, name)
    if name in _GROWING:
        # Tables of members in another order than their bytes have negative differences, so the numbers are signed.
        return array("q", map(sub, column, itertools.chain((0,), column))).tobytes()
    return column.tobytes()


def _load_column(table: Listing | Points, name: str, data: bytes) -> None:
    column: array[int] = getattr(table, name)
    if name in _GROWING:
        differences = array("q", data)
        column.extend(itertools.accumulate(differences))
    else:
        column.frombytes(data)


def _dump_rarities(listing: Listing) -> list[_RarityRow]:
    return [
        (
            number,
            [(name, value.decode("latin-1")) for name, value in rarity.xattrs],
            rarity.device,
            None if rarity.segments is None else [(s.position, s.offset, s.length) for s in rarity.segments],
        )
        for number, rarity in listing.rarities.items()
    ]


def _load_rarities(
    rows: list[tuple[int, list[tuple[str, str]], tuple[int, int], list[tuple[int, int, int]] | None]],
) -> dict[int, Rarity]:
    return {
        number: Rarity(
            tuple((name, value.encode("latin-1")) for name, value in xattrs),
            (device[0], device[1]),
            None if segments is None else tuple(Segment(*segment) for segment in segments),
        )
        for number, xattrs, device, segments in rows
    }
