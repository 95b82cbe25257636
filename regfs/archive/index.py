"""What one pass over a tar blob finds out: its names, its digests, and where it can be unpacked from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from regfs.archive.compression.formats import Compression
from regfs.archive.errors import DigestMismatch
from regfs.archive.listing import Listing
from regfs.archive.points import Points

# To unpack so much for one byte takes 50 ms; what needs more is unpacked once and kept.
SEEKABLE_SPAN_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Index:
    """Of one tar, compressed or not. Everything in it is of the blob with *blob_digest*.

    :param blob_bytes: of the blob as the registry holds it
    :param tar_digest: of the uncompressed tar, which an image's config calls DiffID
    :param points: where the stream can be unpacked from; none when it is not compressed
    :param window_bytes: what an unpacker of the stream needs to remember
    :param piece_digests: the SHA-256 of each MiB of the blob, one after the other
    """

    blob_digest: str
    blob_bytes: int
    tar_digest: str
    tar_bytes: int
    compression: Compression
    points: Points
    window_bytes: int
    piece_digests: bytes
    listing: Listing

    @cached_property
    def is_seekable(self) -> bool:
        """Whether a byte in the middle can be read from the blob alone; else the unpacked tar is needed."""
        if self.compression is Compression.NONE:
            return True
        return max(self.points.longest(self.tar_bytes), self.window_bytes) <= SEEKABLE_SPAN_BYTES

    def require_tar_digest(self, digest: str) -> None:
        """Compare the tar with the DiffID that an image's config promises.

        :raises DigestMismatch: when it is another
        """
        if self.tar_digest != digest:
            raise DigestMismatch("uncompressed tar", digest, self.tar_digest)
