"""What stands in a tar is what the entries say; what is not in order is an error."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tarfile

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regfs.archive.entry import Entry, Kind
from regfs.archive.errors import ArchiveError, ArchiveLimit, CorruptArchive, UnsupportedArchive
from regfs.archive.limits import Limits
from regfs.archive.tar.parser import TarParser
from tests.archive.making import (
    BLOCK,
    END,
    Member,
    directory,
    extended,
    file,
    hardlink,
    header,
    padded,
    summed,
    symlink,
    tar,
    tarfile_listing,
)


def entries_of(data: bytes, limits: Limits | None = None, piece: int = 1 << 20) -> list[Entry]:
    """The entries of a tar that comes in pieces."""
    entries: list[Entry] = []
    parser = TarParser(entries.append, limits or Limits())
    for start in range(0, len(data), piece):
        parser.feed(data[start : start + piece])
    parser.finish()
    return entries


def entry_of(*members: Member | bytes) -> Entry:
    (entry,) = entries_of(tar(*members))
    return entry


def test_pieces_of_any_size_give_the_same() -> None:
    data = tar(directory("d"), file("d/f", b"x" * 700, pax={"path": b"d/" + b"p" * 150}), symlink("s", "d"))
    whole = entries_of(data)
    assert [entry.kind for entry in whole] == [Kind.DIRECTORY, Kind.FILE, Kind.SYMLINK]
    for piece in (1, 7, 511, 512, 513):
        assert entries_of(data, piece=piece) == whole


def test_a_file_lies_where_its_entry_says() -> None:
    data = tar(file("a", b"first"), file("b", b"second", pax={"mtime": b"1"}))
    first, second = entries_of(data)
    assert data[first.offset :][: first.size] == b"first"
    assert data[second.offset :][: second.size] == b"second"


def test_a_prefix_belongs_to_the_name() -> None:
    assert entry_of(file("name", prefix=b"a/b")).name == "a/b/name"
    assert entry_of(file("name", prefix=b"123", magic=b"ustar  \0")).name == "name"
    assert entry_of(file("name", prefix=b"123", magic=bytes(8))).name == "name"


def test_a_name_that_is_not_utf8_comes_back() -> None:
    entry = entry_of(file(b"caf\xe9"))
    assert entry.name.encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_gnu_long_names_are_whole() -> None:
    name, link = b"n/" * 300 + b"f", b"l/" * 300
    long_name = header(Member("././@LongLink", name + b"\0", b"L")) + padded(name + b"\0")
    long_link = header(Member("././@LongLink", link + b"\0", b"K")) + padded(link + b"\0")
    entry = entry_of(long_name, long_link, symlink("short", "short"))
    assert (entry.name, entry.link) == (name.decode(), link.decode())


def test_an_old_directory_ends_with_a_slash() -> None:
    assert entry_of(Member("d/", type=b"\0", magic=bytes(8))).kind is Kind.DIRECTORY
    assert entry_of(Member("d", type=b"\0", magic=bytes(8))).kind is Kind.FILE


def test_a_link_has_no_bytes_whatever_its_size_says() -> None:
    link = dataclasses.replace(hardlink("l", "f"), size=1000)
    assert [entry.name for entry in entries_of(tar(file("f"), link, file("g")))] == ["f", "l", "g"]


def test_numbers_in_base_256_are_read() -> None:
    entry = entry_of(file("f", uid=1 << 30, gid=(1 << 32) - 1, mtime=-5))
    assert (entry.uid, entry.gid, entry.mtime_ns) == (1 << 30, (1 << 32) - 1, -5 * 10**9)
    assert entry_of(file("f", mtime=1 << 62)).mtime_ns == (1 << 63) - 1


@pytest.mark.parametrize(
    ("value", "expected"), [(b"1.5", 1_500_000_000), (b"-1.25", -1_250_000_000), (b"3.0000000019", 3_000_000_001)]
)
def test_times_have_nanoseconds(value: bytes, expected: int) -> None:
    assert entry_of(file("f", pax={"mtime": value})).mtime_ns == expected


def test_a_pax_size_counts() -> None:
    big = extended([("size", b"700")]) + header(Member("f", size=0)) + padded(b"x" * 700)
    first, second = entries_of(tar(big, file("g")))
    assert (first.size, second.name) == (700, "g")


def test_an_empty_record_takes_back() -> None:
    assert entry_of(extended([("path", b"far"), ("path", b"")]), file("near")).name == "near"


def test_a_volume_label_is_no_entry() -> None:
    assert entry_of(Member("LABEL", type=b"V"), file("f")).name == "f"


def test_a_signed_checksum_is_right_too() -> None:
    block = header(file(b"\xff\xfe"))
    spaced = block[:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 if byte > 127 else byte for byte in spaced)
    assert entry_of(spaced[:148] + b"%06o\0 " % total + spaced[156:]).size == 0


@pytest.mark.parametrize("position", [0, 100, 124, 148, 156, 300])
def test_a_changed_header_is_an_error(position: int) -> None:
    data = bytearray(tar(file("a", b"x"), file("b")))
    data[2 * BLOCK + position] ^= 1
    with pytest.raises(CorruptArchive):
        entries_of(bytes(data))


@pytest.mark.parametrize("end", [b"", bytes(BLOCK), bytes(BLOCK) + b"x" * BLOCK, bytes(2 * BLOCK - 1)])
def test_a_missing_end_is_an_error(end: bytes) -> None:
    with pytest.raises(CorruptArchive):
        entries_of(tar(file("a", b"x"), end=end))


def test_what_follows_the_end_is_not_read() -> None:
    assert entries_of(tar(file("a"), end=END + b"trailing")) == entries_of(tar(file("a")))


@settings(max_examples=60)
@given(st.data())
def test_a_cut_anywhere_is_an_error(data: st.DataObject) -> None:
    whole = tar(file("a", b"x" * 600), directory("d"), file("d/b", pax={"path": b"d/" + b"b" * 110}))
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ArchiveError):
        entries_of(whole[:length])


@settings(max_examples=150)
@given(st.data())
def test_a_changed_byte_never_raises_another_error(data: st.DataObject) -> None:
    whole = bytearray(tar(file("a", b"x", pax={"mtime": b"1.5"}), symlink("s", "t"), Member("S", type=b"S")))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position] = data.draw(st.integers(0, 255))
        block = position // BLOCK * BLOCK
        if whole[block : block + BLOCK].strip(b"\0"):
            whole[block : block + BLOCK] = summed(bytes(whole[block : block + BLOCK]))
    with contextlib.suppress(ArchiveError):
        entries_of(bytes(whole))


@pytest.mark.parametrize(
    "field",
    [b"-0000001\0", b"0x10\0", b"1_0\0", b"+7\0", b"89\0", b"7 7\0"],
)
def test_what_is_no_number_is_an_error(field: bytes) -> None:
    block = header(file("a"))
    with pytest.raises(CorruptArchive):
        entries_of(tar(summed(block[:100] + field[:8].ljust(8, b"\0") + block[108:])))


@pytest.mark.parametrize(
    "body",
    [b"5 a=b", b"x a=b\n", b"6 a=bc\n", b"99 a=b\n", b"5 abc\n", b"-6 a=b\n", b"5 =b\n", b"no records", b"0 a=b\n"],
)
def test_what_is_no_record_is_an_error(body: bytes) -> None:
    with pytest.raises(CorruptArchive):
        entries_of(tar(header(Member("pax", body, b"x")) + padded(body), file("a")))


@pytest.mark.parametrize(
    "pax",
    [
        {"size": b"-1"},
        {"size": b"9" * 30},
        {"uid": b"4294967296"},
        {"mtime": b"soon"},
        {"path": b"a\0b"},
        {"uid": b"1.5"},
    ],
)
def test_records_out_of_range_are_errors(pax: dict[str, bytes]) -> None:
    with pytest.raises(CorruptArchive):
        entries_of(tar(file("a", pax=pax)))


def test_members_without_sense_are_errors() -> None:
    for member in (file(""), Member("l", type=b"2"), file("f", uid=-1), file("f", size=-1)):
        with pytest.raises(CorruptArchive):
            entries_of(tar(member))
    with pytest.raises(CorruptArchive, match="belongs to nothing"):
        entries_of(tar(extended([("path", b"x")])))
    with pytest.raises(UnsupportedArchive):
        entries_of(tar(Member("part", type=b"M")))


@pytest.mark.parametrize("name", [b"n" * 10_000, b"d/" * 3000 + b"f", b"d/" + b"n" * 256])
def test_names_beyond_linux_are_refused(name: bytes) -> None:
    with pytest.raises(ArchiveLimit):
        entries_of(tar(file("f", pax={"path": name})))


def test_long_headers_are_refused() -> None:
    with pytest.raises(ArchiveLimit):
        entries_of(tar(header(Member("pax", size=1 << 30, type=b"x"))))
    with pytest.raises(ArchiveLimit):
        entries_of(tar(header(Member("long", size=1 << 30, type=b"L"))))


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=80).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@settings(max_examples=40)
@given(st.lists(st.tuples(names, st.binary(max_size=1500), st.integers(0, 0o7777), st.integers(0, 1 << 40))))
def test_entries_are_those_of_tarfile(members: list[tuple[str, bytes, int, int]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, mode, mtime in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, mtime
            archive.addfile(info, io.BytesIO(data))
    ours = [(entry.name, entry.size, entry.mode, entry.offset) for entry in entries_of(buffer.getvalue())]
    theirs = [(info.name, info.size, info.mode, info.offset_data) for info in tarfile_listing(buffer.getvalue())]
    assert ours == theirs
