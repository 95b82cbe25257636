"""What the registry holds, remembered for a while: repositories, aliases, manifests. Knows no paths.

An answer is fresh for the time to live, then asked for again, with the digest known where the protocol allows. When
the registry cannot be reached, what is known is served and the log says so. Everything may be called from any thread;
concurrent askers of one thing share one request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, TypeVar, cast

from cachetools import LRUCache

from regfs.cache.store import BlobStore
from regfs.metadata.names import NameStore
from regfs.oci import manifest as manifests
from regfs.oci.errors import InvalidManifest
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.oci.reference import is_alias, is_digest, is_repository
from regfs.registry.api import (
    Busy,
    Denied,
    Failed,
    Interrupted,
    Invalid,
    NoSpace,
    NotFound,
    NotModified,
    Registry,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unreachable,
    Unsupported,
)
from regfs.util.single_flight import SingleFlight

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_AWAY = (Unreachable, Interrupted, TimedOut)
_TRANSIENT = (*_AWAY, Busy, Failed)
_REFUSED = (Denied, Invalid, NoSpace, NotFound, TooLarge, Unauthenticated, Unsupported)
_MISSING = 5.0  # seconds that what is not there is remembered, at most
_UNREACHABLE = 5.0  # seconds between tries while stale answers are served
_OUTAGE = 60.0  # seconds without a stale answer after which the next one is of another outage
_MANIFEST_MEMORY = 256 << 20  # bytes of manifests kept parsed, and what is made of them; 100,000 layers are 110 MB
_PARSED = 6  # times its bytes that a parsed manifest takes, about
_CATALOG = ("catalog",)
_VISITED = ("visited",)
_NAMES = 100_000  # answers kept of each kind


@dataclass(frozen=True)
class _Answer:
    value: Any
    until: float  # time.monotonic()


class Catalog:
    """The registry's names and manifests.

    :param names: the last answers, for when the registry cannot be reached
    :param ttl: seconds that an answer is fresh
    :param named: repositories to list where the registry has no catalog
    """

    def __init__(
        self, remote: Registry, cache: BlobStore, names: NameStore, ttl: float, named: Iterable[str] = ()
    ) -> None:
        self._remote = remote
        self._cache = cache
        self._names = names
        self._silent_until = 0.0  # time.monotonic(); what is known is served up to then
        self._stale_logged: float | None = None  # time.monotonic()
        self._is_back = True  # or its being away was logged
        self._catalog_told = float("-inf")  # time.monotonic() of the last answer that had names
        self._ttl = ttl
        self._lock = threading.Lock()
        self._visited = set(named)
        self._together: tuple[frozenset[str], int, frozenset[str]] = frozenset(), 0, frozenset()
        self._visited_before: frozenset[str] = names.get(_VISITED) or frozenset()
        self._answers: LRUCache[tuple[str, ...], _Answer] = LRUCache(_NAMES)
        self._denials: LRUCache[tuple[str, ...], _Answer] = LRUCache(_NAMES)
        self._manifests: LRUCache[str, Manifest | Index] = LRUCache(
            _MANIFEST_MEMORY, lambda m: _PARSED * len(m.content) + 1024
        )
        self._flights: SingleFlight[tuple[str, ...], Any] = SingleFlight()

    def repositories(self) -> frozenset[str]:
        """The repositories that there are; without a catalog, those named and those visited, also by other mounts.

        The same object as long as nothing changed.
        """
        listed = self._listed()
        with self._lock:
            base = self._visited_before if listed is None else listed
            if self._together[0] is not base or self._together[1] != len(self._visited):
                self._together = base, len(self._visited), base | self._visited
            return self._together[2]

    def _listed(self) -> frozenset[str] | None:
        def ask(known: frozenset[str] | None) -> frozenset[str] | None:
            names = self._remote.repositories()
            if names is None:  # there is none, or it is refused: in passing, where there was one a moment ago
                if monotonic() >= self._catalog_told + self._ttl + _OUTAGE:
                    return None
                log.info("the registry refuses its catalog; the repositories that it told of are listed")
                return known
            self._catalog_told = monotonic()
            return frozenset(filter(is_repository, names))

        try:
            return self._remembered(_CATALOG, ask)
        except _AWAY:
            if not self._visited_before:
                raise
            return None

    def has_namespace(self, name: str) -> bool:
        """Whether *name* may be a part of the names of repositories: one is below it, or no catalog tells."""
        return not self.has_catalog or any(other.startswith(f"{name}/") for other in self.repositories())

    @property
    def has_catalog(self) -> bool:
        """Whether the registry tells which repositories it has."""
        return self._listed() is not None

    def has_repository(self, name: str) -> bool:
        """Whether there is a repository *name*; where there is no catalog to tell, the registry is asked for it."""
        if name in self.repositories():
            return True
        if self._listed() is not None or not is_repository(name) or not self._answers_for(name):
            return False
        self.visited(name)
        return True

    def _answers_for(self, name: str) -> bool:
        """Whether the registry shows the aliases of a repository. Many deny what is not there, as if it were secret."""
        try:
            return bool(self.aliases(name))  # some answer with no tags for any name
        except (Denied, Unauthenticated):
            return False

    def visited(self, repository: str) -> None:
        """List *repository* from now on, also where no catalog does."""
        with self._lock:
            if repository in self._visited:
                return
            self._visited.add(repository)
        self._names.put(_VISITED, (self._names.get(_VISITED) or frozenset()) | {repository})

    def aliases(self, repository: str) -> frozenset[str] | None:
        """The aliases of a repository; None when the registry does not know it."""

        try:
            return self._list_of_tags(repository)
        except Unsupported:
            return frozenset()

    def _list_of_tags(self, repository: str) -> frozenset[str] | None:
        def ask(_: object) -> frozenset[str] | None:
            names = self._remote.tags(repository)
            return None if names is None else frozenset(filter(is_alias, names))

        return self._remembered(("aliases", repository), ask)

    def may_be_namespace(self, name: str) -> bool:
        """Whether repositories may be below *name*, which is none: not where any name has a list of no tags."""
        if self.has_catalog:
            return self.has_namespace(name)
        try:
            return self._list_of_tags(name) is None
        except (Denied, Unauthenticated, Unsupported):
            return True

    def has_tag(self, repository: str, tag: str) -> bool:
        """Whether there is a tag. Lists can be late, cut off or empty: the manifest tells of what they do not have.

        While a list is fresh, it is believed, so that names that are not there cost no request.
        """
        key = ("aliases", repository)
        with self._lock:
            answer = self._answers.get(key)
        is_fresh = answer is not None and monotonic() < answer.until
        listed = self.aliases(repository)
        if listed is None or tag in listed:
            return listed is not None
        if not listed:
            return self.manifest(repository, tag) is not None
        if is_fresh or monotonic() < self._silent_until or not self._has_unlisted(repository, tag):
            return False
        self._edit(key, lambda names: (names or frozenset()) | {tag})
        return True

    def _has_unlisted(self, repository: str, tag: str) -> bool:
        try:
            return self.manifest(repository, tag) is not None
        except InvalidManifest:
            return True
        except (*_REFUSED, *_TRANSIENT):
            return False

    def manifest(self, repository: str, reference: str) -> Manifest | Index | None:
        """What an alias or digest stands for; None when the repository does not have it.

        :raises InvalidManifest: when it is not a manifest
        :raises RegistryError: when the answer is not to be trusted, or there is none and nothing is known
        """
        if is_digest(reference):
            return self._by_digest(repository, reference)
        digest: str | None = self._remembered(("alias", repository, reference), self._asking(repository, reference))
        return None if digest is None else self._by_digest(repository, digest)

    def _asking(self, repository: str, alias: str, mirrored: bool = True) -> Callable[[str | None], str | None]:
        def ask(known: str | None) -> str | None:
            held = known if known is not None and self._kept(known) is not None else None
            answer = self._remote.manifest(repository, alias, held, mirrored=mirrored)
            if isinstance(answer, NotModified):
                return held
            return None if answer is None else self._keep(answer)

        return ask

    def current(self, repository: str, alias: str, *, mirrored: bool = False) -> Manifest | Index | None:
        """What an alias stands for at this moment: always asked, never stale.

        :param mirrored: whether a mirror may answer; not who is about to change it
        :raises: as :meth:`manifest`, and when the registry cannot be reached
        """
        with self._lock:
            answer = self._answers.get(("alias", repository, alias))
        digest = self._asking(repository, alias, mirrored)(None if answer is None else answer.value)
        self._remember(("alias", repository, alias), digest)
        return None if digest is None else self._by_digest(repository, digest)

    def _by_digest(self, repository: str, digest: str) -> Manifest | Index | None:
        kept = self._kept(digest)
        if kept is not None:
            return kept

        def ask() -> Manifest | Index | None:
            answer = self._remote.manifest(repository, digest)
            if isinstance(answer, Manifest | Index):
                self._keep(answer)
                return answer
            return None

        found: Manifest | Index | None = self._flights.do(("digest", repository, digest), ask)
        return found

    def known(self, repository: str, alias: str) -> Manifest | Index | None:
        """What is remembered of an alias, however old; makes no request."""
        with self._lock:
            answer = self._answers.get(("alias", repository, alias))
            return None if answer is None or answer.value is None else self._manifests.get(answer.value)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Size in bytes of a blob whose manifest does not say; None when the repository does not have it."""
        return self._remembered(("size", repository, digest), lambda _: self._remote.blob_size(repository, digest))

    def sized(self, repository: str, blob: Descriptor) -> Descriptor | None:
        """*blob* with its size, which a schema 1 manifest does not give; None when the repository does not have it."""
        if blob.size >= 0:
            return blob
        size = self.blob_size(repository, blob.digest)
        return None if size is None else replace(blob, size=size)

    def put(self, repository: str, alias: str, content: bytes, media_type: str) -> Manifest | Index:
        """Give a manifest to an alias and remember that it is so."""
        self._remote.put_manifest(repository, alias, content, media_type)
        manifest = manifests.parse(content, media_type)
        digest = self._keep(manifest)
        with self._lock:
            old = self._answers.get(("alias", repository, alias))
            if old is not None and old.value != digest:  # a writer of many files makes as many, and looks at none again
                self._manifests.pop(old.value, None)
        self._remember(("alias", repository, alias), digest)
        self._names.put(("alias", repository, alias), digest)
        self._edit(("aliases", repository), lambda names: (names or frozenset()) | {alias})
        self._edit(_CATALOG, lambda names: None if names is None else names | {repository})
        self.visited(repository)
        return manifest

    def forget(self, repository: str, alias: str) -> None:
        """Note that an alias is gone."""
        self._remember(("alias", repository, alias), None)
        self._names.put(("alias", repository, alias), None)
        self._edit(("aliases", repository), lambda names: None if names is None else names - {alias})

    def _edit(self, key: tuple[str, ...], edit: Callable[[frozenset[str] | None], frozenset[str] | None]) -> None:
        """Change what is remembered, here and on disk, without asking again."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers[key] = _Answer(edit(answer.value), answer.until)
        self._names.put(key, edit(self._names.get(key)))

    def _keep(self, manifest: Manifest | Index) -> str:
        self._keep_parsed(manifest.digest, manifest)
        if manifests.digest_of(manifest.content, manifest.digest) == manifest.digest:  # schema 1 has another digest
            self._cache.add(manifest.digest, manifest.content)
        return manifest.digest

    def _kept(self, digest: str) -> Manifest | Index | None:
        with self._lock:
            manifest = self._manifests.get(digest)
        if manifest is not None:
            return manifest
        content = self._cache.read(digest)
        if content is None or manifests.digest_of(content, digest) != digest:
            return None
        try:
            manifest = manifests.parse(content, None, digest)
        except InvalidManifest:
            return None
        self._keep_parsed(digest, manifest)
        return manifest

    def _keep_parsed(self, digest: str, manifest: Manifest | Index) -> None:
        with self._lock:
            if _PARSED * len(manifest.content) + 1024 < _MANIFEST_MEMORY:
                self._manifests[digest] = manifest

    def _remembered(self, key: tuple[str, ...], ask: Callable[[Any], Value]) -> Value:
        with self._lock:
            answer, denial = self._answers.get(key), self._denials.get(key)
        if denial is not None and monotonic() < denial.until:
            raise denial.value.with_traceback(None)
        if answer is not None and monotonic() < answer.until:
            value: Value = answer.value
            return value
        fresh: Value = self._flights.do(key, lambda: self._asked(key, answer, ask))
        return fresh

    def _asked(self, key: tuple[str, ...], old: _Answer | None, ask: Callable[[Any], Value]) -> Value:
        known: Value | None = self._names.get(key) if old is None else old.value
        began = monotonic()
        if known is not None and began < self._silent_until:
            return self._settled(key, old, known, self._silent_until - began)
        try:
            value = ask(known)
        except _REFUSED as error:
            self._deny(key, error)
            raise
        except _TRANSIENT as error:
            if known is None and old is None:
                raise
            self._log_stale(error)
            wait = max(_UNREACHABLE, monotonic() - began)  # what took long to find out is not tried often
            if isinstance(error, _AWAY):
                self._silent_until = monotonic() + wait
            return self._settled(key, old, cast("Value", known), wait)  # what was asked before was of the same kind
        self._log_back()
        settled = self._settled(key, old, value)
        if settled is value:
            self._names.put(key, value)
        return settled

    def _settled(self, key: tuple[str, ...], old: _Answer | None, value: Value, lifetime: float | None = None) -> Value:
        """Remember *value*, unless a change of ours overtook the question: that is the later answer."""
        with self._lock:
            newer = self._answers.get(key)
            if newer is not None and newer is not old:
                return cast("Value", newer.value)
            self._keep_answer(key, value, lifetime)
            return value

    def _deny(self, key: tuple[str, ...], error: Exception) -> None:
        """Remember for a moment that the registry refuses: many do so for what is not there."""
        with self._lock:
            self._denials[key] = _Answer(error, monotonic() + min(self._ttl, _MISSING))

    def _log_stale(self, error: Exception) -> None:
        """Say once in an outage, not once a name, that what is served may be old."""
        with self._lock:
            logged, self._stale_logged = self._stale_logged, monotonic()
            if logged is not None and monotonic() < logged + _OUTAGE:
                return
            self._is_back = False
        log.warning("the registry cannot be reached; what was known is served (%s)", type(error).__name__)

    def _log_back(self) -> None:
        if self._is_back:
            return
        with self._lock:
            logged, self._is_back = self._is_back, True
        if not logged:
            log.info("the registry answers again")

    def _remember(self, key: tuple[str, ...], value: object) -> None:
        with self._lock:
            self._keep_answer(key, value)

    def _keep_answer(self, key: tuple[str, ...], value: object, lifetime: float | None = None) -> None:
        """With the lock held. What is not there is remembered for a shorter time."""
        if lifetime is None:
            lifetime = min(self._ttl, _MISSING) if value is None and key != _CATALOG else self._ttl
        self._answers[key] = _Answer(value, monotonic() + lifetime)
        self._denials.pop(key, None)
