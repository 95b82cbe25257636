"""Entries of a tar that streams by. Knows no compression, and keeps no bytes of files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from regfs.archive.entry import Kind
from regfs.archive.errors import ArchiveLimit, CorruptArchive
from regfs.archive.tar import sparse
from regfs.archive.tar.header import BLOCK_BYTES, ZERO_BLOCK, Header, parse_header
from regfs.archive.tar.member import EXTENSION_TYPES, Extensions, entry_of, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from regfs.archive.entry import Entry
    from regfs.archive.limits import Limits

# Global PAX headers are ignored, as podman and containerd ignore them; a volume header is the tape's label.
_IGNORED = (b"g", b"V")


class TarParser:
    """Takes a tar in pieces of any size, and passes each entry on as soon as its headers are whole.

    :param add: takes the entries, in order; ``feed`` raises what it raises
    """

    def __init__(self, add: Callable[[Entry], None], limits: Limits) -> None:
        self._add = add
        self._limits = limits
        self._position = 0
        self._skip = 0
        self._held = bytearray()
        self._ended = False
        self._steps = self._archive()
        self._wanted = next(self._steps)

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next piece. What follows the archive's end is not looked at.

        :raises ArchiveError: when the archive is corrupt or beyond the limits; do not feed it on then
        """
        view = memoryview(data)
        while view and not self._ended:
            wanted = self._skip or self._wanted - len(self._held)
            step = min(wanted, len(view))
            self._position += step
            if self._skip:
                self._skip -= step
            else:
                self._held += view[:step]
                self._advance()
            view = view[step:]

    def finish(self) -> None:
        """Say that no piece is left.

        :raises CorruptArchive: when the end of the archive was not among them
        """
        if not self._ended:
            raise CorruptArchive("tar: the archive is cut")

    def _advance(self) -> None:
        if len(self._held) < self._wanted:
            return
        taken, self._held = bytes(self._held), bytearray()
        try:
            self._wanted = self._steps.send(taken)
        except StopIteration:
            self._ended = True

    def _archive(self) -> Generator[int, bytes, None]:
        """Walk through the archive. Each yield asks for a number of bytes, which are its value."""
        extensions = Extensions()
        while (block := (yield BLOCK_BYTES)) != ZERO_BLOCK:
            header = parse_header(block)
            if header.type in EXTENSION_TYPES:
                extensions.add(header.type, (yield from self._body(header)))
            elif header.type in _IGNORED:
                self._skip = _padded(header.size)
            else:
                yield from self._member(header, extensions)
                extensions = Extensions()
        if (yield BLOCK_BYTES) != ZERO_BLOCK:
            raise CorruptArchive("tar: one block of zeros is not an end")
        if extensions.present:
            raise CorruptArchive("tar: an extended header at the end belongs to nothing")

    def _body(self, header: Header) -> Generator[int, bytes, bytes]:
        """Take the bytes of a header that extends the next one."""
        if header.size > self._limits.header_bytes:
            raise ArchiveLimit(f"tar: an extended header has {header.size} bytes")
        body = (yield _padded(header.size)) if header.size else b""
        return body[: header.size]

    def _member(self, header: Header, extensions: Extensions) -> Generator[int, bytes, None]:
        start = self._position
        header = extensions.extend(header)
        entry = entry_of(header, extensions.xattrs(), start)
        stored = stored_bytes(header, entry)
        if entry.kind is Kind.FILE and (extensions.present or header.type == b"S"):
            pairs, size = yield from self._sparse_map(header, extensions, entry.size)
            # Only the map of form 1.0 is a part of the bytes that the header counts.
            stored -= self._position - start if extensions.has_decimal_map else 0
            if pairs is not None:
                segments = sparse.segments(pairs, self._position, stored, size)
                entry = dataclasses.replace(entry, size=size, offset=self._position, segments=segments)
        self._add(entry)
        self._skip = _padded(stored)

    def _sparse_map(
        self, header: Header, extensions: Extensions, size: int
    ) -> Generator[int, bytes, tuple[sparse.Pairs | None, int]]:
        """Return the map of a sparse file, None for another, and the expanded size."""
        if header.type == b"S":
            return (yield from self._old_map(header))
        size = extensions.sparse_size(size)
        if extensions.has_decimal_map:
            return (yield from self._decimal_map()), size
        return extensions.sparse_pairs(), size

    def _old_map(self, header: Header) -> Generator[int, bytes, tuple[sparse.Pairs, int]]:
        pairs, more, size = sparse.old_map(header.block)
        while more:
            if len(pairs) * sparse.FIELD_BYTES > self._limits.header_bytes:
                raise ArchiveLimit("tar: a sparse map is too long")
            added, more = sparse.more_of_old_map((yield BLOCK_BYTES))
            if more and not added:
                raise CorruptArchive("tar: a sparse map has an empty part")
            pairs += added
        return pairs, size

    def _decimal_map(self) -> Generator[int, bytes, sparse.Pairs]:
        decimal = sparse.DecimalMap(self._limits.header_bytes)
        while not decimal.add((yield BLOCK_BYTES)):
            pass
        return decimal.pairs()


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
