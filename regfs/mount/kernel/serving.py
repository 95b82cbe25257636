"""A mount by the kernel's own protocol, from its making to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from regfs.fs.filesystem import Filesystem
from regfs.mount.kernel.adapter import WANTED, Adapter
from regfs.mount.kernel.backing import Backing
from regfs.mount.kernel.device import Device, MountRefused, detach, read_ahead
from regfs.mount.kernel.loop import Answers, Loop
from regfs.mount.kernel.nodes import Nodes
from regfs.mount.kernel.notices import Notices
from regfs.mount.kernel.protocol import Flag
from regfs.mount.ownership import Ownership
from regfs.mount.table import mount_on

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    device: Device,
    filesystem: Filesystem,
    ownership: Ownership,
    directory: Path,
    entry_seconds: float,
    mounted: Callable[[], None],
) -> None:
    """Answer the kernel until the directory is unmounted, or a signal ends the process.

    After a signal the directory is taken out of the tree. Programs that have files of it open are answered as long as
    the process lives.

    :param directory: where the device is mounted, without links
    :param mounted: called once the kernel can ask
    :raises MountRefused: when the kernel is too old, or unmounts it before it asks
    """
    there = mount_on(directory)
    loop = Loop(device)
    with _ending() as (wait, end):
        try:
            agreed = loop.agree(WANTED)
        except OSError as error:
            raise MountRefused(f"{directory}: {error.strerror}") from None
        if agreed is None:
            raise MountRefused(f"{directory}: it was unmounted before it answered")
        nodes = Nodes()
        notices = Notices(nodes, device.notify)
        backing = Backing(device if agreed.flags & Flag.PASSTHROUGH else None)
        adapter = Adapter(filesystem, ownership, nodes, notices, backing, entry_seconds)
        notices.start()
        loop.start(agreed, Answers(adapter.answer, adapter.forget, adapter.waits, adapter.undo), end)
        if there is not None:
            read_ahead(there.device)
        mounted()
        wait()
    still = mount_on(directory)
    if there is not None and still is not None and still.device == there.device:
        detach(directory)


@contextmanager
def _ending() -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Yield what waits for the end, and what brings it about; so does a signal."""
    reading, writing = os.pipe()

    def end(number: int = 0, frame: FrameType | None = None) -> None:
        os.write(writing, b".")

    before = {number: signal.signal(number, end) for number in _ENDING}

    def wait() -> None:
        os.read(reading, 1)

    try:
        yield wait, end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
