"""The files that are being written: one for what it is meant to be, by whichever path and whoever has it open.

From the first write to the last close.

``Writings._lock`` is innermost; nothing is called while it is held.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from regfs.cache.store import BlobStore
from regfs.observe.counters import Activity
from regfs.oci.target import Target
from regfs.oci.titles import Path
from regfs.tree.node import Node
from regfs.tree.tree import Tree
from regfs.util.single_flight import SingleFlight
from regfs.write.blobs import BlobPusher
from regfs.write.journal import Journal
from regfs.write.publish import Publisher
from regfs.write.staging import Staged

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Writing:
    """A file being written and how many handles have it open.

    :param path: the one by which it was opened first
    """

    file: Staged
    path: Path
    base: Node | None = None  # a blob whose bytes are to be copied up before they are needed
    handles: int = 0
    gone: bool = False  # unlinked, or replaced, while open
    tried: int = -1  # the version that the last push was of
    busy: bool = False  # on its way to the registry, or being renamed or removed: one at a time


class Writings:
    """The table of files being written.

    :param adopting: takes over the bytes of a file that was pushed
    :param activity: counts
    :param explained: what the log says of an error: its errno, and its words
    """

    def __init__(
        self,
        journal: Journal,
        publisher: Publisher,
        blobs: BlobPusher,
        tree: Tree,
        adopting: BlobStore,
        activity: Activity,
        explained: Callable[[Exception], tuple[int, str]],
    ) -> None:
        self._explained = explained
        self._activity = activity
        self.directory = journal.directory
        self._journal = journal
        self._publisher = publisher
        self._blobs = blobs
        self._tree = tree
        self._cache = adopting
        self._lock = threading.Condition()  # of the two below, and of who is busy
        self._writing: dict[Target, Writing] = {}
        self._left: set[Target] = set()  # files whose push failed
        self._copies: SingleFlight[int, None] = SingleFlight()

    def at(self, parts: Path) -> Writing | None:
        """The file that is being written at a path."""
        target = self._target(parts)
        with self._lock:
            return None if target is None else self._writing.get(target)

    def hold(self, parts: Path) -> Writing | None:
        """The file that is being written at a path, for one more handle."""
        target = self._target(parts)
        with self._lock:
            writing = None if target is None else self._writing.get(target)
            if writing is not None:
                writing.handles += 1
            return writing

    def _target(self, parts: Path) -> Target | None:
        """What a file at a path is meant to be, when any is being written: it can have two paths."""
        if not parts or not self._writing:
            return None
        try:
            return self._tree.target(parts)
        except OSError:
            return None

    def stage(self, parts: Path, target: Target, base: Node | None) -> Writing:
        """Begin to write a file, for one handle; one that somebody else began meanwhile is the same file.

        :param base: the blob that it is written over
        :raises OSError: when there is no room for it; EACCES when the registry is known to deny it
        """
        self._blobs.require_allowed(target.repository)
        writing = Writing(self._journal.stage(target), parts, base, handles=1)
        with self._lock:
            other = self._writing.get(target)
            if other is None:
                self._writing[target] = writing
                return writing
            other.handles += 1
        writing.file.discard()
        writing.file.close()
        return other

    def size(self, writing: Writing) -> int:
        """The size of a file being written, in bytes."""
        return writing.file.size if writing.base is None else writing.base.attributes().size

    def truncate(self, writing: Writing, size: int) -> None:
        """Cut or lengthen it to *size* bytes."""
        if size == 0:
            writing.base = None
        self.copy_up(writing)
        writing.file.truncate(size)

    def read_into(self, writing: Writing, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* with the bytes from *offset* on; returns how many, fewer only at the end."""
        self.copy_up(writing)
        return writing.file.read_into(buffer, offset)

    def write(self, writing: Writing, data: bytes | memoryview, offset: int) -> int:
        """Write bytes; returns how many."""
        self.copy_up(writing)
        count = writing.file.write(data, offset)
        self._blobs.grown(writing.file.target.repository, writing.file)
        return count

    def copy_up(self, writing: Writing) -> None:
        """Take over the bytes of the blob that a file is written over, when they are first needed."""
        if writing.base is not None:
            self._copies.do(id(writing), lambda: self._copied_up(writing))

    def _copied_up(self, writing: Writing) -> None:
        if writing.base is None:
            return
        reader = writing.base.open()
        try:
            writing.file.fill(reader.read_into)
        finally:
            reader.close()
        writing.base = None

    def push(self, writing: Writing) -> None:
        """Push it; returns when the registry has it under its name.

        :raises: whatever the push failed with; the bytes are in the journal then
        """
        self.copy_up(writing)
        with self._alone([writing]):
            writing.tried = writing.file.version
            with self._activity.pushing(str(writing.file.target), writing.file.size, lambda: writing.file.sent):
                self._publisher.publish(writing.file)
            self._tree.made.landed(writing.path)
        with self._lock:
            superseded = writing.file.target in self._left
            self._left.discard(writing.file.target)
        if superseded:
            self._journal.superseded(writing.file.target)

    @contextmanager
    def _alone(self, writings: list[Writing]) -> Iterator[None]:
        """Wait until nobody is busy with some files, then be it. No lock is held meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: not any(writing.busy for writing in writings))
            for writing in writings:
                writing.busy = True
        try:
            yield
        finally:
            with self._lock:
                for writing in writings:
                    writing.busy = False
                self._lock.notify_all()

    @contextmanager
    def still(self, *paths: Path) -> Iterator[None]:
        """None of the files being written at, or below, some paths is on its way to the registry meanwhile.

        What is on its way there is waited for. None of them is let go of before the end.
        """
        files = [writing for path in paths for writing in (self.at(path), *(found for _, found in self.within(path)))]
        with self._lock:
            held = [writing for writing in self._writing.values() if writing in files]
            for writing in held:
                writing.handles += 1
        try:
            with self._alone(held):
                yield
        finally:
            for writing in held:
                if self.let_go(writing):
                    self.finish(writing)

    def let_go(self, writing: Writing) -> bool:
        """One handle less; returns whether it was the last one: :meth:`finish` has to follow, and lets go of it."""
        with self._lock:
            if writing.handles == 1:
                return True
            writing.handles -= 1
            return False

    def below(self, parts: Path) -> dict[str, Writing]:
        """The files being written in a directory, by name."""
        return {path[0]: writing for path, writing in self.within(parts) if len(path) == 1}

    def within(self, parts: Path) -> list[tuple[Path, Writing]]:
        """The files being written in a directory, and in those below it, by their paths from there."""
        some = self._target((*parts, "x"))
        with self._lock:
            files = list(self._writing.items())
        found = []
        for target, writing in files:
            if some is not None and target.is_beside_or_below(some):
                found.append((target.title[len(some.title) - 1 :], writing))
            elif writing.path[: len(parts)] == parts:  # in a directory whose files belong to no alias yet
                found.append((writing.path[len(parts) :], writing))
        return found

    def rename(self, writing: Writing, goal: Path, target: Target) -> None:
        """Give a file that is being written another path, and mean it to be something else."""
        source = writing.file.target
        writing.file.aim(target)
        with self._lock:
            if self._writing.get(source) is writing:
                del self._writing[source]
            self._writing[target] = writing
            writing.path = goal

    def finish(self, writing: Writing) -> None:
        """Let go of the last handle on a file; of the file, when nobody has opened it in the meantime."""
        error = None
        if writing.gone:
            writing.file.discard()
        elif writing.file.is_dirty and writing.file.version != writing.tried:
            error = self._push_late(writing)
        with self._lock:
            writing.handles -= 1  # held up to here: who reads the file during a late push does not close it
            if writing.handles:
                return
            self._forget(writing)
            kept = writing.file.is_dirty and not writing.file.is_broken
            if kept:
                self._left.add(writing.file.target)
        what = "its bytes are kept, see: regfs pending" if kept else "its bytes are not kept"
        if error is not None:
            number, words = self._explained(error)
            path = f"/{'/'.join(writing.path)}"
            log.error("%s %s: %s", "push", path, f"{words}; {what}", extra={"errno": number})
        elif kept:
            log.error("%s was not pushed; %s", writing.file.target, what)
        self._blobs.forget(writing.file)
        writing.file.close(self._cache.adopt)

    def _push_late(self, writing: Writing) -> Exception | None:
        """Push what was written after the last close, as through a memory map; returns why that failed.

        No program can be told: the log and ``regfs status`` have it.
        """
        try:
            self.push(writing)
        except Exception as error:  # noqa: BLE001 - whatever it is, the bytes are in the journal
            return error
        return None

    def shutdown(self) -> int:
        """Push what is still open and was not pushed; returns how many files stay behind in the journal."""
        with self._lock:
            writings = list(self._writing.values())
        for writing in writings:
            writing.handles, writing.tried = 1, -1
            self.finish(writing)
        return len(self._left)

    def abandon(self, writing: Writing) -> None:
        """Forget its name: it was removed, or another file took its place. Its handles keep it."""
        with self._lock:
            writing.gone = True
            self._forget(writing)

    def _forget(self, writing: Writing) -> None:
        """With the lock held."""
        if self._writing.get(writing.file.target) is writing:
            del self._writing[writing.file.target]
