"""Zip archives, wheels among them, by the standard library's ``zipfile`` over a reader.

A listing reads the directory at the end alone. Members that are stored are read at any offset, those that are
compressed from their beginning on, through the pool.
"""

from __future__ import annotations

import calendar
import dataclasses
import lzma
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from regfs.archive.archive import StoredReader, require_file
from regfs.archive.entry import MODE_BITS, Entry, Kind, decode_name, encode_name, require_link, require_name
from regfs.archive.errors import ArchiveLimit, CorruptArchive, UnsupportedArchive
from regfs.archive.limits import DEFAULT_LIMITS, PATH_BYTES, Limits
from regfs.archive.listing import Listing, ListingBuilder
from regfs.archive.points import Point, Points
from regfs.archive.reader import NegativeSeek, Reader, ReaderFile, read_exactly
from regfs.archive.unpacked import UnpackedReader

if TYPE_CHECKING:
    from regfs.archive.pool import Pool

MAGIC = b"PK\x03\x04"
EMPTY_MAGIC = b"PK\x05\x06"

# zipfile takes 700 bytes of memory for an entry, which are freed after the listing.
ENTRIES_MAX = 200_000
DIRECTORY_BYTES_MAX = 64 << 20
SYMLINKS_MAX = 10_000

_ENTRY_MAGIC = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_EXTRA_HEADER = struct.Struct("<HH")
_TIMES_FIELD = 0x5455
_MTIME = struct.Struct("<xi")
_MTIME_PRESENT = 1
_ENCRYPTED = 1
_UNIX_MODE_SHIFT = 16
_SECOND_NS = 10**9
_UNPACKER_BYTES = 128 << 10
_READ_BYTES_MAX = 1 << 20


def is_zip(head: bytes) -> bool:
    """Tell a zip by its first four bytes."""
    return head.startswith((MAGIC, EMPTY_MAGIC))


class ZipArchive:
    """A zip. Its members' bytes are not verified but by their CRC, as far as they are read from the beginning.

    :param digest: of the blob
    :raises ArchiveError: when it is corrupt or beyond the limits
    """

    def __init__(self, blob: Reader, digest: str, pool: Pool, limits: Limits = DEFAULT_LIMITS) -> None:
        self._blob = blob
        self._digest = digest
        self._pool = pool
        self._members: list[zipfile.ZipInfo] = []
        self._symlinks = 0
        entries = ListingBuilder(limits)
        for member in _directory(blob):
            entries.add(self._entry(member))
            self._members.append(member)
        self.listing: Listing = entries.listing

    def open(self, number: int) -> Reader:
        """Return a reader of a file's bytes."""
        entry, member = self.listing.entry(number), self._members[number]
        require_file(entry)
        if member.flag_bits & _ENCRYPTED:
            raise UnsupportedArchive(f"{entry.name!r} is encrypted")
        if member.compress_type == zipfile.ZIP_STORED:
            return StoredReader(self._blob, dataclasses.replace(entry, offset=self._start(member)))
        points = Points()
        points.add(Point(0, 0))
        return UnpackedReader(
            key=f"{self._digest}#{number}",
            size=entry.size,
            points=points,
            begin=lambda _: _Unpacker(self._blob, member, self._start(member)),
            pool=self._pool,
        )

    def _start(self, member: zipfile.ZipInfo) -> int:
        """Return where a member's bytes begin: after its local header, which has its own lengths."""
        header = read_exactly(self._blob, member.header_offset, _LOCAL_HEADER.size, repr(member.filename))
        magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        if magic != MAGIC:
            raise CorruptArchive(f"zip: {member.filename!r} is not where the directory says")
        return int(member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)

    def _entry(self, member: zipfile.ZipInfo) -> Entry:
        mode = member.external_attr >> _UNIX_MODE_SHIFT
        if not member.filename:
            raise CorruptArchive("zip: a member has no name")
        kind = Kind.DIRECTORY if member.is_dir() else Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.FILE
        default = 0o755 if kind is Kind.DIRECTORY else 0o644
        return Entry(
            name=decode_name(require_name(encode_name(member.filename))),
            kind=kind,
            size=member.file_size if kind is Kind.FILE else 0,
            mode=mode & MODE_BITS or default,
            mtime_ns=_mtime(member) * _SECOND_NS,
            link=self._link(member) if kind is Kind.SYMLINK else "",
        )

    def _link(self, member: zipfile.ZipInfo) -> str:
        """Return the text of a symbolic link, which is the member's bytes."""
        self._symlinks += 1
        if self._symlinks > SYMLINKS_MAX:
            raise ArchiveLimit(f"zip: more than {SYMLINKS_MAX} symbolic links")
        length = min(member.file_size, PATH_BYTES + 1)
        text = _Unpacker(self._blob, member, self._start(member)).read(length)
        return decode_name(require_link(text))


class _DirectoryFile(ReaderFile):
    """Counts entries before ``zipfile`` makes objects of them."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if data.count(_ENTRY_MAGIC) > ENTRIES_MAX:
            raise ArchiveLimit(f"zip: more than {ENTRIES_MAX} entries")
        return data


def _directory(blob: Reader) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_DirectoryFile(blob, DIRECTORY_BYTES_MAX)) as file:
            return file.infolist()
    except (zipfile.BadZipFile, NegativeSeek, NotImplementedError, struct.error, ValueError, OverflowError) as error:
        raise CorruptArchive(f"zip: {error!r}") from None


def _mtime(member: zipfile.ZipInfo) -> int:
    """Return the modification time: seconds in UTC, if an extra field has it, else the local time taken for UTC."""
    extra, position = member.extra, 0
    while position + _EXTRA_HEADER.size <= len(extra):
        field, length = _EXTRA_HEADER.unpack_from(extra, position)
        position += _EXTRA_HEADER.size
        body = extra[position : position + length]
        if field == _TIMES_FIELD and len(body) >= _MTIME.size and body[0] & _MTIME_PRESENT:
            return int(_MTIME.unpack_from(body)[0])
        position += length
    # Zips that are made reproducible have a month and a day of 0.
    year, month, day, *time = member.date_time
    return calendar.timegm((year, min(max(month, 1), 12), max(day, 1), *time))


class _Unpacker:
    """Unpacks a member from its beginning on."""

    def __init__(self, blob: Reader, member: zipfile.ZipInfo, start: int) -> None:
        self.position = 0
        self.memory_bytes = _UNPACKER_BYTES
        self._name = repr(member.filename)
        file = ReaderFile(blob, _READ_BYTES_MAX)
        file.seek(start)
        try:
            self._file = zipfile.ZipExtFile(file, "r", member)
        except NotImplementedError as error:
            raise UnsupportedArchive(f"{self._name}: {error}") from None

    def read(self, length: int) -> bytes:
        """Return the next bytes: *length* of them, fewer only at the member's end."""
        try:
            data = self._file.read(length)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
            raise CorruptArchive(f"{self._name}: {error}") from None
        except OSError as error:
            # bz2 calls corrupt bytes an OSError; those of the blob's reader have a number.
            if error.errno is not None:
                raise
            raise CorruptArchive(f"{self._name}: {error}") from None
        self.position += len(data)
        return data
