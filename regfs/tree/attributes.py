"""What stat and the extended attributes say. Pure values and how they are made of descriptors and annotations."""

from __future__ import annotations

import re
import stat
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from regfs.oci.images import may_be_image
from regfs.oci.manifest import Descriptor, Index, Manifest

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-]\d\d:\d\d))")
_XATTR = "user.regfs."
ROOTFS = ".oci/rootfs"  # of an image, from its tag
_NAME_BYTES = 255  # xattr(7)
_NAMES_BYTES = 60_000  # of the 64 KiB of a list
_VALUE_CHARACTERS = 16_000  # at most four bytes each, of 64 KiB


_NO_XATTRS: Mapping[str, bytes] = {}  # one for all: a mount remembers what it said of 100,000 files


class Kind(Enum):
    """The type of a file, as the bits that stat(2) has for it."""

    DIRECTORY = stat.S_IFDIR
    FILE = stat.S_IFREG
    SYMLINK = stat.S_IFLNK
    FIFO = stat.S_IFIFO
    SOCKET = stat.S_IFSOCK
    BLOCK_DEVICE = stat.S_IFBLK
    CHARACTER_DEVICE = stat.S_IFCHR


@dataclass(frozen=True, slots=True)
class Attributes:
    """What stat says. A registry knows little of it: what is None is the mount's to say.

    :param size: bytes
    :param mtime_ns: nanoseconds since the epoch
    :param writable: whether it can be changed at all
    :param mode: permission bits; None for those of every file, or directory, of the mount
    :param uid: owner; None for the mount's
    :param gid: group; None for the mount's
    :param nlink: number of names; None for 1, or 2 of a directory
    :param inode: equal for two names of one file; None where nothing is known of that
    :param rdev: the device's number
    :param link_target: where a symbolic link leads
    :param xattrs: extended attributes
    :param content: equal for two files only if they have the same bytes: a content id, or the file that is being
        written; None for a directory
    """

    kind: Kind
    size: int
    mtime_ns: int
    writable: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    nlink: int | None = None
    inode: int | None = None
    rdev: int = 0
    link_target: str | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=lambda: _NO_XATTRS)
    content: Hashable = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind is Kind.DIRECTORY


def stamped(created: str | None, digest: str, started_ns: int) -> int:
    """Return the time of *created*, else *started_ns*, with nanoseconds from the digest: other bytes, other time."""
    seconds = seconds_of(created)
    start = started_ns if seconds is None else seconds * 10**9
    return start + int(digest.partition(":")[2][:8], 16) % 10**9


def seconds_of(created: str | None) -> int | None:
    """Return an RFC 3339 time as seconds since the epoch; None for what is not one, or is before it."""
    match = _RFC3339.fullmatch(created or "")
    if match is None:
        return None
    date, clock, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{offset or '+00:00'}")
    except ValueError:
        return None
    seconds = int(moment.astimezone(timezone.utc).timestamp())
    return seconds if seconds >= 0 else None


def xattrs_of_blob(blob: Descriptor) -> dict[str, bytes]:
    """Return the extended attributes of a blob: digest, type, annotations."""
    found = {f"{_XATTR}digest": blob.digest, f"{_XATTR}media_type": blob.media_type}
    return _encoded(found | _annotations(blob.annotations))


def xattrs_of_tag(manifest: Manifest | Index) -> dict[str, bytes]:
    """Return the extended attributes of what a tag stands for: digests, types, annotations."""
    found = {
        f"{_XATTR}digest": manifest.digest,
        f"{_XATTR}manifest_digest": manifest.digest,
        f"{_XATTR}media_type": manifest.media_type,
        **_annotations(manifest.annotations),
    }
    if manifest.artifact_type:
        found[f"{_XATTR}artifact_type"] = manifest.artifact_type
    if isinstance(manifest, Manifest) and may_be_image(manifest):
        found[f"{_XATTR}rootfs"] = ROOTFS
    return _encoded(found)


def _encoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {name: value.encode(errors="replace") for name, value in values.items()}


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those that an extended attribute can have: xattr(7) limits the name, the value, and the list of names."""
    found: dict[str, str] = {}
    room = _NAMES_BYTES
    for key, value in annotations.items():
        name = f"{_XATTR}annotation.{key}"
        length = len(name.encode(errors="replace"))
        if key and "\0" not in key and name.isprintable() and length <= _NAME_BYTES and length < room:
            found[name] = value[:_VALUE_CHARACTERS]
            room -= length + 1
    return found
