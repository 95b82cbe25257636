"""Tars, layers and images that the tests are made of, written field by field. Knows nothing of regfs but its roots."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from regfs.archive.archive import TarArchive
from regfs.archive.build import IndexBuilder
from regfs.archive.index import Index
from regfs.archive.limits import DEFAULT_LIMITS, Limits
from regfs.archive.pool import Pool
from regfs.archive.reader import BytesReader
from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.node import Node

BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Member:
    """A member of a tar, as its header is to say it."""

    name: bytes | str
    data: bytes = b""
    type: bytes = b"0"
    link: bytes | str = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)
    size: int | None = None
    pax: dict[str, bytes] = field(default_factory=dict)
    magic: bytes = b"ustar\x0000"
    prefix: bytes = b""


def octal(value: int, length: int) -> bytes:
    """A number as octal digits, or in base 256 where they do not fit."""
    if 0 <= value < 8 ** (length - 1):
        return b"%0*o\0" % (length - 1, value)
    return bytes([0x80 if value >= 0 else 0xFF]) + (value % (1 << 8 * (length - 1))).to_bytes(length - 1, "big")


def raw(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def header(member: Member) -> bytes:
    """The header block of a member, with its checksum."""
    size = len(member.data) if member.size is None else member.size
    fields = [
        raw(member.name)[:100].ljust(100, b"\0"),
        octal(member.mode, 8),
        octal(member.uid, 8),
        octal(member.gid, 8),
        octal(size, 12),
        octal(member.mtime, 12),
        b" " * 8,
        member.type,
        raw(member.link)[:100].ljust(100, b"\0"),
        member.magic,
        bytes(64),
        octal(member.device[0], 8),
        octal(member.device[1], 8),
        member.prefix.ljust(155, b"\0"),
    ]
    return summed(b"".join(fields).ljust(BLOCK, b"\0"))


def summed(block: bytes) -> bytes:
    """A header block with the right checksum."""
    spaced = block[:148] + b" " * 8 + block[156:]
    return spaced[:148] + b"%06o\0 " % sum(spaced) + spaced[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def records(values: Iterable[tuple[str, bytes]]) -> bytes:
    """PAX records, each with its length."""
    result = b""
    for key, value in values:
        rest = b" %s=%s\n" % (key.encode(), value)
        length = len(rest) + len(str(len(rest)))
        length += len(str(length)) - len(str(len(rest)))
        result += b"%d%s" % (length, rest)
    return result


def extended(values: Iterable[tuple[str, bytes]], kind: bytes = b"x") -> bytes:
    """A PAX header."""
    body = records(values)
    return header(Member("pax", body, kind)) + padded(body)


def written(member: Member) -> bytes:
    """A member: its PAX header, if it has one, its header and its bytes."""
    before = extended(member.pax.items()) if member.pax else b""
    return before + header(member) + padded(member.data)


def tar(*members: Member | bytes, end: bytes = END) -> bytes:
    """A tar of members, or of blocks as they are."""
    return b"".join(member if isinstance(member, bytes) else written(member) for member in members) + end


def file(name: bytes | str, data: bytes = b"", **fields: object) -> Member:
    return replace(Member(name, data), **fields)  # type: ignore[arg-type]


def directory(name: str, mode: int = 0o755, **fields: object) -> Member:
    return replace(Member(name, type=b"5", mode=mode), **fields)  # type: ignore[arg-type]


def symlink(name: str, target: str) -> Member:
    return Member(name, type=b"2", link=target, mode=0o777)


def hardlink(name: str, target: str) -> Member:
    return Member(name, type=b"1", link=target)


def index_of(blob: bytes, limits: Limits = DEFAULT_LIMITS, piece: int = 1 << 16, span: int | None = None) -> Index:
    """The index of a blob that comes in pieces."""
    builder = IndexBuilder(limits, span_bytes=span)
    for start in range(0, len(blob), piece):
        builder.feed(blob[start : start + piece])
    return builder.finish(digest_of(blob))


def archive_of(blob: bytes, span: int | None = None, pool: Pool | None = None) -> TarArchive:
    """A blob as an archive."""
    return TarArchive(index_of(blob, span=span), BytesReader(blob), pool or Pool())


def digest_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


class Image:
    """The merged root of layers, each of which is given by its members; the lowest one first."""

    def __init__(self, *layers: Sequence[Member | bytes]) -> None:
        self.blobs = [gzip.compress(tar(*members), 1) for members in layers]
        self.root = Root([digest_of(blob) for blob in self.blobs])
        for number, blob in enumerate(self.blobs, 1):
            self.root.add(number, archive_of(blob))

    def node(self, path: str) -> Node:
        """What is at a path, which has to be there."""
        node = self.root.lookup(components(path))
        assert node is not None, f"{path} is not there"
        return node

    def has(self, path: str) -> bool:
        return self.root.lookup(components(path)) is not None

    def names(self, path: str = "") -> list[str]:
        return sorted(self.root.names(components(path)))

    def data(self, path: str) -> bytes:
        return contents(self.root, path)


def contents(root: Root, path: str) -> bytes:
    """The bytes of a file of a root."""
    node = root.lookup(components(path))
    assert node is not None, f"{path} is not there"
    reader = root.open(node)
    data = reader.read(0, reader.size)
    assert len(data) == reader.size == node.size
    return data


def components(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


def tarfile_listing(data: bytes) -> list[tarfile.TarInfo]:
    """What the standard library finds in a tar that is in order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def old_sparse(name: str, size: int, pairs: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """A member of GNU's type S, with as many blocks of map as it needs."""
    first = bytearray(header(Member(name, data, b"S", magic=b"ustar  \0")))
    first[386 : 386 + 96] = _map(pairs[:4], 4)
    more = [pairs[start : start + 21] for start in range(4, len(pairs), 21)]
    first[482] = bool(more)
    first[483:495] = octal(size, 12)
    blocks = [
        (_map(part, 21) + bytes([number < len(more) - 1])).ljust(BLOCK, b"\0") for number, part in enumerate(more)
    ]
    return summed(bytes(first)) + b"".join(blocks) + padded(data)


def _map(pairs: Sequence[tuple[int, int]], count: int) -> bytes:
    return b"".join(octal(position, 12) + octal(length, 12) for position, length in pairs).ljust(24 * count, b"\0")
