"""Finds the table of an eStargz layer, through the footer at its end. Source: stargz-snapshotter docs/estargz.md."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from regfs.archive.compression.gzip import GzipUnpacker
from regfs.archive.errors import ArchiveLimit, CorruptArchive, DigestMismatch
from regfs.archive.points import Point
from regfs.archive.reader import read_exactly
from regfs.archive.tar.header import BLOCK_BYTES, parse_header
from regfs.archive.toc.table import Table, parse_table

if TYPE_CHECKING:
    from regfs.archive.limits import Limits
    from regfs.archive.reader import Reader

DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest"

FOOTER_BYTES = 51
LEGACY_FOOTER_BYTES = 47
_TABLE_NAME = b"stargz.index.json"
# gzip header with an extra field; its length, and in the newer form the subfield's name and length.
_FOOTER = re.compile(rb"\x1f\x8b\x08\x04.{6}\x1a\0SG\x16\0([0-9a-f]{16})STARGZ.{13}", re.DOTALL)
_LEGACY_FOOTER = re.compile(rb"\x1f\x8b\x08\x04.{6}\x16\0([0-9a-f]{16})STARGZ.{13}", re.DOTALL)


def read_table(blob: Reader, digest: str, limits: Limits) -> Table:
    """Read the table: the footer, and what it points at.

    :param digest: of the table's JSON, from the layer's annotation
    :raises DigestMismatch: when it has another digest
    :raises ArchiveError: when there is no table, or it is corrupt or beyond the limits
    """
    document = _document(blob, _table_offset(blob), limits)
    actual = f"sha256:{hashlib.sha256(document).hexdigest()}"
    if actual != digest:
        raise DigestMismatch("eStargz table of contents", digest, actual)
    return parse_table(document, digest, limits)


def _table_offset(blob: Reader) -> int:
    start = max(blob.size - FOOTER_BYTES, 0)
    footer = read_exactly(blob, start, blob.size - start, "eStargz footer")
    match = _FOOTER.fullmatch(footer) or _LEGACY_FOOTER.fullmatch(footer[-LEGACY_FOOTER_BYTES:])
    if not match:
        raise CorruptArchive("eStargz: the layer has no footer")
    return int(match[1], 16)


def _document(blob: Reader, offset: int, limits: Limits) -> bytes:
    """Return the JSON, which is the only member of a tar that begins at an offset."""
    if offset >= blob.size:
        raise CorruptArchive("eStargz: the table is beyond the end")
    unpacker = GzipUnpacker(blob, Point(0, offset))
    block = unpacker.read(BLOCK_BYTES)
    if len(block) != BLOCK_BYTES:
        raise CorruptArchive("eStargz: the table is cut")
    header = parse_header(block)
    if header.name != _TABLE_NAME:
        raise CorruptArchive("eStargz: the footer does not point at a table")
    if header.size > limits.table_bytes:
        raise ArchiveLimit(f"eStargz: a table of {header.size} bytes")
    return unpacker.read(header.size)
