"""Sparse files in each form that GNU tar has written, expanded; maps that do not fit, refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from regfs.archive.errors import ArchiveError, ArchiveLimit
from tests.archive.making import Member, archive_of, extended, file, header, old_sparse, padded, summed, tar, written

SIZE = 100_000
PAIRS = [(1000 * number, 10) for number in range(60)]
DATA = b"".join(b"%010d" % number for number in range(60))


def expanded() -> bytes:
    result = bytearray(SIZE)
    for number, (position, length) in enumerate(PAIRS):
        result[position : position + length] = DATA[10 * number : 10 * number + length]
    return bytes(result)


def contents_of(*members: Member | bytes) -> bytes:
    """The bytes of the first file of a tar, read in odd pieces."""
    archive = archive_of(tar(*members, file("next", b"next")))
    assert archive.listing.name(len(archive.listing) - 1) == "next"
    last = archive.open(len(archive.listing) - 1)
    assert last.read(0, 10) == b"next"
    reader = archive.open(0)
    return b"".join(reader.read(offset, 777) for offset in range(0, reader.size, 777))


def decimal(*numbers: int) -> bytes:
    return padded("".join(f"{number}\n" for number in numbers).encode())


def flat() -> list[int]:
    return [number for pair in PAIRS for number in pair]


def test_the_old_form_is_expanded() -> None:
    assert contents_of(old_sparse("s", SIZE, PAIRS, DATA)) == expanded()


def test_form_0_0_is_expanded() -> None:
    values = [("GNU.sparse.size", b"%d" % SIZE), ("GNU.sparse.numblocks", b"60")]
    for position, length in PAIRS:
        values += [("GNU.sparse.offset", b"%d" % position), ("GNU.sparse.numbytes", b"%d" % length)]
    assert contents_of(extended(values), file("s", DATA)) == expanded()


def test_form_0_1_is_expanded() -> None:
    listed = ",".join(map(str, flat())).encode()
    values = [("GNU.sparse.size", b"%d" % SIZE), ("GNU.sparse.numblocks", b"60"), ("GNU.sparse.map", listed)]
    archive = archive_of(tar(extended([*values, ("GNU.sparse.name", b"real")]), file("GNUSparseFile.0/s", DATA)))
    assert archive.listing.name(0) == "real"
    assert archive.open(0).read(0, SIZE) == expanded()


def test_form_1_0_is_expanded() -> None:
    values = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"%d" % SIZE)]
    assert contents_of(extended(values), file("s", decimal(60, *flat()) + DATA)) == expanded()


def test_a_file_of_nothing_but_a_hole_is_zeros() -> None:
    values = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"5000")]
    assert contents_of(extended(values), file("s", decimal(0))) == bytes(5000)
    assert contents_of(old_sparse("s", 5000, [(5000, 0)], b"")) == bytes(5000)


@pytest.mark.skipif(not shutil.which("tar"), reason="no tar")
@pytest.mark.parametrize("form", ["oldgnu", "gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"])
def test_what_tar_writes_is_expanded(form: str, tmp_path: Path) -> None:
    with (tmp_path / "s").open("wb") as made:
        for number in range(40):
            made.seek(number * 100_000)
            made.write(b"%05d" % number)
        made.truncate(5_000_000)
    command = ["tar", "--sparse", f"--format={form.split()[0]}", *form.split()[1:], "-cf", "-", "s"]
    packed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    assert len(packed) < 1_000_000
    archive = archive_of(packed)
    assert archive.listing.name(0) == "s"
    assert archive.open(0).read(0, 5_000_000) == (tmp_path / "s").read_bytes()


@pytest.mark.parametrize(
    ("pairs", "size"),
    [([(0, 10), (5, 10)], 100), ([(0, 30)], 100), ([(95, 20)], 100), ([(50, 10), (0, 10)], 100), ([(0, 10)], 100)],
)
def test_a_map_that_does_not_fit_is_an_error(pairs: list[tuple[int, int]], size: int) -> None:
    with pytest.raises(ArchiveError, match="sparse map"):
        archive_of(tar(old_sparse("s", size, pairs, b"x" * 20)))


@pytest.mark.parametrize("body", [b"3\n1\n", b"x\n", b"-1\n", b"1\n5\n" + b"9" * 600, b"9" * 512])
def test_a_corrupt_decimal_map_is_an_error(body: bytes) -> None:
    values = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")]
    with pytest.raises(ArchiveError):
        archive_of(tar(extended(values), file("s", padded(body))))


def test_an_odd_map_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="cut"):
        archive_of(tar(extended([("GNU.sparse.map", b"1,2,3"), ("GNU.sparse.size", b"9")]), file("s", b"xx")))


def test_a_form_to_come_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="unknown form"):
        archive_of(tar(extended([("GNU.sparse.major", b"2")]), file("s", b"xx")))


def test_an_endless_map_is_refused() -> None:
    block = bytearray(header(Member("s", type=b"S")))
    block[386:410] = b"00000000000\0" * 2
    block[482] = 1
    more = (b"00000000000\0" * 42 + b"\1").ljust(512, b"\0")
    values = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")]
    with pytest.raises(ArchiveLimit):
        archive_of(summed(bytes(block)) + more * 5000)
    with pytest.raises(ArchiveLimit):
        archive_of(extended(values) + written(file("s", b"9" * 9 + b"\n" + b"1\n" * (1 << 20))))
