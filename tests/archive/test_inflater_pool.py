"""Unpacked bytes come from the pool, which is bounded, and right whatever threads do."""

from __future__ import annotations

import gzip
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from regfs.archive.archive import TarArchive
from regfs.archive.errors import DigestMismatch
from regfs.archive.pool import Pool
from regfs.archive.reader import BytesReader
from regfs.archive.verified import VerifiedReader
from tests.archive.making import file, index_of, tar
from tests.archive.test_gzip_points import text
from tests.contents import MIB, content_of


class CountingReader(BytesReader):
    """Counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.read_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self.read_bytes += len(data)
        return data


PLAIN = tar(*(file(f"f{number}", text(400_000, number)) for number in range(12)))
BLOB = gzip.compress(PLAIN)
INDEX = index_of(BLOB, span=1 << 20)


def test_reading_on_unpacks_once() -> None:
    blob = CountingReader(BLOB)
    archive = TarArchive(INDEX, blob, Pool())
    for number in range(12):
        reader = archive.open(number)
        data = b"".join(reader.read(offset, 10_000) for offset in range(0, reader.size, 10_000))
        assert data == text(400_000, number)
    assert blob.read_bytes <= len(BLOB) + 1


def test_a_file_in_the_middle_costs_its_span() -> None:
    blob = CountingReader(BLOB)
    reader = TarArchive(INDEX, blob, Pool()).open(9)
    assert reader.read(0, reader.size) == text(400_000, 9)
    assert blob.read_bytes < len(BLOB) // 2


def test_archives_share_what_is_unpacked() -> None:
    pool, blob = Pool(), CountingReader(BLOB)
    TarArchive(INDEX, blob, pool).open(0).read(0, 1000)
    once = blob.read_bytes
    TarArchive(INDEX, blob, pool).open(0).read(0, 1000)
    assert blob.read_bytes == once


def test_the_pool_is_bounded() -> None:
    pool = Pool(capacity_bytes=1 << 20)
    archive = TarArchive(INDEX, BytesReader(BLOB), pool)
    order = random.Random(3).sample(range(12), 12)
    for number in order:
        reader = archive.open(number)
        assert reader.read(0, reader.size) == text(400_000, number)
        assert 0 < pool.held_bytes <= 1 << 20


def test_a_pool_of_nothing_still_answers() -> None:
    reader = TarArchive(INDEX, BytesReader(BLOB), Pool(capacity_bytes=0)).open(5)
    assert reader.read(1000, 200_000) == text(400_000, 5)[1000:201_000]


@pytest.mark.parametrize("capacity", [500_000, 64 << 20])
def test_threads_read_the_right_bytes(capacity: int) -> None:
    archive = TarArchive(INDEX, BytesReader(BLOB), Pool(capacity))

    def read_some(seed: int) -> bool:
        chosen = random.Random(seed)
        for _ in range(8):
            number, offset = chosen.randrange(12), chosen.randrange(400_000)
            expected = text(400_000, number)[offset : offset + 5000]
            if archive.open(number).read(offset, 5000) != expected:
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read_some, range(16)))


def test_a_claim_is_one_threads_alone() -> None:
    pool, inside, entered = Pool(), threading.Event(), threading.Event()

    def claim() -> None:
        inside.wait()
        with pool.claim("key"):
            entered.set()

    thread = threading.Thread(target=claim)
    thread.start()
    with pool.claim("key"):
        inside.set()
        with pool.claim("other"):
            pass
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()


def test_a_failed_reader_gives_its_claim_back() -> None:
    class Failing(BytesReader):
        def read(self, offset: int, length: int) -> bytes:
            raise OSError("unreachable")

    pool = Pool()
    for _ in range(2):
        with pytest.raises(OSError, match="unreachable"):
            TarArchive(INDEX, Failing(BLOB), pool).open(0).read(0, 1)
    assert TarArchive(INDEX, BytesReader(BLOB), pool).open(0).read(0, 4) == text(400_000, 0)[:4]


def test_each_mib_is_verified() -> None:
    plain = tar(file("f", content_of(3 * MIB)))
    index, damaged = index_of(plain), bytearray(plain)
    damaged[2 * MIB + 5] ^= 1
    right = VerifiedReader(BytesReader(plain), index, Pool())
    assert right.read(MIB - 5, 10) == plain[MIB - 5 :][:10]
    assert right.read(0, len(plain) + 9) == plain
    assert right.read(len(plain), 9) == b""
    wrong = VerifiedReader(BytesReader(bytes(damaged)), index, Pool())
    assert wrong.read(0, 2 * MIB) == plain[: 2 * MIB]
    with pytest.raises(DigestMismatch, match="MiB 2"):
        wrong.read(2 * MIB, 1)
