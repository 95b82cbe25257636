"""Finds the table of a zstd:chunked layer, which its annotations point at. Source: containers/storage pkg/chunked.

The footer is not read: it is not verified by anything, and two programs write different ones.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from regfs.archive.compression.zstd import unpack
from regfs.archive.errors import ArchiveLimit, CorruptArchive, DigestMismatch, UnsupportedArchive
from regfs.archive.reader import read_exactly
from regfs.archive.toc.table import Table, parse_table

if TYPE_CHECKING:
    from regfs.archive.limits import Limits
    from regfs.archive.reader import Reader

POSITION_ANNOTATION = "io.github.containers.zstd-chunked.manifest-position"
CHECKSUM_ANNOTATION = "io.github.containers.zstd-chunked.manifest-checksum"

_POSITION = re.compile(r"(\d{1,18}):(\d{1,18}):(\d{1,18}):(\d{1,18})", re.ASCII)
_TABLE_TYPE = "1"


def read_table(blob: Reader, position: str, checksum: str, limits: Limits) -> Table:
    """Read the table.

    :param position: the annotation ``offset:length:unpacked length:type``
    :param checksum: the annotation with the digest of the packed table
    :raises DigestMismatch: when it has another digest
    :raises ArchiveError: when it is corrupt or beyond the limits
    """
    match = _POSITION.fullmatch(position)
    if not match:
        raise CorruptArchive("zstd:chunked: the annotation of the table's position is not four numbers")
    offset, packed_bytes, unpacked_bytes = (int(match[group]) for group in (1, 2, 3))
    if match[4] != _TABLE_TYPE:
        raise UnsupportedArchive(f"zstd:chunked: a table of type {match[4]}")
    if max(packed_bytes, unpacked_bytes) > limits.table_bytes:
        raise ArchiveLimit(f"zstd:chunked: a table of {unpacked_bytes} bytes")
    frame = read_exactly(blob, offset, packed_bytes, "zstd:chunked table")
    actual = f"sha256:{hashlib.sha256(frame).hexdigest()}"
    if actual != checksum:
        raise DigestMismatch("zstd:chunked table of contents", checksum, actual)
    return parse_table(unpack(frame, unpacked_bytes), checksum, limits)
