"""The errors of this room. One tree, so that a caller can translate all of it with one clause.

::

    ArchiveError
    ├── CorruptArchive       the bytes break the format: a cut, a wrong checksum, a link to nothing
    ├── ArchiveLimit         the archive is beyond a limit of regfs
    ├── UnsupportedArchive   the format, or a part of it, is not read by regfs
    │   └── NotSeekable      no byte in the middle can be read without unpacking everything before it
    ├── DigestMismatch       the bytes do not have the digest that was promised
    ├── CorruptIndex         an index file is torn, damaged, or of another version
    └── LayerPending         the answer depends on a layer that is not indexed yet

An error of the blob reader itself (OSError, an error of the registry) passes through unchanged.
"""

from __future__ import annotations


class ArchiveError(Exception):
    """Something about an archive keeps regfs from answering. A file system says EIO."""


class CorruptArchive(ArchiveError):
    """The bytes break the format."""


class ArchiveLimit(ArchiveError):
    """The archive is beyond a limit of regfs; see :class:`regfs.archive.limits.Limits`."""


class UnsupportedArchive(ArchiveError):
    """The format, or a part of it, is not read by regfs."""


class NotSeekable(UnsupportedArchive):
    """A byte in the middle cannot be read without unpacking everything before it; unpack the tar once, and keep it."""


class DigestMismatch(ArchiveError):
    """The bytes do not have the digest that was promised."""

    def __init__(self, subject: str, expected: str, actual: str) -> None:
        super().__init__(f"{subject}: expected digest {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class CorruptIndex(ArchiveError):
    """An index file is torn, damaged, or of another version. Remove it, and index the blob again."""


class LayerPending(ArchiveError):
    """The answer depends on a layer that is not indexed yet.

    :param number: of the layer, the lowest one being 1
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"layer {number} is not indexed yet")
        self.number = number
