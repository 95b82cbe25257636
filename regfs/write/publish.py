"""Contents → files of a tag: their bytes first, then their names, all by one manifest."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping

from regfs.metadata.catalog import Catalog
from regfs.oci.edits import Change, NewBytes, Refused, rfc3339
from regfs.oci.edits import Path as TitlePath
from regfs.oci.manifest import Manifest
from regfs.oci.reference import is_digest
from regfs.oci.target import Target
from regfs.registry.api import BlobUnknown
from regfs.write.blobs import BlobPusher
from regfs.write.content import Snapshot
from regfs.write.staging import Staged
from regfs.write.tags import TagEditor

log = logging.getLogger(__name__)


class Publisher:
    """Pushes contents and names them."""

    def __init__(self, catalog: Catalog, blobs: BlobPusher, tags: TagEditor) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._tags = tags

    def files(self, repository: str, tag: str, push: Callable[[], Mapping[TitlePath, Change]]) -> str:
        """Push some files, then name them all; returns the digest of the tag's manifest.

        :param push: pushes them, and says what becomes of each path of the tag; called once more when the registry
            had lost a blob that it said it has
        :raises: whatever *push* or the edit failed with
        """
        with self._blobs.noticing_denial(repository):
            pushed = push()
            try:
                return self._tags.edit(repository, tag, pushed)
            except BlobUnknown:
                log.info("%s:%s: the registry had lost a blob; it is pushed again", repository, tag)
                for change in pushed.values():
                    if change is not None:
                        self._blobs.doubt(change.digest)
                return self._tags.edit(repository, tag, push())

    def publish(self, staged: Staged) -> None:
        """Push a written file and give it its name; returns when the registry has both.

        :raises: whatever the push failed with; the bytes are in the journal then
        """
        target = staged.target
        pushed: list[Snapshot] = []

        def push() -> Mapping[TitlePath, NewBytes]:
            snapshot = self._push(staged, target)
            pushed.append(snapshot)
            return {target.title: NewBytes(snapshot.digest, snapshot.size, rfc3339(staged.mtime_ns))}

        if target.alias is None:
            push()
        else:
            self.files(target.repository, target.alias, push)
        staged.clean(pushed[-1])

    def _push(self, staged: Staged, target: Target) -> Snapshot:
        snapshot = self._blobs.push(target.repository, staged, lambda digest: self._is_named_by_tag(target, digest))
        if is_digest(target.title[-1]) and target.title[-1] != snapshot.digest:
            raise Refused(errno.EINVAL, f"{target}: a file named by a digest can only have the bytes of that digest")
        return snapshot

    def _is_named_by_tag(self, target: Target, digest: str) -> bool:
        """Whether what is remembered of the target's tag names a blob: its repository has it, most likely."""
        known = self._catalog.known(target.repository, target.alias) if target.alias else None
        return isinstance(known, Manifest) and any(layer.digest == digest for layer in known.layers)
