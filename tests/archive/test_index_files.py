"""An index file gives back the index; one that is torn, damaged or another's is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regfs.archive import index_file
from regfs.archive.build import IndexBuilder, index_blob
from regfs.archive.errors import ArchiveError, CorruptIndex, DigestMismatch
from regfs.archive.index import Index
from regfs.archive.listing import Listing
from regfs.archive.points import Points
from regfs.archive.reader import BytesReader
from tests.archive.making import Member, digest_of, directory, file, hardlink, index_of, old_sparse, symlink, tar
from tests.archive.test_gzip_points import text
from tests.contents import MIB, content_of

PLAIN = tar(
    directory("d", mtime=-3),
    file(b"d/caf\xe9", text(300_000), uid=1 << 31, pax={"SCHILY.xattr.user.a": b"\0\xff"}),
    old_sparse("s", 5000, [(10, 20)], b"x" * 20),
    Member("null", type=b"3", device=(1, 3)),
    symlink("l", "d"),
    hardlink("h", "s"),
)
BLOB = gzip.compress(PLAIN)
INDEX = index_of(BLOB, span=50_000)
DUMPED = index_file.dump(INDEX)


def same(table: Listing | Points, other: Listing | Points) -> bool:
    return all(getattr(table, field.name) == getattr(other, field.name) for field in dataclasses.fields(table))


def require_same(one: Index, other: Index) -> None:
    assert list(one.listing) == list(other.listing)
    assert same(one.listing, other.listing)
    assert same(one.points, other.points)
    for field in dataclasses.fields(Index):
        if field.name not in ("listing", "points"):
            assert getattr(one, field.name) == getattr(other, field.name)


def test_one_pass_finds_all_digests() -> None:
    content = content_of(2 * MIB + 100)
    blob = tar(file("f", content))
    index = index_of(blob, piece=300_000)
    pieces = [hashlib.sha256(blob[start : start + MIB]).digest() for start in range(0, len(blob), MIB)]
    assert index.piece_digests == b"".join(pieces)
    assert (index.blob_digest, index.tar_digest) == (digest_of(blob), digest_of(blob))
    assert (INDEX.blob_digest, INDEX.tar_digest) == (digest_of(BLOB), digest_of(PLAIN))
    assert (INDEX.blob_bytes, INDEX.tar_bytes) == (len(BLOB), len(PLAIN))


def test_pieces_of_any_size_give_the_same_index() -> None:
    for piece in (1000, 7777, MIB):
        require_same(index_of(BLOB, piece=piece), index_of(BLOB))
    require_same(index_blob(BytesReader(BLOB)), index_of(BLOB))


def test_an_index_comes_back() -> None:
    assert len(INDEX.points) > 2
    require_same(index_file.load(DUMPED), INDEX)
    require_same(index_file.load(index_file.dump(index_of(PLAIN))), index_of(PLAIN))
    require_same(index_file.load(index_file.dump(index_of(tar()))), index_of(tar()))


def test_an_index_is_small() -> None:
    blob = gzip.compress(tar(*(file(f"d/{number}", text(1_000_000, number % 5)) for number in range(12))), 1)
    assert len(index_file.dump(index_of(blob))) < 0.015 * len(blob)


@settings(max_examples=60)
@given(st.integers(0, len(DUMPED) - 1), st.integers(1, 255))
def test_a_damaged_index_is_refused(position: int, change: int) -> None:
    damaged = bytearray(DUMPED)
    damaged[position] ^= change
    for data in (bytes(damaged), DUMPED[:position], DUMPED + bytes([change])):
        with pytest.raises(CorruptIndex):
            index_file.load(data)


@settings(max_examples=60)
@given(st.integers(44, len(DUMPED) - 1), st.integers(1, 255))
def test_an_index_with_a_right_sum_never_raises_another_error(position: int, change: int) -> None:
    damaged = bytearray(DUMPED)
    damaged[position] ^= change
    damaged[12:44] = hashlib.sha256(damaged[44:]).digest()
    with contextlib.suppress(ArchiveError):
        index = index_file.load(bytes(damaged))
        list(index.listing)


def test_a_file_gives_the_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index_file.save(INDEX, path)
    index_file.save(INDEX, path)
    require_same(index_file.read(path, INDEX.blob_digest), INDEX)
    assert os.listdir(tmp_path) == ["index"]
    with pytest.raises(CorruptIndex, match="another blob"):
        index_file.read(path, "sha256:" + "0" * 64)


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with pytest.raises(OSError):
        index_file.save(INDEX, tmp_path / "index")
    assert os.listdir(tmp_path) == ["index"]


def test_only_the_promised_blob_has_an_index() -> None:
    builder = IndexBuilder()
    builder.feed(BLOB)
    with pytest.raises(DigestMismatch, match="blob"):
        builder.finish("sha256:" + "0" * 64)
    builder = IndexBuilder()
    builder.feed(BLOB)
    with pytest.raises(DigestMismatch, match="uncompressed tar"):
        builder.finish(digest_of(BLOB), "sha256:" + "0" * 64)
    with pytest.raises(ArchiveError):
        IndexBuilder().finish()
