"""Answers and notices of the kernel's own protocol, as bytes; the frame of an answer is :mod:`protocol`'s."""

from __future__ import annotations

import struct
from typing import NamedTuple

from regfs.mount.kernel.protocol import HANDLE_IN, MAX_NAME, PAGE_BYTES, answer_header

_ENTRY = struct.Struct("=QQQQII")
_ATTR = struct.Struct("=QQQqqqIIIIIIIIII")
_ATTR_OUT = struct.Struct("=QII")
_OPEN_OUT = struct.Struct("=QIi")
_DIRENT = struct.Struct("=QQII")
_STATFS = struct.Struct("=QQQQQIIII24x")
WRITE_OUT = struct.Struct("=II")
GETXATTR_OUT = WRITE_OUT
_NOTIFY_INODE = struct.Struct("=Qqq")
_NOTIFY_ENTRY = struct.Struct("=QII")
_INVAL_INODE, _INVAL_ENTRY = 2, 3

_SECOND = 10**9
_BLOCK = 512


class Inode(NamedTuple):
    """What stat(2) says of a node; times are nanoseconds since the epoch."""

    number: int
    size: int
    mtime_ns: int
    changed_ns: int
    mode: int
    links: int
    uid: int
    gid: int
    device: int = 0

    def pack(self) -> bytes:
        """As the kernel takes it."""
        seconds, nanoseconds = divmod(self.mtime_ns, _SECOND)
        changed, changed_nanoseconds = divmod(self.changed_ns, _SECOND)
        return _ATTR.pack(
            self.number, self.size, -(-self.size // _BLOCK),
            seconds, seconds, changed, nanoseconds, nanoseconds, changed_nanoseconds,
            self.mode, self.links, self.uid, self.gid, self.device, PAGE_BYTES, 0,
        )  # fmt: skip


def attr_answer(attributes: bytes, seconds: float) -> bytes:
    """The answer to GETATTR and SETATTR.

    :param attributes: packed
    :param seconds: that the kernel may keep them
    """
    whole = int(seconds)
    return _ATTR_OUT.pack(whole, int((seconds - whole) * _SECOND), 0) + attributes


def entry_answer(node: int, attributes: bytes, entry_seconds: float, attribute_seconds: float) -> bytes:
    """What a name stands for: the answer to LOOKUP and to what makes a name.

    :param node: its number, 0 when nothing is there
    :param entry_seconds: that the kernel may keep that
    """
    entry, attribute = int(entry_seconds), int(attribute_seconds)
    return _ENTRY.pack(
        node, 0, entry, attribute,
        int((entry_seconds - entry) * _SECOND), int((attribute_seconds - attribute) * _SECOND),
    ) + attributes  # fmt: skip


def no_entry_answer(seconds: float) -> bytes:
    """The answer to LOOKUP when nothing is there, which the kernel may keep for so long."""
    return entry_answer(0, bytes(_ATTR.size), seconds, 0)


def directory_entry(name: bytes, inode: int, offset: int, mode: int) -> bytes:
    """One name in a directory: a part of the answer to READDIR, and the end of one to READDIRPLUS.

    :param offset: of the next one
    :param mode: only the type of the file counts
    """
    return _DIRENT.pack(inode, offset, len(name), mode >> 12) + name + _PADDING[: -len(name) % 8]


_PADDING = bytes(8)


def directory_entry_bytes(name: int) -> int:
    """The length of a :func:`directory_entry` with a name of so many bytes."""
    return _DIRENT.size + name + -name % 8


def open_answer(handle: int, flags: int = 0, backing: int = 0) -> bytes:
    """The answer to OPEN and OPENDIR, and the end of that to CREATE.

    :param backing: the number of the file that is read in the place of this one
    """
    return _OPEN_OUT.pack(handle, flags, backing)


def node_of(answer: bytes | memoryview) -> int:
    """The number that an answer begins with: of a node after LOOKUP, of a handle after OPEN."""
    (number,) = HANDLE_IN.unpack_from(answer)
    return int(number)


def statfs_answer(block: int, fragment: int, blocks: int, free: int, available: int) -> bytes:
    """The answer to STATFS; sizes in blocks of *fragment* bytes."""
    return _STATFS.pack(blocks, free, available, 0, 0, block, MAX_NAME, fragment, 0)


def inval_entry(parent: int, name: bytes) -> bytes:
    """The notice that a name stands for something else, or nothing, now."""
    return _notice(_INVAL_ENTRY, _NOTIFY_ENTRY.pack(parent, len(name), 0) + name + b"\0")


def inval_inode(node: int, offset: int = -1, length: int = 0) -> bytes:
    """The notice that attributes have changed, and bytes from *offset* on when that is not negative."""
    return _notice(_INVAL_INODE, _NOTIFY_INODE.pack(node, offset, length))


def _notice(code: int, body: bytes) -> bytes:
    return answer_header(0, len(body), -code) + body
