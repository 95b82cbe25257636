"""The only way of bytes into the registry: hashed, asked for, mounted from another repository, or sent.

Knows no tags: :mod:`regfs.write.tags` names what is pushed here.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from regfs.oci.edits import Refused
from regfs.oci.manifest import Descriptor
from regfs.registry.api import Denied, Invalid, Registry, Unauthenticated
from regfs.util.single_flight import SingleFlight
from regfs.write.ahead import AheadUploads
from regfs.write.content import Content, CutShort, Growing, Snapshot

_DENIED_SECONDS = 30.0  # that a denied push is remembered
_UNASKED_BYTES = 64 << 10
_HOMES_TRIED = 2  # repositories that a blob is mounted from, at most


class KnownBlobs:
    """Which repositories are known to have which blobs. Thread-safe; its lock is innermost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._homes: dict[str, set[str]] = {}  # digest → repositories
        self._doubted: set[str] = set()  # digests that the registry says it has and could not serve

    def add(self, repository: str, digests: Iterable[str]) -> None:
        """Note that a repository has some blobs."""
        with self._lock:
            for digest in digests:
                self._homes.setdefault(digest, set()).add(repository)

    def pushed(self, repository: str, digest: str) -> None:
        """Note that the bytes of a blob were sent, or found, a moment ago."""
        with self._lock:
            self._homes.setdefault(digest, set()).add(repository)
            self._doubted.discard(digest)

    def doubt(self, digest: str) -> None:
        """Believe nothing of a blob until it is pushed."""
        with self._lock:
            self._doubted.add(digest)
            self._homes.pop(digest, None)

    def is_doubted(self, digest: str) -> bool:
        """Whether the registry's word for a blob is not believed."""
        with self._lock:
            return digest in self._doubted

    def homes(self, digest: str) -> frozenset[str]:
        """The repositories that have a blob."""
        with self._lock:
            return frozenset(self._homes.get(digest, ()))


class BlobPusher:
    """Pushes contents to repositories.

    :param ahead: the uploads of files that are still being written
    """

    def __init__(self, registry: Registry, ahead: AheadUploads) -> None:
        self._registry = registry
        self._known = KnownBlobs()
        self._ahead = ahead
        self._flights: SingleFlight[tuple[str, str], None] = SingleFlight()
        self._lock = threading.Lock()
        self._denied: dict[str, float] = {}  # repository → time.monotonic() up to when a push is not tried

    def close(self) -> None:
        """Send nothing more ahead."""
        self._ahead.close()

    def push(self, repository: str, content: Content, likely: Callable[[str], bool] = lambda digest: False) -> Snapshot:
        """Let *repository* have the bytes of *content* as a blob; returns which bytes, with their digest and size.

        A content that is changed meanwhile is pushed again, until it stays as it is. Where the repository has the
        blob, or can mount it from another one, nothing is sent.

        :param likely: whether the repository has a digest, most likely: it is asked for it, however small it is
        :raises OSError: when the content cannot be read, or is not to be pushed
        :raises CutShort: when it was cut by somebody else
        :raises RegistryError: when the registry did not take it
        """
        with self.noticing_denial(repository):
            while True:
                snapshot = content.snapshot()
                try:
                    self._deliver(repository, content, snapshot, likely)
                except (CutShort, Invalid):
                    # The refusal can be for what somebody wrote meanwhile: the bytes were not the digest's any more.
                    if content.is_still(snapshot):
                        raise
                if content.is_still(snapshot):
                    return snapshot

    def _deliver(self, repository: str, content: Content, snapshot: Snapshot, likely: Callable[[str], bool]) -> None:
        """Push a digest once, however many contents have it. What goes wrong with one says nothing of the others."""
        leads = False

        def lead() -> None:
            nonlocal leads
            leads = True
            self._bring_or_send(repository, content, snapshot, likely)

        try:
            self._flights.do((repository, snapshot.digest), lead)
        except Exception:
            if leads:
                raise
            self._bring_or_send(repository, content, snapshot, likely)
        if not leads:
            self._ahead.cancel(content)

    def _bring_or_send(
        self, repository: str, content: Content, snapshot: Snapshot, likely: Callable[[str], bool]
    ) -> None:
        digest = snapshot.digest
        if self._is_worth_asking(snapshot, likely) and self.bring(repository, digest):
            self._ahead.cancel(content)
        elif not self._ahead.finish(repository, content, snapshot):
            self._registry.push_blob(repository, snapshot.body, digest)
        self._known.pushed(repository, digest)

    def _is_worth_asking(self, snapshot: Snapshot, likely: Callable[[str], bool]) -> bool:
        """Not for a small blob of which nothing is known: sending it costs no more than to ask for it."""
        return snapshot.size > _UNASKED_BYTES or bool(self._known.homes(snapshot.digest)) or likely(snapshot.digest)

    def bring(self, repository: str, digest: str) -> bool:
        """Let *repository* have a blob without moving its bytes: it has it, or it can be mounted.

        :returns: whether it has it now
        """
        if self._known.is_doubted(digest):
            return False
        homes = self._known.homes(digest)
        if repository in homes or self._registry.has_blob(repository, digest):
            return True
        return any(self._registry.mount_blob(repository, home, digest) for home in sorted(homes)[:_HOMES_TRIED])

    # What is known of blobs

    def seen(self, repository: str, descriptors: Iterable[Descriptor]) -> None:
        """Note that a repository has some blobs."""
        self._known.add(repository, (descriptor.digest for descriptor in descriptors))

    def doubt(self, digest: str) -> None:
        """Note that a blob that the registry says it has could not be read: the next write of it pushes its bytes.

        After its garbage collection docker-registry 2.8.2 answers for a while as if a blob were there.
        """
        self._known.doubt(digest)

    # Files that are being written

    def grown(self, repository: str, content: Growing) -> None:
        """Note that a file has grown: a large one is sent while it is written."""
        self._ahead.grown(repository, content)

    def forget(self, content: Content) -> None:
        """Note that a content will not be pushed any more: what was sent of it ahead is cancelled."""
        self._ahead.cancel(content)

    # Denials

    def require_allowed(self, repository: str) -> None:
        """Fail at once where a push was denied a moment ago: better said at open than after the last byte.

        :raises Refused: EACCES
        """
        with self._lock:
            denied = monotonic() < self._denied.get(repository, 0.0)
        if denied:
            raise Refused(errno.EACCES, f"the registry denied a push to {repository} a moment ago")

    @contextmanager
    def noticing_denial(self, repository: str) -> Iterator[None]:
        """Remember when the registry denies a push to a repository."""
        try:
            yield
        except (Unauthenticated, Denied):
            with self._lock:
                self._denied[repository] = monotonic() + _DENIED_SECONDS
            raise
