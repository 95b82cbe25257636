"""One header block of a tar. Knows no block before or after it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from regfs.archive.entry import SIZE_MAX
from regfs.archive.errors import CorruptArchive

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)

# name, mode, uid, gid, size, mtime, checksum, type, link, magic, version, user, group, major, minor, prefix
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_CHECKSUM_SPACES = 8 * ord(" ")
_STAR_PREFIX_BYTES = 131
_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header block, or what extended headers say instead. Numbers are parsed, names are not decoded.

    :param size: bytes that follow in the archive
    :param block: the whole of it; old GNU sparse maps lie in unused parts
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    type: bytes
    link: bytes
    device: tuple[int, int]
    block: bytes


def parse_header(block: bytes) -> Header:
    """Parse a block that is not all zeros.

    :raises CorruptArchive: when its checksum, or a number in it, is wrong
    """
    fields = _FIELDS.unpack(block)
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, _, major, minor, prefix = fields
    _require_checksum(block, checksum)
    is_device = kind in (b"3", b"4")
    return Header(
        name=_whole_name(name, magic, prefix, block),
        mode=number(mode),
        uid=number(uid),
        gid=number(gid),
        size=natural(size, "size"),
        mtime_ns=number(mtime) * _SECOND_NS,
        type=kind,
        link=link.partition(b"\0")[0],
        device=(natural(major, "device"), natural(minor, "device")) if is_device else (0, 0),
        block=block,
    )


def _require_checksum(block: bytes, field: bytes) -> None:
    unsigned = sum(block) - sum(block[_CHECKSUM]) + _CHECKSUM_SPACES
    expected = number(field)
    if expected == unsigned:
        return
    # Some old programs summed signed bytes.
    negative = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in block[_CHECKSUM])
    if expected != unsigned - 256 * negative:
        raise CorruptArchive("tar: the checksum of a header is wrong")


def _whole_name(name: bytes, magic: bytes, prefix: bytes, block: bytes) -> bytes:
    """Join the name and its prefix; GNU headers, and those before POSIX, have other things in the prefix's place."""
    name = name.partition(b"\0")[0]
    if magic != b"ustar\0":
        return name
    if block.endswith(b"tar\0"):
        prefix = prefix[:_STAR_PREFIX_BYTES]
    prefix = prefix.partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def number(field: bytes) -> int:
    """Parse octal digits, or the base-256 of GNU and star.

    :raises CorruptArchive: when it is neither
    """
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if field[0] & 0x80:
            return _base256(field)
        # What follows a NUL is rubbish that some programs leave there.
        digits = digits.partition(b"\0")[0].rstrip(b" ")
        if not digits:
            return 0
    try:
        return int(digits, 8) if digits.isdigit() else _bad_number(field)
    except ValueError:
        return _bad_number(field)


def natural(field: bytes, subject: str) -> int:
    """Parse a number that is 0 or more, and fits in a signed 64-bit number.

    :raises CorruptArchive: when it does not
    """
    value = number(field)
    if not 0 <= value <= SIZE_MAX:
        raise CorruptArchive(f"tar: {subject} {value} is out of range")
    return value


def _base256(field: bytes) -> int:
    """Two's complement of which the first bit is a mark, the second the sign."""
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


def _bad_number(field: bytes) -> int:
    raise CorruptArchive(f"tar: {field!r} is not a number")
