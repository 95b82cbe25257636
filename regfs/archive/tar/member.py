"""A member of a tar: its header, and the headers before it that extend it, made one entry. Knows no blocks."""

from __future__ import annotations

import dataclasses

from regfs.archive.entry import (
    MODE_BITS,
    OWNER_MAX,
    TIME_MAX_NS,
    Entry,
    Kind,
    Xattrs,
    decode_name,
    require_link,
    require_name,
)
from regfs.archive.errors import CorruptArchive, UnsupportedArchive
from regfs.archive.tar import pax, sparse
from regfs.archive.tar.header import Header

EXTENSION_TYPES = (b"x", b"X", b"L", b"K")

_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.DIRECTORY,
    b"D": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_LINKS = (Kind.SYMLINK, Kind.HARDLINK)
# Of all that is no file, only this type has bytes: names for an incremental restore. Whatever size others say, old
# programs meant something else by it.
_DIRECTORY_WITH_BYTES = b"D"


class Extensions:
    """What the headers before a member say about it: PAX records, and long names of GNU."""

    def __init__(self) -> None:
        self._records: pax.Records = []
        self._last: dict[str, bytes] = {}
        self._long_name = b""
        self._long_link = b""

    @property
    def present(self) -> bool:
        """Whether there was such a header."""
        return bool(self._records or self._long_name or self._long_link)

    def add(self, kind: bytes, body: bytes) -> None:
        """Take the body of a header of one of EXTENSION_TYPES.

        :raises CorruptArchive: when it is not made of records
        """
        if kind == b"L":
            self._long_name = body.partition(b"\0")[0]
        elif kind == b"K":
            self._long_link = body.partition(b"\0")[0]
        else:
            records = pax.parse_records(body)
            self._records += records
            self._last.update(records)

    def value(self, key: str) -> bytes:
        """Return the last value of a key, empty when there is none; an empty value takes back those before it."""
        return self._last.get(key, b"")

    def extend(self, header: Header) -> Header:
        """Return a header with what is said here in the place of its own.

        :raises CorruptArchive: when a number is not one
        """
        if not self.present:
            return header
        mtime = self.value("mtime")
        return dataclasses.replace(
            header,
            name=self._long_name or self.value("GNU.sparse.name") or self.value("path") or header.name,
            link=self._long_link or self.value("linkpath") or header.link,
            uid=self._number("uid", header.uid),
            gid=self._number("gid", header.gid),
            size=self._number("size", header.size),
            mtime_ns=pax.time_ns(mtime) if mtime else header.mtime_ns,
        )

    def _number(self, key: str, otherwise: int) -> int:
        value = self.value(key)
        return pax.natural(value, key) if value else otherwise

    def xattrs(self) -> Xattrs:
        """Extended attributes in the order of their names, values byte for byte."""
        if not self._records:
            return ()
        start = len(pax.XATTR_PREFIX)
        found = {key[start:]: value for key, value in self._records if key.startswith(pax.XATTR_PREFIX)}
        return tuple(sorted((name, value) for name, value in found.items() if name))

    @property
    def has_decimal_map(self) -> bool:
        """Whether the bytes of a file begin with the map of a sparse file, form 1.0."""
        return self.value("GNU.sparse.major") == b"1" and self.value("GNU.sparse.minor") in (b"", b"0")

    def sparse_pairs(self) -> sparse.Pairs | None:
        """Return the map of a sparse file that stands in the records, None when the member is not sparse.

        :raises UnsupportedArchive: when it is of a form after 1.0
        """
        if self.value("GNU.sparse.major") not in (b"", b"0"):
            raise UnsupportedArchive("tar: a sparse file of an unknown form")
        return sparse.pairs_of_records(self._records)

    def sparse_size(self, otherwise: int) -> int:
        """Return the size of the expanded sparse file."""
        return self._number("GNU.sparse.realsize", self._number("GNU.sparse.size", otherwise))


def entry_of(header: Header, xattrs: Xattrs, offset: int) -> Entry:
    """Return the entry of a member.

    :param header: extended, see :meth:`Extensions.extend`
    :param offset: of the first byte after it
    :raises CorruptArchive: when a number is out of range, or a name is empty
    :raises ArchiveLimit: when a name is too long
    """
    name, kind = require_name(header.name), _kind(header)
    if not name:
        raise CorruptArchive("tar: a member has no name")
    return Entry(
        name=decode_name(name),
        kind=kind,
        size=header.size if kind is Kind.FILE else 0,
        mode=header.mode & MODE_BITS,
        uid=_owner(header.uid),
        gid=_owner(header.gid),
        mtime_ns=max(-TIME_MAX_NS, min(header.mtime_ns, TIME_MAX_NS)),
        link=decode_name(_link(header.link)) if kind in _LINKS else "",
        xattrs=xattrs,
        device=header.device,
        offset=offset,
    )


def stored_bytes(header: Header, entry: Entry) -> int:
    """How many bytes of a member follow its header."""
    return header.size if entry.kind is Kind.FILE or header.type == _DIRECTORY_WITH_BYTES else 0


def _kind(header: Header) -> Kind:
    kind = _KINDS.get(header.type)
    if kind is None:
        raise UnsupportedArchive(f"tar: a member of type {header.type!r}")
    return Kind.DIRECTORY if header.type == b"\0" and header.name.endswith(b"/") else kind


def _owner(value: int) -> int:
    if not 0 <= value <= OWNER_MAX:
        raise CorruptArchive(f"tar: {value} is no owner's number")
    return value


def _link(link: bytes) -> bytes:
    if not link:
        raise CorruptArchive("tar: a link has no target")
    return require_link(link)
