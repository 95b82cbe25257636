"""One member of an archive as a value, whatever the format was. Knows no format."""

from __future__ import annotations

import enum
import stat
from dataclasses import dataclass

from regfs.archive.errors import ArchiveLimit, CorruptArchive
from regfs.archive.limits import NAME_BYTES, PATH_BYTES

MODE_BITS = 0o7777
OWNER_MAX = (1 << 32) - 1
SIZE_MAX = (1 << 63) - 1
# A time beyond is not refused, as no file's bytes depend on it; the year is 2262.
TIME_MAX_NS = (1 << 63) - 1

Path = tuple[str, ...]
Xattrs = tuple[tuple[str, bytes], ...]


class Kind(enum.IntEnum):
    """What a member is. The numbers stand in index files."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARDLINK = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6

    @property
    def file_type(self) -> int:
        """The file type bits of ``st_mode``. A hard link is a file."""
        return _FILE_TYPES[self]


_FILE_TYPES = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.HARDLINK: stat.S_IFREG,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of a file that are stored; between the segments of a sparse file are zeros.

    :param position: in the file
    :param offset: in the stored stream, in a tar that is the uncompressed archive
    """

    position: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive.

    :param name: as it stands in the archive; bytes that are not UTF-8 are surrogates
    :param size: bytes of the file as a reader sees it, sparse parts expanded
    :param mode: permission bits with setuid, setgid and sticky
    :param link: the text of a symbolic link, or the name that a hard link refers to
    :param device: major and minor number
    :param offset: where the stored bytes begin; the meaning is the format's
    :param segments: of a sparse file; None is one segment of *size* bytes at *offset*
    """

    name: str
    kind: Kind
    size: int = 0
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    link: str = ""
    xattrs: Xattrs = ()
    device: tuple[int, int] = (0, 0)
    offset: int = 0
    segments: tuple[Segment, ...] | None = None


def decode_name(name: bytes | bytearray) -> str:
    """Decode a name of an archive."""
    return name.decode("utf-8", "surrogateescape")


def encode_name(name: str) -> bytes:
    """Encode a name of an archive."""
    return name.encode("utf-8", "surrogateescape")


def parts(name: str) -> Path:
    """Split a member's name into the components of its place, which is never outside of the archive's root.

    ``./x``, ``/x``, ``x/`` and ``../x`` are the same place. Source: image-spec layer.md, and the cleaning of names
    that containerd and podman do before they unpack.
    """
    result: list[str] = []
    for component in name.split("/"):
        if component == "..":
            del result[-1:]
        elif component not in ("", "."):
            result.append(component)
    return tuple(result)


def require_name(name: bytes) -> bytes:
    """Return a name that Linux can hold.

    :raises CorruptArchive: when it has a NUL
    :raises ArchiveLimit: when it, or a component, is too long
    """
    require_link(name)
    if len(name) > NAME_BYTES and max(map(len, name.split(b"/"))) > NAME_BYTES:
        raise ArchiveLimit(f"a component of a name has more than {NAME_BYTES} bytes")
    return name


def require_link(link: bytes) -> bytes:
    """Return the text of a link that Linux can hold; raises as :func:`require_name`, whatever its components are."""
    if b"\0" in link:
        raise CorruptArchive("a name has a NUL")
    if len(link) > PATH_BYTES:
        raise ArchiveLimit(f"a name has {len(link)} bytes")
    return link
