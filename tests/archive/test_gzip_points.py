"""gzip is unpacked from any point, at any bit, through any number of members."""

from __future__ import annotations

import functools
import gzip
import random
import zlib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regfs.archive.compression.gzip import GzipScan, GzipUnpacker
from regfs.archive.errors import CorruptArchive
from regfs.archive.points import Point, Points
from regfs.archive.reader import BytesReader
from tests.contents import content_of

KIB = 1 << 10


@functools.cache
def text(size: int, seed: int = 1) -> bytes:
    """Bytes that compress about as well as text."""
    words = [content_of(8)[:6].hex().encode(), *(b"word%d " % number for number in range(500))]
    chosen = random.Random(seed).choices(words, k=size // 7)
    return b"".join(chosen).ljust(size, b".")[:size]


def scanned(blob: bytes, span: int = 64 * KIB, piece: int = 5000) -> tuple[Points, bytes]:
    """The points and the unpacked bytes of a stream that comes in pieces."""
    scan = GzipScan(span)
    unpacked = b"".join(bytes(data) for start in range(0, len(blob), piece) for data in scan.feed(blob[start:][:piece]))
    scan.finish()
    return scan.points, unpacked


def require_points(blob: bytes, plain: bytes, span: int = 64 * KIB) -> Points:
    """From each point on, what is unpacked is what was packed."""
    points, unpacked = scanned(blob, span)
    assert unpacked == plain
    for number in range(len(points)):
        point = points[number]
        assert GzipUnpacker(BytesReader(blob), point).read(len(plain)) == plain[point.unpacked :]
    return points


@pytest.mark.parametrize("level", [1, 6, 9])
def test_any_point_is_a_beginning(level: int) -> None:
    plain = text(1 << 20)
    points = require_points(gzip.compress(plain, level), plain)
    assert len(points) > 4
    assert max(points.unpacked[number + 1] - points.unpacked[number] for number in range(len(points) - 1)) < 512 * KIB


def test_points_are_at_any_bit() -> None:
    plain = text(3 << 20)
    points = require_points(gzip.compress(plain, 6), plain, span=16 * KIB)
    assert set(points.bits) == set(range(8))


@pytest.mark.parametrize("strategy", [zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
def test_any_kind_of_block_has_points(strategy: int) -> None:
    plain = text(600 * KIB)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31, 8, strategy)
    require_points(packer.compress(plain) + packer.flush(), plain)


def test_stored_blocks_have_points() -> None:
    plain = content_of(500 * KIB)
    assert len(require_points(gzip.compress(plain, 0), plain)) > 4
    assert len(require_points(gzip.compress(plain, 6), plain)) > 4


def test_members_follow_each_other() -> None:
    parts = [text(size, seed) for seed, size in enumerate([0, 10, 70_000, 200_000, 1, 0, 90_000])]
    blob = b"".join(gzip.compress(part, 6) for part in parts)
    assert len(require_points(blob, b"".join(parts))) > 2


def test_padding_is_no_member() -> None:
    plain = text(100_000)
    require_points(gzip.compress(plain) + bytes(70_000), plain)
    with pytest.raises(CorruptArchive, match="something else"):
        scanned(gzip.compress(plain) + bytes(700) + b"x")
    with pytest.raises(CorruptArchive):
        scanned(gzip.compress(plain) + b"trailing")


def test_a_cut_stream_is_an_error() -> None:
    blob = gzip.compress(text(50_000))
    for length in (0, 5, 10, 1000, len(blob) - 8, len(blob) - 1):
        with pytest.raises(CorruptArchive):
            scanned(blob[:length])


def test_a_changed_byte_is_an_error() -> None:
    blob = bytearray(gzip.compress(text(50_000)))
    blob[-3] ^= 1
    with pytest.raises(CorruptArchive):
        scanned(bytes(blob))


def test_another_blob_than_the_indexed_is_an_error() -> None:
    plain = text(300_000)
    blob = gzip.compress(plain)
    points, _ = scanned(blob)
    point = points[2]
    with pytest.raises(CorruptArchive):
        GzipUnpacker(BytesReader(blob[: point.packed + 100]), point).read(len(plain))
    with pytest.raises(CorruptArchive):
        GzipUnpacker(BytesReader(b"\xff" * len(blob)), Point(0, 0)).read(10)
    with pytest.raises(CorruptArchive):
        GzipUnpacker(BytesReader(b""), Point(0, 9, 3, b"window")).read(10)


READ_PLAIN = text(300_000)
READ_BLOB = gzip.compress(READ_PLAIN[:120_000], 6) + gzip.compress(READ_PLAIN[120_000:], 1)
READ_POINTS, _ = scanned(READ_BLOB)


@settings(max_examples=50)
@given(st.integers(0, 299_999), st.lists(st.integers(1, 50_000), min_size=1, max_size=5))
def test_reads_of_any_length_go_on(start: int, lengths: list[int]) -> None:
    point = READ_POINTS[READ_POINTS.number_before(start)]
    unpacker = GzipUnpacker(BytesReader(READ_BLOB), point)
    position = point.unpacked
    for length in lengths:
        assert unpacker.read(length) == READ_PLAIN[position : position + length]
        position = min(position + length, len(READ_PLAIN))
        assert unpacker.position == position
