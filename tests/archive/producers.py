"""Layers with a table of contents, as their producers write them. Knows nothing of regfs.

Source: stargz-snapshotter docs/estargz.md; containers/storage pkg/chunked/internal/minimal.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

from tests.archive.making import END, Member, header, padded, raw, tar

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TYPES = {b"0": "reg", b"5": "dir", b"2": "symlink", b"1": "hardlink", b"3": "char", b"4": "block", b"6": "fifo"}


@dataclass
class Layer:
    """A blob and the annotations of its descriptor."""

    blob: bytes
    annotations: dict[str, str]
    table: dict[str, Any] = field(default_factory=dict)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(member: Member) -> dict[str, Any]:
    """An entry of a table without what says where its bytes are."""
    entry: dict[str, Any] = {"name": raw(member.name).decode(), "type": TYPES[member.type], "mode": member.mode}
    entry |= {"uid": member.uid, "gid": member.gid, "modtime": "2020-02-03T04:05:06.5Z"}
    if member.data:
        entry |= {"size": len(member.data), "digest": sha256(member.data)}
    if member.link:
        entry["linkName"] = raw(member.link).decode()
    if member.type in (b"3", b"4"):
        entry |= {"devMajor": member.device[0], "devMinor": member.device[1]}
    prefix = "SCHILY.xattr."
    xattrs = {key[len(prefix) :]: value for key, value in member.pax.items() if key.startswith(prefix)}
    if xattrs:
        entry["xattrs"] = {key: base64.b64encode(value).decode() for key, value in xattrs.items()}
    return entry


def estargz(members: list[Member], chunk: int = 1 << 20, legacy: bool = False, shared: bool = False) -> Layer:
    """An eStargz layer.

    :param chunk: bytes of a chunk
    :param legacy: write the footer of 47 bytes
    :param shared: put each file's chunks into one gzip member, with inner offsets
    """
    blob, entries, pending = b"", [], b""
    for member in members:
        entry = described(member)
        pending += header(member)
        entries.append(entry)
        parts = [member.data[start : start + chunk] for start in range(0, len(member.data), chunk)]
        for number, part in enumerate(parts):
            if number:
                entry = {"name": entry["name"], "type": "chunk"}
                entries.append(entry)
            if not (shared and number):
                blob += gzip.compress(pending, mtime=0) if pending else b""
                pending, start = b"", len(blob)
            entry |= {"offset": start, "chunkDigest": sha256(part)}
            if shared and number:
                entry["innerOffset"] = len(pending)
            if number:
                entry["chunkOffset"] = number * chunk
            if number < len(parts) - 1:
                entry["chunkSize"] = len(part)
            pending += part
            if not shared:
                blob += gzip.compress(pending, mtime=0)
                pending = b""
        pending += bytes(-len(member.data) % 512)
    blob += gzip.compress(pending, mtime=0)
    table = {"version": 1, "entries": entries}
    document = json.dumps(table).encode()
    start = len(blob)
    blob += gzip.compress(tar(Member("stargz.index.json", document)), mtime=0) + footer(start, legacy)
    return Layer(blob, {"containerd.io/snapshot/stargz/toc.digest": sha256(document)}, table)


def footer(offset: int, legacy: bool = False) -> bytes:
    """The empty gzip member that says where the table is."""
    subfield = b"%016xSTARGZ" % offset
    extra = subfield if legacy else b"SG" + struct.pack("<H", len(subfield)) + subfield
    start = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", len(extra)) + extra
    return start + b"\x01\x00\x00\xff\xff" + bytes(8)


def zstd_chunked(members: list[Member], chunk: int = 1 << 16) -> Layer:
    """A zstd:chunked layer. A chunk of zeros is written as such, and has its type in the table."""
    blob, entries, pending = b"", [], b""
    for member in members:
        entry = described(member)
        pending += header(member)
        parts = [member.data[start : start + chunk] for start in range(0, len(member.data), chunk)]
        rows = [entry, *({"name": entry["name"], "type": "chunk"} for _ in parts[1:])]
        for number, (row, part) in enumerate(zip(rows, parts, strict=False)):
            if pending:
                blob, pending = blob + zstd.compress(pending), b""
            row["offset"] = len(blob)
            if len(parts) > 1:
                row |= {"chunkSize": len(part), "chunkOffset": number * chunk, "chunkDigest": sha256(part)}
                row |= {} if part.strip(b"\0") else {"chunkType": "zeros"}
            blob += zstd.compress(part)
        if parts:
            entry["endOffset"] = len(blob)
        entries += rows
        pending += padded(member.data)[len(member.data) :]
    blob += zstd.compress(pending + END)
    table = {"version": 1, "entries": entries}
    return with_table(blob, table)


def with_table(blob: bytes, table: dict[str, Any]) -> Layer:
    """A zstd:chunked layer of frames and a table."""
    document = json.dumps(table).encode()
    packed = zstd.compress(document)
    position = len(blob) + 8
    blob += skipped(packed) + skipped(b"tar-split") + skipped(b"a footer that nobody reads")
    prefix = "io.github.containers.zstd-chunked.manifest-"
    place = f"{position}:{len(packed)}:{len(document)}:1"
    return Layer(blob, {prefix + "position": place, prefix + "checksum": sha256(packed)}, table)


def skipped(data: bytes) -> bytes:
    """A frame that decompressors skip."""
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data
