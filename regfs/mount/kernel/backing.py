"""Passthrough: a verified blob in the cache is read by the kernel itself, without asking the mount.

All handles of a node are read that way, or none: the kernel refuses to mix (fs/fuse/iomode.c of Linux 6.9 and later).
So what the first handle of a node gets is what the others get until the last one is closed.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from regfs.mount.kernel.device import Device

log = logging.getLogger(__name__)

# Below this size a blob is read in one request anyway, and to register its file costs more than that request.
SMALLEST_BYTES = 128 * 1024


class Backing:
    """Registers files with the kernel.

    :param device: None where the kernel cannot do it
    """

    def __init__(self, device: Device | None) -> None:
        self._device = device

    def open(self, size: int, descriptor: Callable[[], int | None]) -> int:
        """The number of a file to be read in the place of a node; 0 when the mount has to be asked for its bytes.

        :param descriptor: of the file that has these
        """
        if self._device is None or size < SMALLEST_BYTES:
            return 0
        fd = descriptor()
        if fd is None:
            return 0
        try:
            return self._device.backing_open(fd)
        except OSError as error:
            log.debug("no passthrough: %s", error)
            if error.errno in (errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
                self._device = None  # it is not this file's fault
            return 0

    def close(self, number: int) -> None:
        """Let go of a file."""
        if number and self._device is not None:
            self._device.backing_close(number)
