"""Changes of several files, put together: the bytes are pushed, then one manifest for each tag names them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from regfs.library.put import LocalFile
from regfs.oci.edits import Change, NewBytes, rfc3339
from regfs.oci.edits import Path as TitlePath
from regfs.oci.manifest import Descriptor
from regfs.oci.target import Target
from regfs.session import Graph
from regfs.util.jobs import finished
from regfs.write.content import Content, Snapshot
from regfs.write.staging import Staged

_BLOBS_AT_ONCE = 8


@dataclass(frozen=True)
class NewContent:
    """Bytes that are to be pushed.

    :param content: the bytes, or the path of a local file
    :param mtime_ns: the time of the file, nanoseconds since the epoch
    """

    content: Content | str
    mtime_ns: int


class Changes:
    """What is to become of some files. Nothing happens before :meth:`commit`. For one thread."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._by_tag: dict[tuple[str, str], dict[TitlePath, NewContent | Descriptor | None]] = {}
        self._blobs: list[tuple[str, NewContent]] = []  # what no tag names
        self._paths: list[tuple[str, ...]] = []
        self._held: list[Staged] = []

    def add(self, path: tuple[str, ...], target: Target, change: NewContent | Descriptor | None) -> None:
        """Note what is to become of a file.

        :param path: where it is in the tree
        :param change: its bytes, or a layer that the repository has; with None the file goes
        """
        if change is not None:
            self._paths.append(path)
        if target.alias is not None:
            self._by_tag.setdefault((target.repository, target.alias), {})[target.title] = change
        elif isinstance(change, NewContent):
            self._blobs.append((target.repository, change))

    def hold(self, staged: Staged) -> None:
        """Close a written file when the changes are made, or cannot be."""
        self._held.append(staged)

    def commit(self) -> None:
        """Push the bytes, several at a time, and put one manifest for each tag.

        :raises: whatever a push or an edit failed with; tags before it are changed, those after it are not
        """
        try:
            for repository, new in self._blobs:
                _named(self._graph, new.content, _push(self._graph, repository, new))
            for (repository, tag), changes in self._by_tag.items():
                self._commit(repository, tag, changes)
        finally:
            for staged in self._held:
                self._graph.blobs.forget(staged)
                staged.close(self._graph.cache.adopt)
        for path in self._paths:
            self._graph.tree.made.landed(path)

    def _commit(self, repository: str, tag: str, changes: Mapping[TitlePath, NewContent | Descriptor | None]) -> None:
        contents = {title: change for title, change in changes.items() if isinstance(change, NewContent)}
        snapshots: dict[TitlePath, Snapshot] = {}

        def push() -> Mapping[TitlePath, Change]:
            snapshots.update(_pushed(self._graph, repository, contents))
            return {title: _change(change, snapshots.get(title)) for title, change in changes.items()}

        self._graph.publisher.files(repository, tag, push)
        for title, new in contents.items():
            _named(self._graph, new.content, snapshots[title])


def _change(change: NewContent | Descriptor | None, snapshot: Snapshot | None) -> Change:
    if isinstance(change, NewContent) and snapshot is not None:
        return NewBytes(snapshot.digest, snapshot.size, rfc3339(change.mtime_ns))
    return None if isinstance(change, NewContent) else change


def _push(graph: Graph, repository: str, new: NewContent) -> Snapshot:
    if not isinstance(new.content, str):
        return graph.blobs.push(repository, new.content)
    file = LocalFile(new.content)
    try:
        return graph.blobs.push(repository, file)
    finally:
        file.close()


def _named(graph: Graph, content: Content | str, snapshot: Snapshot) -> None:
    """The registry has a content and its name: the journal need not keep it, and the cache may."""
    if isinstance(content, Staged):
        content.clean(snapshot)
    elif isinstance(snapshot.body, bytes):
        with suppress(OSError):
            graph.cache.add(snapshot.digest, snapshot.body)


def _pushed(graph: Graph, repository: str, contents: Mapping[TitlePath, NewContent]) -> dict[TitlePath, Snapshot]:
    """Push some contents, several at a time.

    :raises: the first error of any of them
    """
    if len(contents) < 2:
        return {title: _push(graph, repository, new) for title, new in contents.items()}
    pool = ThreadPoolExecutor(min(_BLOBS_AT_ONCE, len(contents)), "regfs-put")
    try:
        jobs = [pool.submit(_push, graph, repository, new) for new in contents.values()]
        finished(jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return dict(zip(contents, (job.result() for job in jobs), strict=True))
