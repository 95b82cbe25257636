"""How the C library keeps memory that was freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h of glibc
_BLOCK_BYTES = 64 << 10
_ARENAS = 2


@cache
def return_freed_blocks() -> None:
    """Have glibc return each larger block when it is freed, from now on. Other C libraries do as they do.

    Threads that unpack allocate and free blocks of 128 KiB and more all the time. By default glibc keeps those in
    arenas, one for each thread, and they fill up with holes: reading every file of an image of 865 MB in 62,000 files
    made a mount of 318 MB. With this it is 206 MB, at the same speed.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
