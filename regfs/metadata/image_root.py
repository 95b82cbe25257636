"""The merged root of an image whose layers are being opened. Knows no registry: how a layer is opened, it is told."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TypeVar

from regfs.archive.archive import Archive
from regfs.archive.errors import ArchiveError, ArchiveLimit, LayerPending
from regfs.archive.rootfs.merge import Root

Answer = TypeVar("Answer")
Submit = Callable[[Callable[[], None]], "Future[None]"]


class LayerFailed(ArchiveError):
    """A layer could not be opened.

    :param cause: why, of any room below
    :param moment: when, on the monotonic clock
    """

    def __init__(self, number: int, cause: Exception) -> None:
        super().__init__(str(cause))
        self.number = number
        self.cause = cause
        self.moment = time.monotonic()


class ImageRoot:
    """Answers wait for the layers that decide, and for no other. Shared by threads.

    :param digests: of the layers, the lowest one first
    :param entries_max: of all layers together
    :param open_layer: opens the layer of a number, the lowest one being 1
    :param submit: has a thread do something
    """

    def __init__(
        self, digests: Sequence[str], entries_max: int, open_layer: Callable[[int], Archive], submit: Submit
    ) -> None:
        self._root = Root(digests)
        self._entries_max = entries_max
        self._open_layer = open_layer
        self._submit = submit
        self._lock = threading.Lock()  # of the two below
        self._counts: dict[int, int] = {}  # of entries, by layer
        self._opening: dict[int, Future[None]] = {}
        for number in range(len(digests), 0, -1):  # the top ones first: they decide what is seen
            self._begin(number)

    @property
    def entry_count(self) -> int:
        """How many entries its layers have that are indexed."""
        with self._lock:
            return sum(self._counts.values())

    def peek(self, question: Callable[[Root], Answer]) -> Answer | None:
        """Return what the root answers now; None when that would have to wait, or fails."""
        try:
            return question(self._root)
        except ArchiveError:
            return None

    def ask(self, question: Callable[[Root], Answer]) -> Answer:
        """Return what the root answers, once the layers that it depends on are there.

        A layer that could not be opened before is tried again.

        :raises ArchiveError: when one of these cannot be read as an archive
        :raises RegistryError: when one of these could not be downloaded
        :raises OSError: ECANCELED when the mount ends meanwhile
        """
        asked = time.monotonic()
        while True:
            try:
                return question(self._root)
            except LayerPending as pending:
                self._wait(pending.number)
            except LayerFailed as failed:
                if failed.moment >= asked:
                    raise failed.cause.with_traceback(None) from None
                self._begin_again(failed)

    def _begin(self, number: int) -> None:
        self._opening[number] = self._submit(lambda: self._add(number))

    def _begin_again(self, failed: LayerFailed) -> None:
        with self._lock:
            if self._root.error(failed.number) is failed:  # else another thread was faster
                self._root.fail(failed.number, LayerPending(failed.number))
                self._begin(failed.number)

    def _wait(self, number: int) -> None:
        with self._lock:
            opening = self._opening[number]
        wait([opening])
        if opening.cancelled():
            raise OSError(errno.ECANCELED, "the mount ends")

    def _add(self, number: int) -> None:
        try:
            archive = self._open_layer(number)
            self._count(number, len(archive.listing))
            self._root.add(number, archive)
        except Exception as error:  # noqa: BLE001 - every error of a download reaches who asks, whatever it is
            self._root.fail(number, LayerFailed(number, error))

    def _count(self, number: int, entries: int) -> None:
        with self._lock:
            self._counts[number] = entries
            if sum(self._counts.values()) <= self._entries_max:
                return
            del self._counts[number]
        raise ArchiveLimit(f"the image has more than {self._entries_max} entries")
