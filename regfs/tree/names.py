"""Names made of the registry's answers, remembered: what is below a namespace, and the files of a manifest."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from cachetools import LRUCache

from regfs.metadata.catalog import Catalog
from regfs.oci.manifest import Manifest
from regfs.oci.titles import Files, files_of

_MANIFESTS = 64  # whose names of files are kept in memory, at most
_FILES = 200_000  # names of files kept in memory, of all manifests together; the largest manifest has half of that


class FileNames:
    """The files of the manifests that were looked into last. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # innermost
        self._files: LRUCache[str, Files] = LRUCache(
            _FILES, lambda files: max(len(files.blobs), _FILES // _MANIFESTS) + 1
        )

    def of(self, manifest: Manifest) -> Files:
        """Return the files of a manifest."""
        with self._lock:
            files = self._files.get(manifest.digest)
        if files is None:
            files = files_of(manifest)
            with self._lock:
                self._files[manifest.digest] = files
        return files


class RepositoryNames:
    """The repositories, and for each start of their names what comes below it. May be called from any thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()  # innermost
        self._known: tuple[frozenset[str], Mapping[str, set[str]]] = (frozenset(), {})

    def get(self) -> tuple[frozenset[str], Mapping[str, set[str]]]:
        """Return the repositories; and the start of a name → what comes below it. ``""`` is the root."""
        repositories = self._catalog.repositories()
        with self._lock:
            if self._known[0] is repositories:
                return self._known
        below: dict[str, set[str]] = {}
        for repository in repositories:
            parts = repository.split("/")
            for length, part in enumerate(parts):
                below.setdefault("/".join(parts[:length]), set()).add(part)
        with self._lock:
            self._known = (repositories, below)
        return repositories, below


def join(name: str, more: str) -> str:
    """Return the name of a repository, or of a namespace, in a namespace."""
    return f"{name}/{more}" if name else more
