"""What stat and the extended attributes say of an entry. Asks for nothing but sizes that a manifest does not give."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from regfs.cache.fetcher import Fetcher
from regfs.metadata.catalog import Catalog
from regfs.oci.manifest import CREATED, Descriptor, Index, Manifest
from regfs.tree.tree import Alias, Blob, Document, Entry, Folder, Platforms

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-]\d\d:\d\d))")
_XATTR = "user.regfs."
_NAME_BYTES = 255  # xattr(7)
_NAMES_BYTES = 60_000  # of the 64 KiB of a list
_VALUE_CHARACTERS = 16_000  # at most four bytes each, of 64 KiB


@dataclass(frozen=True)
class Attributes:
    """What stat says.

    :param size: bytes
    :param mtime_ns: nanoseconds since the epoch
    """

    is_directory: bool
    size: int
    mtime_ns: int
    writable: bool


class Describer:
    """Describes entries; of what has no time of its own, the time is when this was made."""

    def __init__(self, catalog: Catalog, fetcher: Fetcher) -> None:
        self._catalog = catalog
        self._fetcher = fetcher
        self._started_ns = time.time_ns() // 10**9 * 10**9

    def attributes(self, entry: Entry) -> Attributes:
        """What stat says of an entry."""
        if isinstance(entry, Blob):
            blob = self.sized(entry)
            writable = is_changeable(entry)
            return Attributes(False, blob.size, self._mtime(blob, entry.manifest), writable)
        if isinstance(entry, Document):
            return Attributes(False, len(entry.content), self._started_ns, False)
        return Attributes(True, 0, self._directory_mtime(entry), not (isinstance(entry, Alias) and entry.pinned))

    def sized(self, blob: Blob) -> Descriptor:
        """The blob's descriptor with its size, which a schema 1 manifest does not give.

        :raises OSError: EIO when the registry does not have the blob
        """
        found = self._catalog.sized(blob.repository, blob.descriptor)
        if found is None:
            raise OSError(errno.EIO, f"{blob.descriptor.digest} is not in {blob.repository}")
        return found

    def _directory_mtime(self, entry: Entry) -> int:
        manifest: Manifest | Index | None = None
        if isinstance(entry, Alias):
            manifest = self._catalog.known(entry.repository, entry.name)
        elif isinstance(entry, Folder):
            manifest = entry.manifest
        if manifest is None:
            return self._started_ns
        return self._stamped(manifest.annotations.get(CREATED), manifest.digest)

    def _mtime(self, blob: Descriptor, manifest: Manifest | None) -> int:
        created = blob.annotations.get(CREATED)
        if created is None and manifest is not None:
            created = manifest.annotations.get(CREATED)
        return self._stamped(created, blob.digest) + self._fetcher.generation(blob.digest)

    def _stamped(self, created: str | None, digest: str) -> int:
        """The time of *created*, else the mount's start, with nanoseconds from the digest: other bytes, other time."""
        seconds = seconds_of(created)
        start = self._started_ns if seconds is None else seconds * 10**9
        return start + int(digest.partition(":")[2][:8], 16) % 10**9


def xattrs_of(entry: Entry) -> dict[str, str]:
    """The extended attributes of a blob, or of what an alias stands for: digests, types, annotations."""
    if isinstance(entry, Blob):
        blob = entry.descriptor
        found = {f"{_XATTR}digest": blob.digest, f"{_XATTR}media_type": blob.media_type}
        return found | _annotations(blob.annotations)
    if isinstance(entry, Platforms):
        return _alias_xattrs(entry.index)
    if isinstance(entry, Folder) and entry.manifest is not None and not entry.prefix:
        return _alias_xattrs(entry.manifest)
    return {}


def is_changeable(blob: Blob) -> bool:
    """Whether there is an alias in which the blob could be another one, or none."""
    return blob.alias is not None and not blob.alias.pinned and (blob.manifest is None or blob.manifest.writable)


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


def _alias_xattrs(manifest: Manifest | Index) -> dict[str, str]:
    found = {
        f"{_XATTR}digest": manifest.digest,
        f"{_XATTR}manifest_digest": manifest.digest,
        f"{_XATTR}media_type": manifest.media_type,
        **_annotations(manifest.annotations),
    }
    if manifest.artifact_type:
        found[f"{_XATTR}artifact_type"] = manifest.artifact_type
    return found


def seconds_of(created: str | None) -> int | None:
    """An RFC 3339 time as seconds since the epoch; None for what is not one, or is before it."""
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
