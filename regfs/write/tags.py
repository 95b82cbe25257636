"""The only way to change what a tag stands for: files added, renamed and removed; tags made, renamed and deleted.

Each change is a new manifest, edited from the one that the tag has at that moment. Writers of one tag take turns;
those who wait while one is under way are put together into the next manifest.
"""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress

from regfs.metadata.catalog import Catalog
from regfs.oci import manifest as manifests
from regfs.oci.edits import Change, Refused, editable, edited, older_kinds, rfc3339, throw_away
from regfs.oci.edits import Path as TitlePath
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.registry.api import Denied, Invalid, NotFound, Registry, RegistryError, Unsupported
from regfs.write.blobs import BlobPusher
from regfs.write.content import Fixed
from regfs.write.turns import Edit, Tag, TagWriters, Turns

log = logging.getLogger(__name__)

# What a registry says that deletes manifests by their digests alone, or to which the tag is not there.
_CANNOT_DELETE_TAGS = (Invalid, NotFound, Unsupported)

# Between looks whether a tag is gone that the registry says it deletes. Pulp answers 202 and deletes in a task of its
# own, a second or two later.
_LOOK_AGAIN_SECONDS = (0.1, 0.4, 1.0, 2.0, 4.0)


class TagEditor:
    """Changes tags.

    :param files: the files of a manifest by their paths
    """

    def __init__(
        self,
        registry: Registry,
        catalog: Catalog,
        blobs: BlobPusher,
        turns: Turns,
        files: Callable[[Manifest], Mapping[TitlePath, Descriptor]],
    ) -> None:
        self._registry = registry
        self._catalog = catalog
        self._blobs = blobs
        self._turns = turns
        self._files = files
        self._deletes: dict[str, bool] = {}  # repository → whether tags can be deleted there, most likely

    def edit(self, repository: str, tag: str, changes: Mapping[TitlePath, Change]) -> str:
        """Change files of a tag, which is made when it does not exist; returns the digest of its manifest then.

        :param changes: path → what becomes of the file there
        :raises Refused: for a tag that is multi-platform, signed, or would be too large
        :raises RegistryError: when the registry did not take it
        """
        edit = Edit(dict(changes))
        writers = self._turns.wait((repository, tag), edit)
        with writers.turn:
            if not edit.done:
                with self._turns.among_processes((repository, tag)):
                    self._make_edits(repository, tag, writers)
        if edit.error is not None:
            raise edit.error
        return edit.digest

    def _make_edits(self, repository: str, tag: str, writers: TagWriters) -> None:
        """Put one manifest for everybody who waits."""
        edits = self._turns.waiting(writers)
        changes: dict[TitlePath, Change] = {}
        for edit in edits:
            changes.update(edit.changes)
        error: BaseException | None = None
        digest = ""
        try:
            digest = self._put_edited(repository, tag, changes)
        except Exception as caught:  # noqa: BLE001 - each waiting writer raises it in its own thread
            error = caught
        for edit in edits:
            edit.error, edit.digest, edit.done = error, digest, True

    def _put_edited(self, repository: str, tag: str, changes: Mapping[TitlePath, Change]) -> str:
        if all(change is not None for change in changes.values()) and self._catalog.known(repository, tag) is None:
            self._ensure_config(repository)
        old = editable(f"{repository}:{tag}", self._catalog.current(repository, tag))
        present = self._files(old) if old is not None else {}
        content = edited(old, present, changes, _now())
        if content is None:
            return old.digest if old is not None else ""
        if len(content) > manifests.MAX_BYTES:
            raise Refused(
                errno.EFBIG, f"{repository}:{tag} would need a manifest of {len(content)} bytes, over the limit"
            )
        if old is None:
            return self._put_new(repository, tag, content).digest
        return self._catalog.put(repository, tag, content, old.media_type).digest

    def _put_new(self, repository: str, tag: str, content: bytes) -> Manifest | Index:
        """Put the first manifest of a tag; where the registry does not take its kind, one of an older kind."""
        try:
            return self._catalog.put(repository, tag, content, manifests.OCI_MANIFEST)
        except (Invalid, Unsupported):
            for other, media_type in older_kinds(content):
                with suppress(Invalid, Unsupported):
                    return self._catalog.put(repository, tag, other, media_type)
            raise

    def _ensure_config(self, repository: str) -> None:
        """Let the repository have the empty config that a new tag's manifest names."""
        self._blobs.push(repository, Fixed(manifests.EMPTY_CONTENT), likely=lambda digest: True)

    def tag(self, repository: str, manifest: Manifest | Index, tag: str) -> None:
        """Give a manifest of *repository* one more tag, its bytes as they are.

        :raises RegistryError: when the registry refuses
        """
        with self._turns.of((repository, tag)):
            if not self._has(repository, tag, manifest.digest):  # some registries refuse to put what is there already
                self._put_as_it_is(repository, tag, manifest)

    def _put_as_it_is(self, repository: str, tag: str, manifest: Manifest | Index) -> None:
        if isinstance(manifest, Manifest) and not manifest.writable:  # signed: the registry knows it by another digest
            self._registry.put_manifest(repository, tag, manifest.content, manifest.media_type)
        else:
            self._catalog.put(repository, tag, manifest.content, manifest.media_type)

    # Renaming

    def rename(self, source: Tag, goal: Tag) -> bool:
        """Give what one tag stands for to another one, and delete the first. No bytes move.

        :returns: whether it was done; not when a blob, or a manifest of an index, could not be brought over
        :raises Refused: ENOTEMPTY when the other tag has files
        :raises RegistryError: when the registry refuses
        """
        with self._turns.of(source, goal):
            manifest = self._catalog.current(*source)
            if manifest is None or not self._bring_all(source[0], goal[0], manifest):
                return False
            self._require_empty(*goal)
            self._catalog.put(*goal, manifest.content, manifest.media_type)
            self._delete(*source)
            return True

    def _require_empty(self, repository: str, tag: str) -> None:
        there = self._catalog.current(repository, tag)
        if isinstance(there, Index) or (there is not None and there.layers):
            raise Refused(errno.ENOTEMPTY, f"{repository}:{tag} was made meanwhile and has files")

    def _bring_all(self, source: str, goal: str, manifest: Manifest | Index) -> bool:
        if source == goal:
            return True
        if isinstance(manifest, Index):
            return all(self._bring_child(source, goal, entry.digest) for entry in manifest.entries)
        self._blobs.seen(source, manifest.blobs)
        return manifest.writable and all(self._blobs.bring(goal, blob.digest) for blob in manifest.blobs)

    def _bring_child(self, source: str, goal: str, digest: str) -> bool:
        child = self._catalog.manifest(source, digest)
        if child is None or not self._bring_all(source, goal, child):
            return False
        self._registry.put_manifest(goal, digest, child.content, child.media_type)
        return True

    # Deleting

    def delete(self, repository: str, tag: str) -> None:
        """Delete a tag, and no other tag of the same manifest.

        By tag where the registry can. Else a throw-away manifest takes the tag, and that is deleted by its digest;
        when it cannot be, the old one is put back. What the registry says to a deletion is not believed: it is looked.

        :raises Refused: EPERM when the registry says that it deletes, and does not
        :raises RegistryError: when it refuses
        """
        with self._turns.of((repository, tag)):
            self._delete(repository, tag)

    def require_deletable(self, repository: str) -> None:
        """Make sure that the registry is not known to delete no tags; it is asked once for each repository.

        :raises Refused: EPERM
        """
        if repository not in self._deletes:
            self._deletes[repository] = self._may_delete(repository)
        if not self._deletes[repository]:
            raise Refused(errno.EPERM, f"the registry deletes no tags of {repository}; files can be removed, not a tag")

    def _may_delete(self, repository: str) -> bool:
        """Whether the registry deletes by digest or by tag, as far as its answers to what is not there tell."""
        word = uuid.uuid4().hex
        try:
            self._registry.delete_manifest(repository, manifests.digest_of(word.encode()))
        except (Unsupported, Denied):
            try:
                self._registry.delete_tag(repository, word)
            except (Unsupported, Denied):
                return False
            except RegistryError:
                return True
        except RegistryError:
            return True
        return True

    def _delete(self, repository: str, tag: str) -> None:
        """In its turn."""
        old = self._catalog.current(repository, tag)
        if old is None:
            return
        if not self._delete_by_tag(repository, tag, old):
            self._replace_and_delete(repository, tag, old)
        self._catalog.forget(repository, tag)

    def _delete_by_tag(self, repository: str, tag: str, old: Manifest | Index) -> bool:
        """Delete a tag; returns whether it is gone, which it is not where the registry deletes by digest alone."""
        try:
            self._registry.delete_tag(repository, tag)
        except _CANNOT_DELETE_TAGS:
            return not self._has(repository, tag, old.digest)
        self._require_gone(repository, tag, old.digest)
        return True

    def _replace_and_delete(self, repository: str, tag: str, old: Manifest | Index) -> None:
        self._ensure_config(repository)
        content = throw_away(_now(), uuid.uuid4().hex)
        digest = self._registry.put_manifest(repository, tag, content, manifests.OCI_MANIFEST)
        try:
            self._delete_by_digest(repository, tag, digest)
        except BaseException:
            log.info("%s:%s is not deleted; what it stood for is put back", repository, tag)
            self._put_as_it_is(repository, tag, old)
            raise

    def _delete_by_digest(self, repository: str, tag: str, digest: str) -> None:
        """Delete the manifest *digest*, which the tag alone stands for, and with it the tag."""
        try:
            self._registry.delete_manifest(repository, digest)
        except Exception:
            if self._has(repository, tag, digest):
                raise
        else:
            self._require_gone(repository, tag, digest)

    def _require_gone(self, repository: str, tag: str, digest: str) -> None:
        """Make sure that a tag does not stand for *digest* any more; a registry may take a while after it said so."""
        for seconds in _LOOK_AGAIN_SECONDS:
            if not self._has(repository, tag, digest):
                return
            time.sleep(seconds)
        if self._has(repository, tag, digest):
            raise Refused(errno.EPERM, f"the registry does not delete {repository}:{tag}, though it does not refuse to")

    def _has(self, repository: str, tag: str, digest: str) -> bool:
        """Whether a tag stands for *digest* at this moment. With another one, somebody has made it again."""
        now = self._catalog.current(repository, tag)
        return now is not None and now.digest == digest


def _now() -> str:
    return rfc3339(time.time_ns())
