"""A table of contents: entries, and the chunks of their files, as columns. Both formats share its JSON."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regfs.archive.entry import (
    MODE_BITS,
    OWNER_MAX,
    SIZE_MAX,
    TIME_MAX_NS,
    Entry,
    Kind,
    Xattrs,
    encode_name,
    require_link,
    require_name,
)
from regfs.archive.errors import ArchiveLimit, CorruptArchive, UnsupportedArchive
from regfs.archive.listing import Listing, ListingBuilder
from regfs.archive.toc.time import mtime_ns

if TYPE_CHECKING:
    from regfs.archive.limits import Limits

VERSION = 1

_KINDS = {
    "reg": Kind.FILE,
    "dir": Kind.DIRECTORY,
    "symlink": Kind.SYMLINK,
    "hardlink": Kind.HARDLINK,
    "char": Kind.CHARACTER_DEVICE,
    "block": Kind.BLOCK_DEVICE,
    "fifo": Kind.FIFO,
}
_CHUNK = "chunk"
_ZEROS = "zeros"
_DIGEST_PREFIX = "sha256:"
_DIGEST_BYTES = 32

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Fields = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file.

    :param position: in the file
    :param offset: in the blob, where a gzip member or a zstd frame begins; None for zeros, which are not stored
    :param inner: unpacked bytes to skip there
    :param digest: SHA-256 of the unpacked chunk
    """

    position: int
    length: int
    offset: int | None
    inner: int
    digest: bytes


@dataclass(eq=False)
class Chunks:
    """Chunks by their number. Those of one file are neighbours."""

    positions: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    inners: array[int] = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.positions)

    def add(self, chunk: Chunk) -> None:
        """Append a chunk."""
        self.positions.append(chunk.position)
        self.lengths.append(chunk.length)
        self.offsets.append(-1 if chunk.offset is None else chunk.offset)
        self.inners.append(chunk.inner)
        self.digests += chunk.digest

    def __getitem__(self, number: int) -> Chunk:
        offset = self.offsets[number]
        digest = bytes(self.digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES])
        return Chunk(
            self.positions[number], self.lengths[number], None if offset < 0 else offset, self.inners[number], digest
        )


@dataclass(frozen=True, eq=False)
class Table:
    """A table of contents.

    :param digest: of its JSON or its frame, as the manifest names it
    :param listing: the entries; the offset of a file is the number of its first chunk
    :param chunk_ends: by the number of an entry: the number after its last chunk
    """

    digest: str
    listing: Listing
    chunks: Chunks
    chunk_ends: array[int]


@dataclass(frozen=True, slots=True)
class _File:
    """A file whose chunks are still to come."""

    entry: Entry
    digest: str
    chunks: list[Fields]


class _TableBuilder:
    """Takes the objects of a table in order: an entry, then the chunks that its file has beyond the first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries = ListingBuilder(limits)
        self._chunks = Chunks()
        self._chunk_ends = array("q")
        self._file: _File | None = None

    def take(self, fields: Fields) -> Fields | None:
        """Take an object; return it when it is neither an entry nor a chunk."""
        name, kind = fields.get("name"), fields.get("type")
        if not isinstance(name, str) or not isinstance(kind, str):
            return fields
        if kind == _CHUNK:
            if self._file is None or self._file.entry.name != name:
                raise CorruptArchive("a table of contents has a chunk without its file")
            self._file.chunks.append(fields)
            return None
        self._end_file()
        entry = _entry(name, kind, fields)
        if entry.kind is Kind.FILE:
            self._file = _File(entry, _text(fields, "digest"), [fields])
        else:
            self._add(entry)
        return None

    def table(self, digest: str) -> Table:
        """Return the table, once all objects were taken."""
        self._end_file()
        return Table(digest, self._entries.listing, self._chunks, self._chunk_ends)

    def _add(self, entry: Entry) -> None:
        self._entries.add(entry)
        self._chunk_ends.append(len(self._chunks))

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        first, position = len(self._chunks), 0
        for fields in file.chunks if file.entry.size else ():
            chunk = self._chunk(file, fields, position)
            self._chunks.add(chunk)
            position += chunk.length
        if position != file.entry.size:
            raise CorruptArchive(f"{file.entry.name!r}: its chunks are not the file")
        self._add(dataclasses.replace(file.entry, offset=first))

    def _chunk(self, file: _File, fields: Fields, position: int) -> Chunk:
        length = _number(fields, "chunkSize", SIZE_MAX) or file.entry.size - position
        if _number(fields, "chunkOffset", SIZE_MAX) != position or not 0 < length <= file.entry.size - position:
            raise CorruptArchive(f"{file.entry.name!r}: its chunks are not in order")
        if fields.get("chunkType") == _ZEROS:
            return Chunk(position, length, None, 0, bytes(_DIGEST_BYTES))
        inner = _number(fields, "innerOffset", SIZE_MAX)
        if length > self._limits.chunk_bytes or inner > self._limits.chunk_bytes:
            raise ArchiveLimit(f"{file.entry.name!r}: a chunk of {length} bytes, after {inner} others")
        # The only chunk of a file is the file.
        digest = _text(fields, "chunkDigest") or (file.digest if len(file.chunks) == 1 else "")
        return Chunk(position, length, _number(fields, "offset", SIZE_MAX), inner, _digest_bytes(digest))


def _entry(name: str, kind: str, fields: Fields) -> Entry:
    if kind not in _KINDS:
        raise UnsupportedArchive(f"a table of contents has an entry of type {kind!r}")
    mtime = mtime_ns(_text(fields, "modtime"))
    link = _text(fields, "linkName") if kind in ("symlink", "hardlink") else ""
    require_name(_encoded(name))
    require_link(_encoded(link))
    return Entry(
        name=name,
        kind=_KINDS[kind],
        size=_number(fields, "size", SIZE_MAX) if kind == "reg" else 0,
        mode=_number(fields, "mode", SIZE_MAX) & MODE_BITS,
        uid=_number(fields, "uid", OWNER_MAX),
        gid=_number(fields, "gid", OWNER_MAX),
        mtime_ns=max(-TIME_MAX_NS, min(mtime, TIME_MAX_NS)),
        link=link,
        xattrs=_xattrs(fields.get("xattrs")),
        device=(_number(fields, "devMajor", OWNER_MAX), _number(fields, "devMinor", OWNER_MAX)),
    )


def _encoded(name: str) -> bytes:
    try:
        return encode_name(name)
    except UnicodeEncodeError:
        raise CorruptArchive("a table of contents has a name that is not Unicode") from None


def _number(fields: Fields, key: str, maximum: int) -> int:
    value = fields.get(key, 0)
    if not isinstance(value, int) or not 0 <= value <= maximum:
        raise CorruptArchive(f"a table of contents: {key} is not a number in range")
    return value


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorruptArchive(f"a table of contents: {key} is not text")
    return value


def _xattrs(value: Json) -> Xattrs:
    if not isinstance(value, dict):
        return ()
    try:
        return tuple(sorted((name, base64.b64decode(str(text), validate=True)) for name, text in value.items() if name))
    except (binascii.Error, ValueError):
        raise CorruptArchive("a table of contents: an extended attribute is not base64") from None


def _digest_bytes(digest: str) -> bytes:
    hexadecimal = digest.removeprefix(_DIGEST_PREFIX)
    try:
        value = bytes.fromhex(hexadecimal)
    except ValueError:
        value = b""
    if len(value) != _DIGEST_BYTES or hexadecimal == digest:
        raise UnsupportedArchive("a table of contents has a chunk without a SHA-256")
    return value


def parse_table(document: bytes, digest: str, limits: Limits) -> Table:
    """Parse the JSON of a table.

    :raises CorruptArchive: when it is not a table
    :raises UnsupportedArchive: when it is of another version, or a chunk could not be verified
    :raises ArchiveLimit: when it is beyond the limits
    """
    builder = _TableBuilder(limits)
    try:
        # Entries are taken as they are parsed: 100,000 of them as dictionaries would be 150 MB.
        table = json.loads(document, object_hook=builder.take)
    except (ValueError, RecursionError) as error:
        raise CorruptArchive(f"a table of contents is not JSON: {error}") from None
    if not isinstance(table, dict) or table.get("version") != VERSION or not isinstance(table.get("entries"), list):
        raise UnsupportedArchive("a table of contents is not of version 1")
    return builder.table(digest)
