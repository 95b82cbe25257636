"""What is done to aliases: layers added, renamed and removed, aliases deleted, each by a new manifest.

A manifest is edited, not rewritten. Writers of one alias take turns; those who wait while one is under way are put
together into the next manifest. It is read again just before it is put.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import mimetypes
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

from regfs.metadata.catalog import Catalog
from regfs.oci import manifest as manifests
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.oci.reference import is_digest
from regfs.oci.titles import Files, title_path
from regfs.oci.titles import Path as TitlePath
from regfs.registry.api import BlobUnknown, Content, Denied, Invalid, NotFound, Registry, Unauthenticated, Unsupported
from regfs.util.private import OTHERWISE, private_directory, private_opener
from regfs.util.single_flight import SingleFlight
from regfs.write.staging import Staged, Target

log = logging.getLogger(__name__)

_DENIED = 30.0  # seconds that a denied push is remembered
_UNASKED = 64 << 10  # bytes
_SENT_AHEAD = 4  # files at a time
_CANNOT_DELETE = (Invalid, NotFound, Unsupported)


class Refused(OSError):
    """A change that cannot be made to this alias; the text says why."""


@dataclass(eq=False)
class _Edit:
    """One writer's change: path → the descriptor to be there, or None to have nothing there."""

    files: dict[TitlePath, Descriptor | None]
    done: bool = False
    error: BaseException | None = None
    digest: str = ""  # of the manifest that has it


@dataclass
class _Alias:
    """The writers of one alias: the one whose turn it is holds *turn*, across the network."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[_Edit] = field(default_factory=list)


class Publisher:
    """Changes aliases.

    Locks, outermost first: an alias's ``turn`` and its file lock (the ones that are held across the network),
    ``_lock``.

    :param files: names the blobs of a manifest
    :param locks: a directory for files by which the user's mounts on this machine take turns
    """

    def __init__(self, remote: Registry, catalog: Catalog, files: Callable[[Manifest], Files], locks: Path) -> None:
        self._remote = remote
        self._catalog = catalog
        self._files = files
        self._locks = locks
        private_directory(locks, OTHERWISE)
        self._lock = threading.Lock()
        self._aliases: dict[tuple[str, str], _Alias] = {}
        self._homes: dict[str, set[str]] = {}  # digest → repositories that are known to have it
        self._ahead = ThreadPoolExecutor(_SENT_AHEAD, "regfs-send")
        self._denied: dict[str, float] = {}  # repository → time.monotonic() up to when a push is not tried
        self._doubted: set[str] = set()  # digests that the registry says it has and could not serve
        self._configs: SingleFlight[str, None] = SingleFlight()

    def written(self, staged: Staged) -> None:
        """Note that a file has grown: a large one is sent while it is written; it gets its name when it is closed."""
        send = staged.sending_ahead(self._remote.upload_ahead)
        if send is not None:
            self._ahead.submit(send)

    def close(self) -> None:
        """Send nothing more ahead."""
        self._ahead.shutdown(wait=False, cancel_futures=True)

    def publish(self, staged: Staged) -> None:
        """Push a written file and give it its name; returns when the registry has both.

        :raises: whatever the push failed with; the bytes are in the journal then
        """
        with self._noticing_denial(staged.target.repository):
            self._publish(staged)

    def require_allowed(self, repository: str) -> None:
        """Fail at once where a push was denied a moment ago: better told at open than after the last byte.

        :raises Refused: EACCES
        """
        with self._lock:
            denied = monotonic() < self._denied.get(repository, 0.0)
        if denied:
            raise Refused(errno.EACCES, f"the registry denied a push to {repository} a moment ago")

    @contextmanager
    def _noticing_denial(self, repository: str) -> Iterator[None]:
        try:
            yield
        except (Unauthenticated, Denied):
            with self._lock:
                self._denied[repository] = monotonic() + _DENIED
            raise

    def _publish(self, staged: Staged) -> None:
        target = staged.target
        digest, size, version = staged.push(self._remote, lambda digest: self._has(target, digest, staged.size))
        self._pushed(target.repository, digest)
        if is_digest(target.title[-1]) and target.title[-1] != digest:
            raise Refused(errno.EINVAL, f"{target}: a file named by a digest can only have the bytes of that digest")
        if target.alias is not None:
            try:
                self._name(target, digest, size, staged.mtime_ns)
            except BlobUnknown:
                log.info("%s: the registry had lost %s; it is pushed again", target, digest)
                digest, size, version = staged.push(self._remote, lambda _: False)
                self._name(target, digest, size, staged.mtime_ns)
        staged.clean(version, digest)

    def _name(self, target: Target, digest: str, size: int, mtime_ns: int) -> None:
        created = {manifests.CREATED: rfc3339(mtime_ns)}
        descriptor = Descriptor(digest, size, media_type(target.title[-1]), created, is_new=True)
        self.edit(target.repository, target.alias or "", {target.title: descriptor})

    def _has(self, target: Target, digest: str, size: int) -> bool:
        """Whether the target's repository has a blob, or is made to have it without moving its bytes."""
        worth_asking = self._is_worth_asking(digest, size) or self._is_named_by_alias(target, digest)
        return worth_asking and self.bring(target.repository, digest)

    def _is_named_by_alias(self, target: Target, digest: str) -> bool:
        """Whether what is remembered of the target's alias names a blob: its repository has it, most likely."""
        known = self._catalog.known(target.repository, target.alias) if target.alias else None
        return isinstance(known, Manifest) and any(layer.digest == digest for layer in known.layers)

    def _is_worth_asking(self, digest: str, size: int) -> bool:
        """Not for a small blob of which nothing is known: sending it costs no more than to ask for it."""
        with self._lock:
            return size > _UNASKED or bool(self._homes.get(digest))

    def bring(self, repository: str, digest: str) -> bool:
        """Let *repository* have a blob without moving its bytes: it has it, or it can be mounted.

        :returns: whether it has it now
        """
        with self._lock:
            if digest in self._doubted:
                return False
            homes = set(self._homes.get(digest, ()))
        if repository in homes or self._remote.has_blob(repository, digest):
            return True
        return any(self._remote.mount_blob(repository, home, digest) for home in sorted(homes)[:2])

    def seen(self, repository: str, descriptors: Iterable[Descriptor]) -> None:
        """Note that a repository has some blobs."""
        for descriptor in descriptors:
            self._note(repository, descriptor.digest)

    def doubt(self, digest: str) -> None:
        """Note that a blob that the registry says it has could not be read: the next write of it pushes its bytes.

        After its garbage collection docker-registry 2.8.2 answers for a while as if a blob were there.
        """
        with self._lock:
            self._doubted.add(digest)
            self._homes.pop(digest, None)

    def _note(self, repository: str, digest: str) -> None:
        with self._lock:
            self._homes.setdefault(digest, set()).add(repository)

    def _pushed(self, repository: str, digest: str) -> None:
        self._note(repository, digest)
        with self._lock:
            self._doubted.discard(digest)

    def send(self, repository: str, digest: str, content: Content | bytes, *, anyway: bool = False) -> None:
        """Let *repository* have a blob: where it has it, or can mount it, nothing is sent.

        :param anyway: whatever the registry says it has
        :raises: whatever the push failed with
        """
        with self._noticing_denial(repository):
            if anyway or not self._is_worth_asking(digest, len(content)) or not self.bring(repository, digest):
                self._remote.push_blob(repository, content, digest)
        self._pushed(repository, digest)

    def edit(self, repository: str, alias: str, files: dict[TitlePath, Descriptor | None]) -> str:
        """Change files of an alias, which is made when it does not exist; returns the digest of its manifest then.

        :param files: path → the descriptor of the blob to be there, None to remove what is there
        :raises Refused: for an alias that is multi-platform, signed, or too large
        :raises RegistryError: when the registry did not take it
        """
        edit = _Edit(files)
        with self._lock:
            writers = self._aliases.setdefault((repository, alias), _Alias())
            writers.waiting.append(edit)
        with writers.turn:
            if not edit.done:
                with self._turn_among_processes(repository, alias):
                    self._take_turn(repository, alias, writers)
        if edit.error is not None:
            raise edit.error
        return edit.digest

    @contextmanager
    def _turn(self, repository: str, alias: str) -> Iterator[None]:
        """Take turns with all who change an alias. Who needs the turns of two takes them in their order."""
        with self._lock:
            writers = self._aliases.setdefault((repository, alias), _Alias())
        with writers.turn, self._turn_among_processes(repository, alias):
            yield

    @contextmanager
    def _turn_among_processes(self, repository: str, alias: str) -> Iterator[None]:
        """Take turns with the user's other mounts on this machine. The kernel ends the turn of a process that dies."""
        name = hashlib.sha256(f"{self._remote.host}/{repository}:{alias}".encode()).hexdigest()[:32]
        with open(self._locks / name, "wb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _take_turn(self, repository: str, alias: str, writers: _Alias) -> None:
        """Put one manifest for everybody who waits."""
        with self._lock:
            edits, writers.waiting = writers.waiting, []
        files: dict[TitlePath, Descriptor | None] = {}
        for edit in edits:
            files.update(edit.files)
        error: BaseException | None = None
        digest = ""
        try:
            digest = self._put(repository, alias, files)
        except Exception as caught:  # noqa: BLE001 - each waiting writer raises it in its own thread
            error = caught
        for edit in edits:
            edit.error, edit.digest, edit.done = error, digest, True

    def _put(self, repository: str, alias: str, files: dict[TitlePath, Descriptor | None]) -> str:
        if all(descriptor is not None for descriptor in files.values()):
            self._ensure_config(repository, alias)
        old = editable(f"{repository}:{alias}", self._catalog.current(repository, alias))
        present = self._files(old).blobs if old is not None else {}
        content = edited(old, present, files)
        if content is None:
            return old.digest if old is not None else ""
        if len(content) > manifests.MAX_BYTES:
            raise Refused(
                errno.EFBIG, f"{repository}:{alias} would need a manifest of {len(content)} bytes, over the limit"
            )
        return self._catalog.put(repository, alias, content, old.media_type if old else manifests.OCI_MANIFEST).digest

    def _ensure_config(self, repository: str, alias: str) -> None:
        """Let the repository have the empty config that a new alias's manifest names."""
        if self._catalog.known(repository, alias) is not None:
            return
        empty = manifests.EMPTY_DESCRIPTOR
        with self._lock:
            if repository in self._homes.get(empty.digest, ()):
                return

        def push() -> None:
            if not self._remote.has_blob(repository, empty.digest):
                self._remote.push_blob(repository, manifests.EMPTY_CONTENT, empty.digest)
            self._note(repository, empty.digest)

        self._configs.do(repository, push)

    def delete(self, repository: str, alias: str) -> None:
        """Delete an alias, and no other alias of the same manifest.

        By tag where the registry can. Else a throw-away manifest takes the alias, and that is deleted by its digest;
        when it cannot be, the old one is put back.

        :raises RegistryError: when the registry refuses
        """
        with self._turn(repository, alias):
            self._delete(repository, alias)

    def tag(self, repository: str, manifest: Manifest | Index, alias: str) -> None:
        """Give a manifest of *repository* one more alias, its bytes as they are.

        :raises RegistryError: when the registry refuses
        """
        with self._turn(repository, alias):
            there = self._catalog.current(repository, alias)
            if there is not None and there.digest == manifest.digest:
                return  # some registries refuse to put what is there already
            if isinstance(manifest, Manifest) and not manifest.writable:
                self._remote.put_manifest(repository, alias, manifest.content, manifest.media_type)
            else:
                self._catalog.put(repository, alias, manifest.content, manifest.media_type)

    def retag(self, source: tuple[str, str], goal: tuple[str, str]) -> bool:
        """Give what one alias stands for to another one, and delete the first. No bytes move.

        :param source: repository and alias
        :param goal: repository and alias
        :returns: whether it was done; not when a blob, or a manifest of an index, could not be brought over
        :raises RegistryError: when the registry refuses
        """
        with ExitStack() as turns:
            for alias in sorted((source, goal)):
                turns.enter_context(self._turn(*alias))
            manifest = self._catalog.current(*source)
            if manifest is None or not self._bring_all(source[0], goal[0], manifest):
                return False
            self._require_empty(*goal)
            self._catalog.put(*goal, manifest.content, manifest.media_type)
            self._delete(*source)
            return True

    def _require_empty(self, repository: str, alias: str) -> None:
        there = self._catalog.current(repository, alias)
        if isinstance(there, Index) or (there is not None and there.layers):
            raise Refused(errno.ENOTEMPTY, f"{repository}:{alias} was made meanwhile and has files")

    def _bring_all(self, source: str, goal: str, manifest: Manifest | Index) -> bool:
        if source == goal:
            return True
        if isinstance(manifest, Index):
            return all(self._bring_child(source, goal, entry.digest) for entry in manifest.entries)
        self.seen(source, manifest.blobs)
        return manifest.writable and all(self.bring(goal, blob.digest) for blob in manifest.blobs)

    def _bring_child(self, source: str, goal: str, digest: str) -> bool:
        child = self._catalog.manifest(source, digest)
        if child is None or not self._bring_all(source, goal, child):
            return False
        self._remote.put_manifest(goal, digest, child.content, child.media_type)
        return True

    def _delete(self, repository: str, alias: str) -> None:
        """In its turn."""
        old = self._catalog.current(repository, alias)
        if old is None:
            return
        try:
            self._remote.delete_tag(repository, alias)
        except _CANNOT_DELETE:
            self._replace_and_delete(repository, alias, old)
        self._catalog.forget(repository, alias)

    def _replace_and_delete(self, repository: str, alias: str, old: Manifest | Index) -> None:
        self._ensure_config(repository, f"{alias} ")
        document = json.loads(manifests.new_artifact(rfc3339(time.time_ns())))
        document["annotations"]["org.regfs.deleting"] = uuid.uuid4().hex
        content = json.dumps(document).encode()
        digest = self._remote.put_manifest(repository, alias, content, manifests.OCI_MANIFEST)
        try:
            if not self._remote.delete_manifest(repository, digest):
                self._require_gone(repository, alias)
        except Exception:
            self._remote.put_manifest(repository, alias, old.content, old.media_type)
            raise

    def _require_gone(self, repository: str, alias: str) -> None:
        """Look whether a registry deletes at all that says that what was put a moment ago is not there.

        :raises Unsupported: when it does not
        """
        if self._remote.manifest(repository, alias, mirrored=False) is not None:
            raise Unsupported(f"{self._remote.host} deletes no manifests; {repository}:{alias} is as it was")


def editable(name: str, manifest: Manifest | Index | None) -> Manifest | None:
    """The manifest of the alias *name*, if it has one, when its files can be changed.

    :raises Refused: EROFS
    """
    if isinstance(manifest, Index):
        raise Refused(errno.EROFS, f"{name} is multi-platform; its files cannot be changed")
    if manifest is not None and not manifest.writable:
        raise Refused(errno.EROFS, f"{name} is of a kind that cannot be changed")
    return manifest


def edited(
    old: Manifest | None, present: Mapping[TitlePath, Descriptor], files: Mapping[TitlePath, Descriptor | None]
) -> bytes | None:
    """The manifest *old*, or a new one, with *files* changed; None when that changes nothing.

    :param present: the files that *old* has
    """
    content = old.content if old is not None else manifests.new_artifact(rfc3339(time.time_ns()))
    remove: set[Descriptor] = set()
    add: dict[Descriptor, Descriptor | None] = {}
    for path, wanted in files.items():
        place = present.get(path)
        if wanted is not None and wanted.is_new and place is not None:
            wanted = wanted.instead_of(place)
        titled = None if wanted is None else _titled(wanted, path)
        remove.update(layer for layer in _layers_at(old, path) if layer != place)
        if titled is None:
            remove.update([place] if place is not None else [])
        elif titled != place:
            add[titled] = place
    if not remove and not add:
        return None
    return manifests.edit_layers(content, frozenset(remove), add)


def _layers_at(old: Manifest | None, path: TitlePath) -> list[Descriptor]:
    """Every layer whose title is *path*: the first has it, the others would come up when that is gone."""
    return [layer for layer in old.layers if title_path(layer.title) == path] if old is not None else []


def _titled(descriptor: Descriptor, path: TitlePath) -> Descriptor:
    """The descriptor as the layer at *path*; a blob that goes by its digest has no title."""
    annotations = {k: v for k, v in descriptor.annotations.items() if k != manifests.TITLE}
    if path != (descriptor.digest,):
        annotations[manifests.TITLE] = "/".join(path)
    return replace(descriptor, annotations=annotations, platform=None)


def media_type(name: str) -> str:
    """The media type that a file's name suggests."""
    guessed, encoding = mimetypes.guess_type(name, strict=False)
    if encoding == "gzip" and guessed == "application/x-tar":
        return "application/vnd.oci.image.layer.v1.tar+gzip"
    return guessed if guessed and not encoding else manifests.BLOB_MEDIA_TYPE


def rfc3339(time_ns: int) -> str:
    """A time, nanoseconds since the epoch, as annotations have it (RFC 3339)."""
    return datetime.fromtimestamp(time_ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
