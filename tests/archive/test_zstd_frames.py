"""zstd is unpacked from any frame; a stream of one long frame says that it cannot be sought."""

from __future__ import annotations

import struct
import sys

import pytest

from regfs.archive.archive import TarArchive
from regfs.archive.build import index_blob, unpack_blob
from regfs.archive.compression.formats import Compression, compression_of
from regfs.archive.compression.zstd import ZstdScan, ZstdUnpacker
from regfs.archive.errors import CorruptArchive, NotSeekable
from regfs.archive.pool import Pool
from regfs.archive.reader import BytesReader
from tests.archive.making import archive_of, file, index_of, tar
from tests.archive.test_gzip_points import text
from tests.contents import MIB, content_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SKIPPED = b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"


def frames(plain: bytes, size: int) -> bytes:
    """Bytes as frames, each of which has at most so many."""
    return b"".join(zstd.compress(plain[start : start + size]) for start in range(0, len(plain), size))


def streamed(plain: bytes) -> bytes:
    """Bytes as one frame that does not say its size."""
    packer = zstd.ZstdCompressor()
    return bytes(packer.compress(plain) + packer.flush())


def scanned(blob: bytes, piece: int = 5000) -> tuple[ZstdScan, bytes]:
    scan = ZstdScan(50_000)
    unpacked = b"".join(data for start in range(0, len(blob), piece) for data in scan.feed(blob[start:][:piece]))
    scan.finish()
    return scan, unpacked


@pytest.mark.parametrize("piece", [1, 6, 5000])
def test_any_frame_is_a_beginning(piece: int) -> None:
    plain = text(400_000)
    blob = SKIPPED + frames(plain[:200_000], 20_000) + SKIPPED + streamed(plain[200_000:]) + SKIPPED
    scan, unpacked = scanned(blob, piece)
    assert unpacked == plain
    assert list(scan.points.unpacked) == [0, 60_000, 120_000, 180_000, 400_000]
    for number in range(len(scan.points)):
        point = scan.points[number]
        unpacker = ZstdUnpacker(BytesReader(blob), point, scan.window_bytes)
        pieces = [unpacker.read(30_000) for _ in range(20)]
        assert b"".join(pieces) == plain[point.unpacked :]
        assert unpacker.position == len(plain)


def test_the_window_is_known() -> None:
    small, _ = scanned(frames(text(100_000), 20_000))
    large, _ = scanned(streamed(text(100_000)))
    assert small.window_bytes == 20_000
    assert large.window_bytes >= 1 << 20


@pytest.mark.parametrize("length", [0, 3, 7, 500, -1])
def test_a_cut_stream_is_an_error(length: int) -> None:
    with pytest.raises(CorruptArchive):
        scanned(frames(text(50_000), 20_000)[:length])


def test_something_else_is_an_error() -> None:
    blob = frames(text(50_000), 20_000)
    with pytest.raises(CorruptArchive):
        scanned(blob + b"something else")
    with pytest.raises(CorruptArchive):
        ZstdUnpacker(BytesReader(blob[:200]), scanned(blob)[0].points[0]).read(50_000)


def test_short_frames_can_be_sought() -> None:
    members = [file(f"f{number}", content_of(MIB)) for number in range(6)]
    archive = archive_of(frames(tar(*members), MIB))
    reader = archive.open(4)
    assert reader.read(MIB // 2, 100) == content_of(MIB)[MIB // 2 :][:100]


def test_a_long_frame_needs_the_tar() -> None:
    plain = tar(file("a", b"first"), file("zeros", bytes(20 * MIB)), file("b", b"last"))
    blob, kept = zstd.compress(plain), bytearray()
    index = index_blob(BytesReader(blob), keep_tar=lambda data: kept.extend(data))
    assert not index.is_seekable
    assert kept == plain
    assert b"".join(map(bytes, unpack_blob(BytesReader(blob)))) == plain
    with pytest.raises(NotSeekable):
        TarArchive(index, BytesReader(blob), Pool()).open(2)
    archive = TarArchive(index, BytesReader(b""), Pool(), tar=BytesReader(bytes(kept)))
    assert archive.open(2).read(0, 10) == b"last"


def test_compression_is_told_by_the_bytes() -> None:
    plain = tar(file("a"))
    assert index_of(plain).compression is Compression.NONE
    assert index_of(zstd.compress(plain)).compression is Compression.ZSTD
    assert index_of(SKIPPED + zstd.compress(plain)).compression is Compression.ZSTD
    assert compression_of(b"PK") is Compression.NONE
    assert compression_of(b"") is Compression.NONE
