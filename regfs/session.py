"""Builds the object graph, from the bottom up: the only place where collaborators are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import platformdirs

from regfs.cache.fetcher import Fetcher
from regfs.cache.store import BlobCache
from regfs.exceptions import DXFError
from regfs.fs.filesystem import Filesystem
from regfs.metadata.catalog import Catalog
from regfs.metadata.names import NameStore
from regfs.observe.counters import Activity
from regfs.oci.manifest import InvalidManifest
from regfs.oci.reference import Reference, is_digest
from regfs.registry.connect import CannotConnect, Connection, connect, explain
from regfs.registry.http.auth import Credential
from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import RequestException
from regfs.tree.attributes import Describer
from regfs.tree.tree import Alias, Directory, Tree
from regfs.util.private import OTHERWISE, private_directory, private_state
from regfs.write.moves import Moves
from regfs.write.open_files import Writings
from regfs.write.publish import Publisher
from regfs.write.rules import Placement
from regfs.write.staging import Journal


class Unusable(Exception):
    """The registry, or a directory of the user, cannot be used; the message is one line with the remedy."""


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/regfs``."""
    return Path(platformdirs.user_cache_dir("regfs"))


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/regfs``: the journal and the logs."""
    return Path(platformdirs.user_state_dir("regfs"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options from which the object graph is built.

    :param ttl: seconds that remembered names of the registry are fresh
    :param cache_size: bytes; None is half of the free space
    :param strict: verify a whole blob before any byte of it is served
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


class Graph:
    """The objects of one mount, built from the bottom up. Built after a fork, never before.

    :raises Unusable: when the registry, or a directory of the user's, is not usable
    """

    def __init__(self, options: Options) -> None:
        self.activity = Activity()
        self.user = ""  # authenticated user name, or empty
        with _required():
            observed = replace(
                options.connection, observer=self.activity.exchanged, credential=self._noting_user(options)
            )
            self.remote: Remote = connect(options.reference, observed)
            self.cache = BlobCache(options.cache_dir, options.cache_size)
            private_state(options.state_dir)
            for name in ("locks", "mounts"):
                private_directory(options.state_dir / name, OTHERWISE)
            self.journal = Journal(options.state_dir / "journal", options.reference.host)
            names = NameStore(options.cache_dir, options.reference.host)
        self.catalog = Catalog(self.remote, self.cache, names, options.ttl, options.repositories)
        self.fetcher = Fetcher(self.cache, self.remote.source, options.strict, self.activity)
        self.tree = Tree(self.catalog, root_of(options.reference, self.catalog), options.platform)
        self.publisher = Publisher(self.remote, self.catalog, self.tree.files, options.state_dir / "locks")
        self.filesystem = self._filesystem(options.read_only)

    def _filesystem(self, read_only: bool) -> Filesystem:
        describer, placement = Describer(self.catalog, self.fetcher), Placement(self.tree)
        writings = Writings(
            self.journal,
            self.publisher,
            self.fetcher,
            describer,
            placement,
            adopting=self.cache,
            landed=self.tree.landed,
            activity=self.activity,
        )
        return Filesystem(
            self.tree,
            self.catalog,
            self.fetcher,
            self.publisher,
            describer,
            placement,
            Moves(self.tree, placement, self.publisher),
            writings,
            read_only,
        )

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
        self.publisher.close()
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


def root_of(reference: Reference, catalog: Catalog) -> Directory | Alias:
    """What the mount's root is: the registry, a repository or an alias.

    :raises Unusable: when the registry does not have it
    """
    repository, alias = reference.repository, reference.alias
    if repository is None:
        return Directory("")
    try:
        if alias is not None and catalog.manifest(repository, alias) is None:
            raise Unusable(f"{reference}: there is no such tag; mount the repository to see its tags")
        if alias is None and catalog.aliases(repository) is None:
            raise Unusable(f"{reference}: there is no such repository; to make it, mount the registry, then mkdir")
    except (RequestException, DXFError, InvalidManifest) as error:
        raise Unusable(explain(error, reference.host)) from None
    catalog.visited(repository)
    if alias is None:
        return Directory(repository, is_repository=True)
    return Alias(repository, alias, pinned=is_digest(alias))
