"""The uploads of large files that begin while their files are still being written. Knows no tags.

A file has no name and no digest then: its upload is completed when the file is pushed, or cancelled. When anything
goes wrong with it, the file is pushed as if it had never begun.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from regfs.registry.api import AHEAD_PIECE, UploadAhead
from regfs.write.content import Content, Growing, InOrder, Snapshot

_FILES_AT_ONCE = 4


@dataclass(frozen=True)
class _Begun:
    """An upload that has begun.

    :param rewrites: those of its file then; with one more, the bytes that were sent are not the file's any more
    """

    upload: UploadAhead
    repository: str
    rewrites: int

    def suits(self, repository: str, rewrites: int) -> bool:
        """Whether what was sent is still what the file begins with, and where it belongs."""
        return (repository, rewrites) == (self.repository, self.rewrites)


class AheadUploads:
    """Uploads by the contents that they are of. Thread-safe; ``_lock`` is innermost.

    :param begin: starts the upload to a repository; makes no request
    """

    def __init__(self, begin: Callable[[str], UploadAhead]) -> None:
        self._begin = begin
        self._pool = ThreadPoolExecutor(_FILES_AT_ONCE, "regfs-send")
        self._lock = threading.Lock()
        self._begun: dict[Content, tuple[_Begun, Growing]] = {}

    def close(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def grown(self, repository: str, content: Growing) -> None:
        """Send more of a file that has grown, in another thread, when there is enough of it."""
        send = self.sending(repository, content)
        if send is not None:
            self._pool.submit(send)

    def sending(self, repository: str, content: Growing) -> Callable[[], None] | None:
        """What to do to send more of a file; None when it is nothing."""
        written = content.in_order()
        if written is None or written.size < AHEAD_PIECE:
            return None
        begun = self._begun_for(repository, content, written)
        if not begun.suits(repository, written.rewrites) or not begun.upload.claims(written.size):
            return None
        return lambda: begun.upload.send(content.body(written.size))

    def _begun_for(self, repository: str, content: Growing, written: InOrder) -> _Begun:
        with self._lock:
            if content not in self._begun:
                self._begun[content] = _Begun(self._begin(repository), repository, written.rewrites), content
            return self._begun[content][0]

    def finish(self, repository: str, content: Content, snapshot: Snapshot) -> bool:
        """Make the bytes of *snapshot* a blob by what was sent of them; False when they have to be sent as a whole."""
        with self._lock:
            begun, growing = self._begun.pop(content, (None, None))
        if begun is None or growing is None or isinstance(snapshot.body, bytes):
            return False
        if not begun.suits(repository, growing.rewrites):
            begun.upload.cancel()
            return False
        return begun.upload.finish(snapshot.body, snapshot.digest)

    def cancel(self, content: Content) -> None:
        """Let the registry forget what was sent of a content, if anything was."""
        with self._lock:
            begun, _ = self._begun.pop(content, (None, None))
        if begun is not None:
            begun.upload.cancel()
