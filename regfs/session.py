"""Builds the object graph, from the bottom up: the only place where collaborators are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import platformdirs

from regfs.cache.fetcher import Fetcher
from regfs.cache.indexes import IndexFiles
from regfs.cache.store import BlobCache
from regfs.exceptions import DXFError
from regfs.fs.filesystem import Filesystem
from regfs.metadata.archives import Archives
from regfs.metadata.catalog import Catalog
from regfs.metadata.names import NameStore
from regfs.observe.counters import Activity
from regfs.oci.manifest import InvalidManifest
from regfs.oci.reference import Reference
from regfs.registry.connect import CannotConnect, Connection, connect, explain
from regfs.registry.http.auth import Credential
from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import RequestException
from regfs.tree.tree import Tree
from regfs.util.private import OTHERWISE, private_directory, private_state
from regfs.write.moves import Moves
from regfs.write.open_files import Writings
from regfs.write.publish import Publisher
from regfs.write.staging import Journal


class Unusable(Exception):
    """The registry, or a directory of the user's, cannot be used; the text is one line that says what to do."""


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/regfs``."""
    return Path(platformdirs.user_cache_dir("regfs"))


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/regfs``: the journal and the logs."""
    return Path(platformdirs.user_state_dir("regfs"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the object graph is built for.

    :param ttl: seconds that what is known of the registry's names is fresh
    :param cache_size: bytes; None is half of what is free
    :param strict: verify every blob whole before any byte of it is served
    :param platform: of multi-platform aliases, the one to show, as ``os-arch[-variant]``
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
        self.user = ""  # whom the registry was told that this is; nobody when it did not ask
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
        require_root(options.reference, self.catalog)
        repository, tag = options.reference.repository, options.reference.alias
        self.archives = Archives(self.fetcher, IndexFiles(options.cache_dir), self.cache)
        self.tree = Tree(
            self.catalog, self.fetcher, self.archives, repository=repository, tag=tag, platform=options.platform
        )
        self.publisher = Publisher(self.remote, self.catalog, self.tree.files.of, options.state_dir / "locks")
        self.filesystem = self._filesystem(options.read_only)

    def _filesystem(self, read_only: bool) -> Filesystem:
        writings = Writings(self.journal, self.publisher, self.tree, adopting=self.cache, activity=self.activity)
        moves = Moves(self.tree, self.publisher, writings)
        return Filesystem(self.tree, self.publisher, moves, writings, read_only)

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


def require_root(reference: Reference, catalog: Catalog) -> None:
    """Make sure that there is what the mount's root is to be: the registry, a repository or a tag.

    :raises Unusable: when the registry does not have it
    """
    repository, alias = reference.repository, reference.alias
    if repository is None:
        return
    try:
        if alias is not None and catalog.manifest(repository, alias) is None:
            raise Unusable(f"{reference}: there is no such alias; mount the repository to see which there are")
        if alias is None and catalog.aliases(repository) is None:
            raise Unusable(f"{reference}: there is no such repository; to make it, mount the registry, then mkdir")
    except (RequestException, DXFError, InvalidManifest) as error:
        raise Unusable(explain(error, reference.host)) from None
    catalog.visited(repository)
