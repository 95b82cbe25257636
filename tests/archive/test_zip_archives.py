"""Zips and wheels: listed by their directory, read at any offset, bounded when they are hostile."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import pytest

from regfs.archive import zip as module
from regfs.archive.entry import Kind
from regfs.archive.errors import ArchiveError, ArchiveLimit, CorruptArchive, UnsupportedArchive
from regfs.archive.limits import Limits
from regfs.archive.pool import Pool
from regfs.archive.reader import BytesReader
from regfs.archive.rootfs.views import unpacked
from regfs.archive.zip import ZipArchive, is_zip
from tests.archive.making import contents
from tests.archive.test_gzip_points import text
from tests.archive.test_inflater_pool import CountingReader
from tests.contents import content_of

PLAIN = text(400_000)


def packed(*, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of a bit of everything."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.mkdir("d") if hasattr(archive, "mkdir") else archive.writestr("d/", b"")
        archive.writestr("d/text", PLAIN)
        archive.writestr("noise", content_of(100_000))
        script = zipfile.ZipInfo("run.sh", (2020, 2, 3, 4, 5, 6))
        script.external_attr = 0o100755 << 16
        archive.writestr(script, b"#!/bin/sh\n")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "d/text")
        timed = zipfile.ZipInfo("caf\xe9")
        timed.extra = struct.pack("<HHBi", 0x5455, 5, 1, 1_580_702_706)
        archive.writestr(timed, b"")
    return buffer.getvalue()


def opened(blob: bytes, limits: Limits | None = None) -> ZipArchive:
    return ZipArchive(BytesReader(blob), "sha256:1", Pool(), limits or Limits())


def test_members_are_listed() -> None:
    entries = {entry.name: entry for entry in opened(packed()).listing}
    assert list(entries) == ["d/", "d/text", "noise", "run.sh", "link", "caf\xe9"]
    assert [entry.kind for entry in entries.values()] == [Kind.DIRECTORY, *[Kind.FILE] * 3, Kind.SYMLINK, Kind.FILE]
    assert (entries["run.sh"].mode, entries["run.sh"].mtime_ns) == (0o755, 1_580_702_706 * 10**9)
    assert (entries["link"].link, entries["caf\xe9"].mtime_ns) == ("d/text", 1_580_702_706 * 10**9)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_read_anywhere(compression: int) -> None:
    archive = opened(packed(compression=compression))
    reader = archive.open(1)
    chosen = random.Random(5)
    for _ in range(20):
        offset, length = chosen.randrange(400_000), chosen.randrange(150_000)
        assert reader.read(offset, length) == PLAIN[offset : offset + length]
    root = unpacked(archive, "sha256:1")
    assert contents(root, "noise") == content_of(100_000)
    assert contents(root, "caf\xe9") == b""


def test_a_listing_reads_the_end_alone() -> None:
    blob = CountingReader(packed(compression=zipfile.ZIP_STORED))
    ZipArchive(blob, "sha256:1", Pool())
    assert blob.read_bytes < 70_000


def test_a_zip_is_told_by_its_bytes() -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert is_zip(packed()[:4])
    assert is_zip(empty.getvalue())
    assert not is_zip(b"\x1f\x8b")
    assert len(opened(empty.getvalue()).listing) == 0


def test_a_cut_zip_is_an_error() -> None:
    blob = packed()
    for length in (0, 10, len(blob) // 2, len(blob) - 1):
        with pytest.raises(ArchiveError):
            opened(blob[:length])


def test_changed_bytes_are_an_error() -> None:
    blob = bytearray(packed())
    blob[200] ^= 1
    with pytest.raises(CorruptArchive):
        opened(bytes(blob)).open(1).read(0, len(PLAIN))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_corrupt_bytes_of_any_method_are_an_error(compression: int) -> None:
    blob = bytearray(packed(compression=compression))
    start = blob.find(b"d/text") + len("d/text")
    blob[start + 20 : start + 60] = b"\xff" * 40
    with pytest.raises(CorruptArchive):
        opened(bytes(blob)).open(1).read(0, len(PLAIN))


def test_an_unreachable_blob_is_no_corrupt_one() -> None:
    class Failing(BytesReader):
        def read(self, offset: int, length: int) -> bytes:
            raise OSError(113, "unreachable")

    archive = opened(packed())
    reader = archive.open(1)
    archive._blob = Failing(b"")
    with pytest.raises(OSError, match="unreachable"):
        reader.read(0, 1)


def test_a_member_without_a_date_is_of_1980() -> None:
    blob = bytearray(packed())
    where = blob.find(b"PK\x01\x02")
    blob[where + 12 : where + 16] = bytes(4)
    assert next(iter(opened(bytes(blob)).listing)).mtime_ns == 315_532_800 * 10**9


def test_a_member_without_a_name_is_an_error() -> None:
    blob = bytearray(packed())
    where = blob.find(b"PK\x01\x02", blob.find(b"PK\x01\x02") + 1)
    blob[where + 46] = 0
    with pytest.raises(CorruptArchive, match="no name"):
        opened(bytes(blob))


def test_an_encrypted_member_is_refused() -> None:
    blob = bytearray(packed())
    where = blob.find(b"PK\x01\x02", blob.find(b"PK\x01\x02") + 1)
    blob[where + 8] |= 1
    with pytest.raises(UnsupportedArchive, match="encrypted"):
        opened(bytes(blob)).open(1)


def test_an_unknown_method_is_refused() -> None:
    blob = bytearray(packed())
    where = blob.find(b"PK\x01\x02", blob.find(b"PK\x01\x02") + 1)
    blob[where + 10] = 77
    with pytest.raises(UnsupportedArchive):
        opened(bytes(blob)).open(1).read(0, 1)


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchiveLimit):
        opened(packed(), Limits(entries=3))
    for name in ("SYMLINKS_MAX", "ENTRIES_MAX"):
        monkeypatch.setattr(module, name, 0)
        with pytest.raises(ArchiveLimit, match="zip: more than 0"):
            opened(packed())


def test_a_huge_directory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIRECTORY_BYTES_MAX", 50)
    with pytest.raises(CorruptArchive, match="at once"):
        opened(packed())


def test_a_long_link_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "x" * 5000)
    with pytest.raises(ArchiveLimit):
        opened(buffer.getvalue())
