"""Layers with a table of contents: listed without the layer, and no byte that is not verified."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from regfs.archive.entry import Entry, Kind
from regfs.archive.errors import (
    ArchiveError,
    ArchiveLimit,
    CorruptArchive,
    DigestMismatch,
    UnsupportedArchive,
)
from regfs.archive.limits import Limits
from regfs.archive.pool import Pool
from regfs.archive.reader import BytesReader
from regfs.archive.rootfs.merge import Root
from regfs.archive.toc.archive import TableArchive, open_table
from tests.archive.making import Member, contents, directory, file, hardlink, index_of, symlink, tar
from tests.archive.producers import Layer, estargz, footer, sha256, with_table, zstd_chunked
from tests.archive.test_inflater_pool import CountingReader
from tests.contents import content_of

CHUNK = 30_000
BIG = content_of(100_000)
MEMBERS = [
    directory("d"),
    file("d/big", BIG, mode=0o4755, uid=5, pax={"SCHILY.xattr.security.capability": b"\1\0\2"}),
    file("d/empty"),
    file("small", b"small"),
    file("zeros", b"a" * CHUNK + bytes(2 * CHUNK) + b"b"),
    symlink("s", "d/big"),
    hardlink("h", "small"),
    Member("null", type=b"3", device=(1, 3)),
    Member("pipe", type=b"6"),
]

MAKERS = {
    "estargz": lambda members: estargz(members, CHUNK),
    "legacy footer": lambda members: estargz(members, CHUNK, legacy=True),
    "inner offsets": lambda members: estargz(members, CHUNK, shared=True),
    "zstd:chunked": lambda members: zstd_chunked(members, CHUNK),
}


@pytest.fixture(params=list(MAKERS))
def layer(request: pytest.FixtureRequest) -> Layer:
    made: Layer = MAKERS[request.param](MEMBERS)
    return made


def opened(layer: Layer, blob: BytesReader | None = None, limits: Limits | None = None) -> TableArchive:
    archive = open_table(blob or BytesReader(layer.blob), layer.annotations, Pool(), limits or Limits())
    assert archive is not None
    return archive


def by_name(archive: TableArchive) -> dict[str, Entry]:
    return {entry.name: entry for entry in archive.listing}


def test_entries_are_listed(layer: Layer) -> None:
    entries = by_name(opened(layer))
    assert list(entries) == [member.name for member in MEMBERS]
    big = entries["d/big"]
    assert (big.size, big.mode, big.uid, big.mtime_ns) == (len(BIG), 0o4755, 5, 1_580_702_706_500_000_000)
    assert big.xattrs == (("security.capability", b"\1\0\2"),)
    assert (entries["s"].link, entries["h"].link, entries["null"].device) == ("d/big", "small", (1, 3))
    assert entries["pipe"].kind is Kind.FIFO


def test_files_are_read(layer: Layer) -> None:
    archive = opened(layer)
    for number, member in enumerate(MEMBERS):
        if member.type == b"0":
            reader = archive.open(number)
            assert reader.read(0, 1 << 20) == member.data
            assert b"".join(reader.read(offset, 7001) for offset in range(0, reader.size, 7001)) == member.data
            assert reader.read(29_990, 20) == member.data[29_990:30_010]
            assert reader.read(reader.size, 5) == b""


def test_the_layer_is_also_a_plain_one(layer: Layer) -> None:
    names = [entry.name for entry in index_of(layer.blob).listing]
    assert names[: len(MEMBERS)] == [member.name for member in MEMBERS]


def test_a_table_makes_a_root(layer: Layer) -> None:
    root = Root(["sha256:1"])
    root.add(1, opened(layer))
    assert sorted(root.names(())) == ["d", "h", "null", "pipe", "s", "small", "zeros"]
    assert contents(root, "h") == b"small"
    assert contents(root, "d/empty") == b""


@pytest.mark.parametrize("maker", [estargz, zstd_chunked])
def test_a_listing_reads_the_table_alone(maker: Any) -> None:
    layer = maker([*MEMBERS, file("rest", content_of(3 << 20))])
    blob = CountingReader(layer.blob)
    archive = opened(layer, blob)
    assert blob.read_bytes < 10_000
    assert archive.open(1).read(50_000, 10) == BIG[50_000:50_010]
    assert blob.read_bytes < 500_000


def test_a_changed_blob_is_an_error(layer: Layer) -> None:
    start = layer.table["entries"][1]["offset"]
    changed = bytearray(layer.blob)
    changed[start + 5000] ^= 1
    archive = opened(layer, BytesReader(bytes(changed)))
    with pytest.raises(ArchiveError):
        archive.open(1).read(0, 10)


def test_a_chunk_without_its_digest_is_an_error(layer: Layer) -> None:
    for entry in layer.table["entries"]:
        entry.pop("chunkDigest", None)
        entry.pop("digest", None)
    with pytest.raises(UnsupportedArchive, match="SHA-256"):
        opened(retabled(layer))


def test_a_wrong_digest_is_an_error(layer: Layer) -> None:
    for entry in layer.table["entries"]:
        for field in ("chunkDigest", "digest"):
            if field in entry:
                entry[field] = sha256(b"something else")
    archive = opened(retabled(layer))
    for number in (1, 3):
        with pytest.raises(DigestMismatch):
            archive.open(number).read(0, 1)


def retabled(layer: Layer) -> Layer:
    """A layer with its table written again."""
    if "io.github.containers.zstd-chunked.manifest-position" in layer.annotations:
        return with_table(layer.blob, layer.table)
    document = json.dumps(layer.table).encode()
    blob = layer.blob + gzip.compress(tar(Member("stargz.index.json", document))) + footer(len(layer.blob))
    return Layer(blob, {"containerd.io/snapshot/stargz/toc.digest": sha256(document)})


def test_a_table_with_another_digest_is_refused(layer: Layer) -> None:
    for key in layer.annotations:
        if not key.endswith("position"):
            layer.annotations[key] = "sha256:" + "0" * 64
    with pytest.raises(DigestMismatch):
        opened(layer)


def test_two_tables_are_refused() -> None:
    annotations = estargz(MEMBERS).annotations | zstd_chunked(MEMBERS).annotations
    with pytest.raises(UnsupportedArchive, match="two tables"):
        open_table(BytesReader(b""), annotations, Pool())


def test_without_annotations_there_is_no_table() -> None:
    assert open_table(BytesReader(estargz(MEMBERS).blob), {}, Pool()) is None


def test_a_missing_footer_is_an_error() -> None:
    layer = estargz(MEMBERS)
    for blob in (b"", layer.blob[:-1], layer.blob[:20], layer.blob[:-51] + footer(len(layer.blob)), footer(0)):
        with pytest.raises(ArchiveError):
            opened(layer, BytesReader(blob))


@pytest.mark.parametrize(
    "position", ["", "1:2:3", "1:2:3:2", "a:b:c:1", "0:9999999:10:1", "0:10:999999999:1", "-1:2:3:1"]
)
def test_a_wrong_position_is_an_error(position: str) -> None:
    layer = zstd_chunked(MEMBERS)
    layer.annotations["io.github.containers.zstd-chunked.manifest-position"] = position or "::::"
    with pytest.raises(ArchiveError):
        opened(layer)


def reg(**fields: Any) -> dict[str, Any]:
    entry = {"name": "f", "type": "reg", "size": 5, "offset": 1, "digest": sha256(b"small")}
    return {key: value for key, value in (entry | fields).items() if value is not None}


@pytest.mark.parametrize(
    "entries",
    [
        [reg(size=-1)],
        [reg(size="5")],
        [reg(mode=-1)],
        [reg(uid=1 << 33)],
        [reg(chunkSize=6)],
        [reg(chunkSize=3)],
        [reg(chunkOffset=1)],
        [reg(name="a\0b")],
        [reg(name="\ud800")],
        [reg(modtime="today")],
        [reg(modtime="2020-13-01T00:00:00Z")],
        [reg(modtime=5)],
        [reg(xattrs={"user.a": "!"})],
        [{"name": "f", "type": "chunk"}],
        [reg(chunkSize=3, chunkDigest=sha256(b"s")), {"name": "g", "type": "chunk", "chunkOffset": 3}],
        [reg(chunkSize=3, chunkDigest=sha256(b"s")), {"name": "f", "type": "chunk", "chunkOffset": 2}],
    ],
)
def test_a_corrupt_table_is_an_error(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(CorruptArchive):
        opened(with_table(b"", {"version": 1, "entries": entries}))


@pytest.mark.parametrize(
    "table", [{}, {"version": 2, "entries": []}, {"version": 1}, {"version": 1, "entries": [reg(type="socket")]}]
)
def test_an_unknown_table_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedArchive):
        opened(with_table(b"", table))


@pytest.mark.parametrize("limits", [Limits(entries=3), Limits(table_bytes=100), Limits(chunk_bytes=1000)])
def test_a_table_beyond_the_limits_is_refused(layer: Layer, limits: Limits) -> None:
    with pytest.raises(ArchiveLimit):
        opened(layer, limits=limits)


def test_times_have_offsets() -> None:
    times = {"2020-02-03T06:05:06+02:00": 1_580_702_706, "0001-01-01T00:00:00Z": 0, "": 0, "9999-01-01T00:00:00Z": None}
    for text, expected in times.items():
        (entry,) = opened(with_table(b"", {"version": 1, "entries": [reg(modtime=text)]})).listing
        assert expected is None or entry.mtime_ns == expected * 10**9
