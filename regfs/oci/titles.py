"""The paths that the blobs of a manifest get: from their titles where these can be used, else from their digests.

Pure. Titles come from a registry and are hostile: a title that is not a harmless relative path, or that collides with
another one, is not used, and its blob goes by its digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from regfs.oci.manifest import Descriptor, Manifest
from regfs.oci.producers import Form, named
from regfs.oci.reference import is_digest

OCI = ".oci"  # the hidden directory of a tag; no title begins with it
MAX_NAME = 255  # bytes of one component, NAME_MAX
_TITLE_CHARACTERS = 4096
_TITLE_COMPONENTS = 128
# How many directories the titles of one tag make, at most. Like the limit of components it keeps small in memory what
# a manifest becomes.
_FOLDERS = 50_000

Path = tuple[str, ...]


@dataclass(frozen=True)
class Files:
    """The files of a manifest, and the directories that their titles make.

    :param blobs: path → the blob there
    :param folders: path of a directory → the names in it, each with whether it is a file
    :param packed: those of the blobs that are directories packed in a tar
    """

    blobs: dict[Path, Descriptor] = field(default_factory=dict)
    folders: dict[Path, dict[str, bool]] = field(default_factory=lambda: {(): {}})
    packed: set[Path] = field(default_factory=set)

    def add(self, path: Path, descriptor: Descriptor) -> bool:
        """Name a blob; False when the name, or a directory that it needs, is taken, or there are too many of those."""
        if len(path) > 1 and len(self.folders) > _FOLDERS and path[:-1] not in self.folders:
            return False
        if path in self.blobs or path in self.folders:
            return False
        if any(path[:length] in self.blobs for length in range(1, len(path))):
            return False
        self.blobs[path] = descriptor
        for length in range(len(path)):
            self.folders.setdefault(path[:length], {}).setdefault(path[length], length + 1 == len(path))
        return True


def title_path(title: str | None) -> Path | None:
    """Return a title as a path; None when it is not a harmless relative one. ``./a``, ``a//b`` and ``a/`` are ones."""
    if not title or len(title) > _TITLE_CHARACTERS or title.startswith("/"):
        return None
    path = tuple(name for name in title.split("/") if name not in ("", "."))
    if not path or len(path) > _TITLE_COMPONENTS:
        return None
    if path[0] == OCI or is_digest(path[0]) or not all(map(_is_harmless, path)):
        return None
    return path


def _is_harmless(name: str) -> bool:
    if name in ("", ".", "..") or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return False
    try:
        return len(name.encode()) <= MAX_NAME
    except UnicodeEncodeError:
        return False


def files_of(manifest: Manifest) -> Files:
    """Name the blobs of a manifest: by title where it can be used, else by digest.

    One digest without a title is one file; two titles of one digest are two.
    """
    files = Files()
    for item in named(manifest):
        path = title_path(item.title)
        if path is None or not files.add(path, item.layer):
            files.add((item.layer.digest,), item.layer)
        elif item.form is Form.DIRECTORY:
            files.packed.add(path)
    return files
