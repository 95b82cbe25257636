"""How much of an archive regfs is willing to hold in memory, and to unpack. Archives come from strangers."""

from __future__ import annotations

from dataclasses import dataclass

# Linux takes no path beyond these, so that no other tool could unpack such an archive either.
PATH_BYTES = 4096
NAME_BYTES = 255


@dataclass(frozen=True)
class Limits:
    """What an archive may have before it is refused with ArchiveLimit.

    An entry costs about 300 bytes of memory in all, so that the default of a million entries is 300 MB; images of
    Debian with a desktop have 200,000.

    :param entries: members of one archive; also directories that exist only as a part of a member's path
    :param depth: components of a path
    :param header_bytes: of one PAX header, or of one map of a sparse file
    :param listing_bytes: names, link targets, extended attributes and sparse maps of one archive together
    :param unpacked_bytes: tar bytes that are fine for any blob
    :param ratio: tar bytes for each byte of the blob, beyond *unpacked_bytes*. Deflate reaches 1032
    :param table_bytes: of the JSON of an eStargz or zstd:chunked table, or of the directory of a zip
    :param chunk_bytes: of one chunk of such a table; a chunk is verified as a whole, in memory
    """

    entries: int = 1_000_000
    depth: int = 256
    header_bytes: int = 1 << 20
    listing_bytes: int = 256 << 20
    unpacked_bytes: int = 16 << 30
    ratio: int = 100
    table_bytes: int = 128 << 20
    chunk_bytes: int = 64 << 20


DEFAULT_LIMITS = Limits()
