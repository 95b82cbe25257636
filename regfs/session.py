"""Builds the object graph, from the bottom up, in parts: the only place where collaborators are chosen.

A session always has the registry and the cache. What changes tags is built when something is changed, the files of a
mount when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from regfs.cache.fetcher import Fetcher
from regfs.cache.store import BlobStore
from regfs.metadata.catalog import Catalog
from regfs.metadata.names import NameStore
from regfs.observe.counters import Activity
from regfs.oci.errors import InvalidManifest
from regfs.oci.manifest import Descriptor, Manifest
from regfs.oci.reference import Reference
from regfs.oci.titles import Path as TitlePath
from regfs.oci.titles import files_of
from regfs.registry.api import Registry, RegistryError
from regfs.registry.connect import CannotConnect, Connection, connect, explain
from regfs.registry.credential import Credential
from regfs.util.places import default_cache_dir, default_state_dir
from regfs.util.private import OTHERWISE, private_directory, private_state

if TYPE_CHECKING:
    from regfs.fs.filesystem import Filesystem
    from regfs.metadata.archives import Archives
    from regfs.tree.tree import Tree
    from regfs.write.blobs import BlobPusher
    from regfs.write.journal import Journal
    from regfs.write.publish import Publisher
    from regfs.write.tags import TagEditor


class Unusable(Exception):
    """The registry, or a directory of the user, cannot be used; the message is one line with the remedy."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options from which the object graph is built.

    :param ttl: seconds that remembered names of the registry are fresh
    :param cache_size: bytes; None is half of the free space
    :param strict: verify a whole blob before any byte of it is served
    :param rootfs: show the merged root of the image that the reference names
    :param whole: whether a registry that is named as a whole has to let the user in
    :param platform: in multi-platform tags, the only platform to show, as ``os-arch[-variant]``
    """

    reference: Reference
    connection: Connection = field(default_factory=Connection)
    read_only: bool = False
    repositories: tuple[str, ...] = ()
    ttl: float = 30.0
    cache_dir: Path = field(default_factory=default_cache_dir)
    cache_size: int | None = None
    state_dir: Path = field(default_factory=default_state_dir)
    strict: bool = False
    platform: str | None = None
    rootfs: bool = False
    whole: bool = True


class Graph:
    """The objects of one registry's session. Built after a fork, never before.

    :raises Unusable: when the registry, or a directory of the user's, is not usable; also when a part is asked for
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.activity = Activity()
        self.user = ""  # authenticated user name, or empty
        with _required():
            observed = replace(
                options.connection, observer=self.activity.exchanged, credential=self._noting_user(options)
            )
            self.remote: Registry = connect(options.reference, observed)
            self.cache = BlobStore(options.cache_dir, options.cache_size)
            private_state(options.state_dir)
            names = NameStore(options.cache_dir, options.reference.host)
        self.catalog = Catalog(self.remote, self.cache, names, options.ttl, options.repositories)
        self.fetcher = Fetcher(self.cache, self.remote.source, options.strict, self.activity)

    # What changes tags

    @cached_property
    def blobs(self) -> BlobPusher:
        """Pushes blobs."""
        from regfs.write.ahead import AheadUploads
        from regfs.write.blobs import BlobPusher

        return BlobPusher(self.remote, AheadUploads(self.remote.upload_ahead))

    @cached_property
    def tags(self) -> TagEditor:
        """Changes tags."""
        from regfs.write.tags import TagEditor
        from regfs.write.turns import Turns

        with _required():
            turns = Turns(self._options.state_dir / "locks", self._options.reference.host)
        return TagEditor(self.remote, self.catalog, self.blobs, turns, self._files)

    def _files(self, manifest: Manifest) -> Mapping[TitlePath, Descriptor]:
        """The files of a manifest: as the tree of a mount remembers them, when there is one."""
        return (self.tree.files.of(manifest) if "tree" in self.__dict__ else files_of(manifest)).blobs

    @cached_property
    def publisher(self) -> Publisher:
        """Pushes files and names them."""
        from regfs.write.publish import Publisher

        return Publisher(self.catalog, self.blobs, self.tags)

    @cached_property
    def journal(self) -> Journal:
        """Keeps the files that are not pushed yet."""
        from regfs.write.journal import Journal

        with _required():
            return Journal(self._options.state_dir / "journal", self._options.reference.host)

    # What a mount shows

    @cached_property
    def archives(self) -> Archives:
        """Opens the archives that blobs are."""
        from regfs.cache.indexes import IndexFiles
        from regfs.metadata.archives import Archives
        from regfs.metadata.opening import ArchiveOpener

        indexes = IndexFiles(self._options.cache_dir)
        return Archives(self.fetcher, ArchiveOpener(self.fetcher, indexes, self.cache, self.activity))

    @cached_property
    def tree(self) -> Tree:
        """Knows what is at which path."""
        from regfs.tree.tree import Tree

        options = self._options
        if options.whole:
            require_root(options.reference, self.catalog, self.remote, options.connection)
        repository, tag = options.reference.repository, options.reference.alias
        if options.rootfs and tag is None:
            raise Unusable(f"{options.reference}: --rootfs needs an image; name a tag or a digest")
        with self._explained(options.reference):
            return Tree(
                self.catalog,
                self.fetcher,
                self.archives,
                repository=repository,
                tag=tag,
                platform=options.platform,
                rootfs=options.rootfs,
            )

    @contextmanager
    def _explained(self, reference: Reference) -> Iterator[None]:
        """Say in one line why the root of the mount cannot be shown.

        :raises Unusable: in the place of what was raised
        """
        from regfs.tree.rootfs import NoImage

        try:
            yield
        except NoImage as error:
            raise Unusable(f"{reference}: {error}") from None
        except (RegistryError, InvalidManifest) as error:
            trail = self._options.connection.trail_to(reference)
            raise Unusable(explain(error, reference.host, trail)) from None

    @cached_property
    def filesystem(self) -> Filesystem:
        """Does what the kernel asks for."""
        from regfs.fs.errnos import explained
        from regfs.fs.filesystem import Filesystem
        from regfs.write.moves import Moves
        from regfs.write.open_files import Writings

        with _required():
            private_directory(self._options.state_dir / "mounts", OTHERWISE)
        writings = Writings(
            self.journal,
            self.publisher,
            self.blobs,
            self.tree,
            adopting=self.cache,
            activity=self.activity,
            explained=explained,
        )
        moves = Moves(self.tree, self.blobs, self.tags, writings)
        return Filesystem(self.tree, self.blobs, self.tags, moves, writings, self._options.read_only)

    def _noting_user(self, options: Options) -> Callable[[str, str], Credential | None]:
        def credential(host: str, repository: str) -> Credential | None:
            found = options.connection.credential(host, repository)
            if found is not None and host == options.reference.host:
                self.user = found.username
            return found

        return credential

    def __enter__(self) -> Graph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop transfers and close connections."""
        if "blobs" in self.__dict__:
            self.blobs.close()
        if "archives" in self.__dict__:
            self.archives.close()
        self.fetcher.close()
        self.remote.close()


@contextmanager
def _required() -> Iterator[None]:
    """Says in one line what cannot be used.

    :raises Unusable: in the place of what was raised
    """
    try:
        yield
    except CannotConnect as error:
        raise Unusable(str(error)) from None
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from None


def require_root(reference: Reference, catalog: Catalog, registry: Registry, connection: Connection) -> None:
    """Make sure that there is what the mount's root is to be: the registry, a repository or a tag.

    :raises Unusable: when the registry does not have it
    """
    repository, alias = reference.repository, reference.alias
    try:
        if repository is None:
            registry.check()
            return
        if alias is not None and catalog.manifest(repository, alias) is None:
            raise Unusable(f"{reference}: there is no such tag; mount the repository to see its tags")
        if alias is None and catalog.aliases(repository) is None and not catalog.has_namespace(repository):
            raise Unusable(f"{reference}: there is no such repository; to make it, mount the registry, then mkdir")
    except (RegistryError, InvalidManifest) as error:
        raise Unusable(explain(error, reference.host, connection.trail_to(reference))) from None
    if alias is not None or catalog.aliases(repository) is not None:
        catalog.visited(repository)
