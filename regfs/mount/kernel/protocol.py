"""The kernel's own protocol on /dev/fuse: requests, answers and notices, as bytes. Knows no registry, no file system.

The source of every number and structure is ``linux/fuse.h``, from version 7.12 on. Integers have the byte order and the
size of this machine, as the kernel shares them.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

MAJOR, MINOR = 7, 41
OLDEST_MINOR = 12
ROOT = 1
MAX_NAME = 255
PAGE_BYTES = 4096
SMALL_PAGES = 32  # what a kernel before 4.20 sends at most at a time
MAX_PAGES = 256  # of 1 MiB, which fs.fuse.max_pages_limit is by default


_SECOND_NS = 10**9


class Opcode(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44
    RENAME2 = 45


class Flag(IntFlag):
    """What INIT agrees on; the kernel offers, the mount takes some of it."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    HANDLE_KILLPRIV_V2 = 1 << 28
    INIT_EXT = 1 << 30
    DIRECT_IO_ALLOW_MMAP = 1 << 36
    PASSTHROUGH = 1 << 37


class OpenFlag(IntFlag):
    """What the answer to OPEN says of the kernel's pages."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    NOFLUSH = 1 << 5
    PASSTHROUGH = 1 << 7


class SetAttr(IntFlag):
    """Which attributes SETATTR changes."""

    SIZE = 1 << 3
    MTIME = 1 << 5
    FH = 1 << 6
    MTIME_NOW = 1 << 8


class Rename(IntFlag):
    """The flags of renameat2(2)."""

    NOREPLACE = 1
    EXCHANGE = 2
    WHITEOUT = 4


# The answers to these end no wait of a program: the kernel expects none.
UNANSWERED = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.DESTROY})
_HIGH_HALF = 32
_LOW = 0xFFFFFFFF

_IN = struct.Struct("=IIQQIIII")
_OUT = struct.Struct("=IiQ")
_INIT_IN = struct.Struct("=IIII")
_INIT_IN_EXTENDED = struct.Struct("=I")
_INIT_OUT = struct.Struct("=IIIIHHI")
_INIT_OUT_REST = struct.Struct("=IHHII24x")  # time_gran, max_pages, map_alignment, flags2, max_stack_depth
_FORGET_ONE = struct.Struct("=QQ")
_SETATTR_IN = struct.Struct("=IIQQQQQQIIIIIIII")
READ_IN = struct.Struct("=QQI")  # of READ, READDIR and READDIRPLUS: handle, offset, size
WRITE_IN = struct.Struct("=QQIIQII")
HANDLE_IN = struct.Struct("=Q")  # of RELEASE, FLUSH, FSYNC, RELEASEDIR
OPEN_IN = struct.Struct("=II")
CREATE_IN = struct.Struct("=IIII")
MKNOD_IN = struct.Struct("=IIII")
MKDIR_IN = struct.Struct("=II")
RENAME_IN = struct.Struct("=Q")
RENAME2_IN = struct.Struct("=QII")
GETXATTR_IN = struct.Struct("=II")
FORGET_IN = struct.Struct("=Q")
INTERRUPT_IN = struct.Struct("=Q")
BATCH_FORGET_IN = struct.Struct("=II")
HEADER_BYTES = _IN.size


_NO_ROOM = memoryview(b"")


class Malformed(Exception):
    """A request that is shorter than its kind, or is not what it says it is."""


class Request(NamedTuple):
    """What the kernel asks.

    :param unique: its number, by which it is answered and interrupted
    :param node: the number of the node that it is about
    :param pid: the thread that waits for the answer; 0 when it is in another process namespace
    :param body: what comes after the header; good until the next request is read into the same buffer
    :param room: where an answer of up to ``max_write`` bytes can be put together; good for as long
    """

    opcode: int
    unique: int
    node: int
    pid: int
    body: memoryview
    room: memoryview


def parse(message: memoryview, room: memoryview = _NO_ROOM) -> Request:
    """Take a request apart.

    :raises Malformed: when it is shorter than it says
    """
    if len(message) < HEADER_BYTES:
        raise Malformed(f"a request of {len(message)} bytes")
    length, opcode, unique, node, _, _, pid, _ = _IN.unpack_from(message)
    if length != len(message):
        raise Malformed(f"a request of {len(message)} bytes that says it has {length}")
    return Request(opcode, unique, node, pid, message[HEADER_BYTES:], room)


def fields(form: struct.Struct, body: memoryview) -> tuple[int, ...]:
    """The integers that a body begins with.

    :raises Malformed: when it is too short
    """
    if len(body) < form.size:
        raise Malformed(f"{len(body)} bytes in the place of {form.size}")
    return form.unpack_from(body)


def names(body: memoryview, number: int = 1) -> list[str]:
    """The names that a body ends with; bytes that are not UTF-8 become halves of surrogates.

    :raises Malformed: when there are fewer, or one cannot be a name
    """
    parts = bytes(body).split(b"\0")
    if len(parts) <= number:
        raise Malformed(f"{len(parts) - 1} names in the place of {number}")
    if not all(parts[:number]):
        raise Malformed("an empty name")
    return [part.decode("utf-8", "surrogateescape") for part in parts[:number]]


def answer_header(unique: int, length: int, error: int = 0) -> bytes:
    """What goes before an answer of *length* bytes.

    :param error: an errno, 0 when the request succeeded
    """
    return _OUT.pack(_OUT.size + length, -error, unique)


# INIT


@dataclass(frozen=True)
class Agreement:
    """What INIT agreed on.

    :param max_write: bytes of a write, and of a read, at most
    """

    minor: int
    flags: Flag
    max_write: int


def agree(body: memoryview, wanted: Flag) -> tuple[Agreement | None, bytes]:
    """Answer INIT; only what the kernel offers is taken.

    :returns: what was agreed on, None when the kernel has to ask again in the older version that the answer names
    :raises OSError: EPROTO when the kernel is too old
    """
    major, minor, readahead, low = fields(_INIT_IN, body)
    if major < MAJOR or (major == MAJOR and minor < OLDEST_MINOR):
        raise OSError(errno.EPROTO, f"the kernel speaks version {major}.{minor}; {MAJOR}.{OLDEST_MINOR} is the oldest")
    if major > MAJOR:
        return None, _INIT_OUT.pack(MAJOR, MINOR, 0, 0, 0, 0, 0) + bytes(_INIT_OUT_REST.size)
    high = 0
    if low & Flag.INIT_EXT and len(body) >= _INIT_IN.size + _INIT_IN_EXTENDED.size:
        (high,) = _INIT_IN_EXTENDED.unpack_from(body, _INIT_IN.size)
    taken = wanted & Flag(low | high << _HIGH_HALF)
    if not taken & Flag.INIT_EXT:
        taken = Flag(taken & _LOW)
    pages = MAX_PAGES if taken & Flag.MAX_PAGES else SMALL_PAGES
    agreed = Agreement(min(minor, MINOR), taken, pages * PAGE_BYTES)
    return agreed, _init_answer(agreed, readahead, pages)


# Requests that the kernel has in flight for read-ahead, and how many of them slow its writers down: as many as there
# are threads to answer them.
_BACKGROUND, _CONGESTED = 16, 12


def _init_answer(agreed: Agreement, readahead: int, pages: int) -> bytes:
    low, high = agreed.flags & _LOW, agreed.flags >> _HIGH_HALF
    start = _INIT_OUT.pack(MAJOR, MINOR, readahead, low, _BACKGROUND, _CONGESTED, agreed.max_write)
    if agreed.minor < 23:  # linux/fuse.h: FUSE_COMPAT_22_INIT_OUT_SIZE
        return start
    depth = 1 if agreed.flags & Flag.PASSTHROUGH else 0
    return start + _INIT_OUT_REST.pack(1, pages, 0, high, depth)


# The bodies that are more than a structure and names


class Changes(NamedTuple):
    """What SETATTR changes.

    :param handle: of the file that is changed, when the kernel knows one
    :param mtime_ns: nanoseconds since the epoch
    """

    valid: int
    handle: int | None
    size: int
    mtime_ns: int


def changes(body: memoryview) -> Changes:
    """Take the body of SETATTR apart.

    :raises Malformed: when it is too short
    """
    valid, _, handle, size, _, _, mtime, _, _, nanoseconds, *_ = fields(_SETATTR_IN, body)
    signed = mtime - (1 << 64) if mtime >= 1 << 63 else mtime
    return Changes(valid, handle if valid & SetAttr.FH else None, size, signed * _SECOND_NS + nanoseconds)


def forgotten(body: memoryview) -> Iterator[tuple[int, int]]:
    """From the body of BATCH_FORGET: the number of a node, and how often it was looked up.

    :raises Malformed: when it is too short
    """
    count, _ = fields(BATCH_FORGET_IN, body)
    rest = body[BATCH_FORGET_IN.size :]
    if len(rest) < count * _FORGET_ONE.size:
        raise Malformed(f"{count} nodes in {len(rest)} bytes")
    return _FORGET_ONE.iter_unpack(rest[: count * _FORGET_ONE.size])
