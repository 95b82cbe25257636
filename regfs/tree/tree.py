"""From a path to what is there: namespaces, repositories, aliases, platforms, blobs. Reads no blob and writes nothing.

Names from a registry are hostile: a title that is not a harmless relative path, or that collides with another one,
is not used, and its blob goes by its digest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from regfs.metadata.catalog import Catalog
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.oci.reference import is_alias, is_component, is_digest, is_repository, split_name

OCI = ".oci"
BLOBS = ".blobs"
_MANIFEST = "manifest.json"
_CONFIG = "config.json"
_OCI_BLOBS = "blobs"
_DEPTH = 128  # components of a title
_FOLDERS = 50_000  # directories that the titles of one alias make; both keep what a manifest becomes in memory small
MAX_NAME = 255  # bytes of one component, NAME_MAX
_MANIFESTS = 64  # whose names of files are kept in memory, at most
_FILES = 200_000  # names of files kept in memory, of all manifests together; the largest manifest has half of that

Path = tuple[str, ...]


@dataclass(frozen=True)
class Directory:
    """A namespace, a repository, or both: a part of a repository name, from its start.

    :param certain: False where no catalog tells whether there is anything below it
    """

    name: str
    is_repository: bool = False
    certain: bool = True


@dataclass(frozen=True)
class Alias:
    """An alias, or a manifest by its digest; what it stands for is looked up when that is needed.

    :param pinned: a digest, or a platform of an index: immutable
    """

    repository: str
    name: str
    pinned: bool = False


@dataclass(frozen=True)
class Folder:
    """A directory inside an alias: the start of titles. An alias that is not in the registry yet has no manifest."""

    alias: Alias
    manifest: Manifest | None
    prefix: Path = ()


@dataclass(frozen=True)
class Platforms:
    """A multi-platform alias: a directory for each entry of its index."""

    alias: Alias
    index: Index


@dataclass(frozen=True)
class Nascent:
    """A directory made outside of any repository. The first file decides: where it lands is the alias."""

    path: Path


@dataclass(frozen=True)
class Blob:
    """A file whose bytes are a blob. Without an alias: by its digest in the hidden directories."""

    repository: str
    descriptor: Descriptor
    alias: Alias | None = None
    manifest: Manifest | None = None
    path: Path = ()


@dataclass(frozen=True)
class Document:
    """A file whose bytes are known: the manifest itself."""

    content: bytes


@dataclass(frozen=True)
class Hidden:
    """``.oci`` and ``.oci/blobs`` of an alias, ``.blobs`` of a repository: nothing is listed, names resolve."""

    repository: str
    alias: Alias | None = None
    manifest: Manifest | Index | None = None
    blobs: bool = False


Entry = Directory | Alias | Folder | Platforms | Nascent | Blob | Document | Hidden


@dataclass(frozen=True)
class Files:
    """The files of a manifest, and the directories that their titles make."""

    blobs: dict[Path, Descriptor] = field(default_factory=dict)
    folders: dict[Path, dict[str, bool]] = field(default_factory=lambda: {(): {}})

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
    """A title as a path; None when it is not a harmless relative one."""
    if not title or len(title) > 4096:
        return None
    path = tuple(title.split("/"))
    if len(path) > _DEPTH:
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
    """Name the blobs of a manifest: by title where it can be used, else by digest. One digest without a title is one
    file; two titles of one digest are two."""
    files = Files()
    for layer in manifest.layers:
        path = title_path(layer.title)
        if path is None or not files.add(path, layer):
            files.add((layer.digest,), layer)
    return files


def platforms_of(index: Index) -> dict[str, Descriptor]:
    """Name the entries of an index: ``os-arch[-variant]``; by digest where that is missing, repeated or harmful."""
    named: dict[str, Descriptor] = {}
    for entry in index.entries:
        name = entry.platform.join("-") if entry.platform else entry.digest
        if name in named or title_path(name) != (name,):
            name = entry.digest
        named.setdefault(name, entry)
    return named


class Tree:
    """What a mount shows.

    :param catalog: what the registry holds
    :param root: what the mount's root is
    :param platform: of multi-platform aliases that have it, only this one is shown, as ``os-arch[-variant]``
    """

    def __init__(self, catalog: Catalog, root: Directory | Alias, platform: str | None = None) -> None:
        self._catalog = catalog
        self._root = root
        self._platform = platform
        self.is_one_repository = (
            isinstance(root, Directory) and root.is_repository
        )  # one repository: nothing nested is shown
        self._lock = threading.Lock()  # of the three below
        self._made: set[Path] = set()  # directories that hold nothing the registry knows of
        self._files: LRUCache[str, Files] = LRUCache(
            _FILES, lambda files: max(len(files.blobs), _FILES // _MANIFESTS) + 1
        )
        self._below: tuple[frozenset[str], Mapping[str, set[str]]] = (frozenset(), {})

    def resolve(self, path: Path) -> Entry | None:
        """What is at *path*; None when nothing is."""
        entry: Entry | None = self._root
        for length, name in enumerate(path, 1):
            if entry is None:
                return None
            entry = self._child(entry, name, path[:length])
        return entry

    def open_directory(self, entry: Entry) -> Entry:
        """An alias as what it stands for: a folder or platforms. Any other entry is itself."""
        if not isinstance(entry, Alias):
            return entry
        manifest = self._catalog.manifest(entry.repository, entry.name)
        if isinstance(manifest, Index):
            chosen = platforms_of(manifest).get(self._platform or "")
            if chosen is not None:
                return self.open_directory(Alias(entry.repository, chosen.digest, pinned=True))
            return Platforms(entry, manifest)
        return Folder(entry, manifest)

    def children(self, entry: Entry, path: Path) -> Iterator[tuple[str, Entry]]:
        """The names in a directory, and what they are. The hidden ones are not among them."""
        entry = self.open_directory(entry)
        seen = set()
        for name, child in self._listed(entry, path):
            seen.add(name)
            yield name, child
        with self._lock:
            made = [made for made in self._made if made[:-1] == path and made[-1] not in seen]
        for directory in made:
            child_entry = self._in_made(entry, directory[-1], directory)
            if child_entry is not None:
                yield directory[-1], child_entry

    def make(self, path: Path) -> None:
        """Make a directory that is kept here until a file lands in it."""
        with self._lock:
            self._made.add(path)

    def unmake(self, path: Path) -> None:
        """Forget a made directory and everything made in it."""
        with self._lock:
            self._made -= {made for made in self._made if made[: len(path)] == path}

    def remake(self, old: Path, new: Path) -> None:
        """Take the directories made in *old* along to *new*."""
        with self._lock:
            below = {made for made in self._made if made[: len(old)] == old}
            self._made -= below
            self._made |= {new + made[len(old) :] for made in below if made != old}

    def landed(self, path: Path) -> None:
        """A file is in the registry now: the directories above it need not be kept here any more."""
        with self._lock:
            self._made -= {path[:length] for length in range(1, len(path))}

    def files(self, manifest: Manifest) -> Files:
        """The files of a manifest."""
        with self._lock:
            files = self._files.get(manifest.digest)
        if files is None:
            files = files_of(manifest)
            with self._lock:
                self._files[manifest.digest] = files
        return files

    def _child(self, entry: Entry, name: str, path: Path) -> Entry | None:
        if isinstance(entry, Alias):
            entry = self.open_directory(entry)
        if isinstance(entry, Directory):
            return self._in_directory(entry, name, path)
        if isinstance(entry, Folder):
            return self._in_folder(entry, name, path)
        if isinstance(entry, Platforms):
            return self._in_platforms(entry, name)
        if isinstance(entry, Hidden):
            return self._in_hidden(entry, name)
        return self._in_nascent(entry, name, path) if isinstance(entry, Nascent) else None

    def _in_nascent(self, nascent: Nascent, name: str, path: Path) -> Entry | None:
        full = "/".join((*nascent.path, name))
        if not self._catalog.has_catalog and is_component(name) and self._catalog.has_repository(full):
            return Directory(full, True)
        return self._in_made(nascent, name, path)

    def _in_directory(self, directory: Directory, name: str, path: Path) -> Entry | None:
        if name == BLOBS:
            return Hidden(directory.name, blobs=True) if directory.is_repository else None
        named = split_name(name)
        if named is not None:
            return self._named(directory, *named) or self._in_made(directory, name, path)
        full = _join(directory.name, name)
        if not self.is_one_repository and is_component(name):
            repositories, below = self._names()
            if full in repositories or full in below:
                return Directory(full, full in repositories)
        if directory.is_repository and is_alias(name) and name in (self._catalog.aliases(directory.name) or ()):
            return Alias(directory.name, name)
        if self.is_one_repository or not is_component(name):
            return self._in_made(directory, name, path)
        if self._catalog.has_repository(full):
            return Directory(full, True)
        return self._in_made(directory, name, path) or self._perhaps(directory, full)

    def _perhaps(self, directory: Directory, full: str) -> Directory | None:
        """A namespace that may be there: without a catalog, the names below it are found by going through it."""
        if directory.is_repository or self._catalog.has_catalog:
            return None
        return Directory(full, certain=False)

    def _named(self, directory: Directory, left: str, right: str) -> Alias | None:
        """``repository:alias`` and ``repository@digest``: looked up, not listed."""
        repository = _join(directory.name, left)
        if self.is_one_repository or not is_repository(repository) or self._catalog.manifest(repository, right) is None:
            return None
        self._catalog.visited(repository)
        return Alias(repository, right, pinned=is_digest(right))

    def _names(self) -> tuple[frozenset[str], Mapping[str, set[str]]]:
        """The repositories; and for each start of their names, what comes below it."""
        repositories = self._catalog.repositories()
        with self._lock:
            if self._below[0] is repositories:
                return self._below
        below: dict[str, set[str]] = {}
        for repository in repositories:
            parts = repository.split("/")
            for length, part in enumerate(parts):
                below.setdefault("/".join(parts[:length]), set()).add(part)
        with self._lock:
            self._below = (repositories, below)
        return repositories, below

    def _in_folder(self, folder: Folder, name: str, path: Path) -> Entry | None:
        alias, manifest, inside = folder.alias, folder.manifest, (*folder.prefix, name)
        if inside == (OCI,):
            return Hidden(alias.repository, alias, manifest) if manifest is not None else None
        if manifest is not None:
            files = self.files(manifest)
            if inside in files.blobs:
                return Blob(alias.repository, files.blobs[inside], alias, manifest, inside)
            if inside in files.folders:
                return Folder(alias, manifest, inside)
        return self._in_made(folder, name, path)

    def _in_made(self, entry: Entry, name: str, path: Path) -> Entry | None:
        """What a made directory is, from what it was made in."""
        with self._lock:
            if path not in self._made:
                return None
        if isinstance(entry, Folder):
            return Folder(entry.alias, entry.manifest, (*entry.prefix, name))
        above = entry.name if isinstance(entry, Directory) else "/".join(_nascent(entry))
        named = split_name(name)
        if named is not None:
            return Folder(Alias(_join(above, named[0]), named[1]), None)
        if isinstance(entry, Directory) and entry.is_repository:
            return Folder(Alias(entry.name, name), None)
        return Nascent((*_parts(above), name))

    def _in_platforms(self, platforms: Platforms, name: str) -> Entry | None:
        if name == OCI:
            return Hidden(platforms.alias.repository, platforms.alias, platforms.index)
        entry = platforms_of(platforms.index).get(name)
        return None if entry is None else Alias(platforms.alias.repository, entry.digest, pinned=True)

    def _in_hidden(self, hidden: Hidden, name: str) -> Entry | None:
        if hidden.blobs:
            return self._blob_by_digest(hidden, name)
        if hidden.manifest is None:
            return None
        if name == _MANIFEST:
            return Document(hidden.manifest.content)
        if name == _OCI_BLOBS:
            return Hidden(hidden.repository, hidden.alias, hidden.manifest, blobs=True)
        config = getattr(hidden.manifest, "config", None)
        return Blob(hidden.repository, config) if name == _CONFIG and config is not None else None

    def _blob_by_digest(self, hidden: Hidden, name: str) -> Blob | None:
        if not is_digest(name):
            return None
        if isinstance(hidden.manifest, Manifest):
            owned = (hidden.manifest.config, *hidden.manifest.layers)
            found = next((blob for blob in owned if blob is not None and blob.digest == name), None)
            return None if found is None else Blob(hidden.repository, found)
        if hidden.manifest is not None:
            return None
        size = self._catalog.blob_size(hidden.repository, name)
        return None if size is None else Blob(hidden.repository, Descriptor(name, size))

    def _listed(self, entry: Entry, path: Path) -> Iterator[tuple[str, Entry]]:
        if isinstance(entry, Directory):
            yield from self._listed_in_directory(entry)
        elif isinstance(entry, Platforms):
            for name, descriptor in platforms_of(entry.index).items():
                yield name, Alias(entry.alias.repository, descriptor.digest, pinned=True)
        elif isinstance(entry, Folder) and entry.manifest is not None:
            for name in self.files(entry.manifest).folders.get(entry.prefix, ()):
                child = self._in_folder(entry, name, (*path, name))
                if child is not None:
                    yield name, child

    def _listed_in_directory(self, directory: Directory) -> Iterator[tuple[str, Entry]]:
        nested = set() if self.is_one_repository else self._names()[1].get(directory.name, set())
        yield from self._nested(directory, nested)
        if directory.is_repository:
            for alias in sorted((self._catalog.aliases(directory.name) or frozenset()) - nested):
                yield alias, Alias(directory.name, alias)

    def _nested(self, directory: Directory, names: set[str]) -> Iterator[tuple[str, Entry]]:
        """Namespaces and repositories in a directory; beside a repository the aliases that one nested in it hides."""
        if not names:
            return
        repositories, below = self._names()
        for name in sorted(names):
            full = _join(directory.name, name)
            is_repository_too = full in repositories
            yield name, Directory(full, is_repository_too)
            if is_repository_too and full in below:  # aliases that a nested repository of the same name hides
                for alias in sorted(below[full] & (self._catalog.aliases(full) or frozenset())):
                    yield f"{name}:{alias}", Alias(full, alias)


def _join(name: str, more: str) -> str:
    return f"{name}/{more}" if name else more


def _parts(name: str) -> Path:
    return tuple(name.split("/")) if name else ()


def _nascent(entry: Entry) -> Path:
    return entry.path if isinstance(entry, Nascent) else ()
