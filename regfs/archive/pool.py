"""Unpacked blocks, and unpackers that wait for the next read: one pool for all archives of a mount.

A read in the middle of a compressed tar unpacks everything from the point before. Most programs read on from there, or
read the neighbours next; so the pool keeps what came out, and the unpacker where it stands. One for each open file
instead made ``grep -r`` over 5,783 files take 8 minutes rather than 1.5 s.

Threads that need the same span wait for the one that unpacks it, as they would have to read the same bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from regfs.archive.compression.stream import Unpacker

POOL_BYTES = 64 << 20
_OVERHEAD_BYTES = 256
_BLOCK, _UNPACKER = "block", "unpacker"


class Pool:
    """Keeps blocks and unpackers, and drops the one used least recently when there is too much. Shared by threads.

    :param capacity_bytes: of all that is kept
    """

    def __init__(self, capacity_bytes: int = POOL_BYTES) -> None:
        self._capacity = capacity_bytes
        self._held_bytes = 0
        self._kept: OrderedDict[Hashable, bytes | Unpacker] = OrderedDict()
        self._claimed: set[Hashable] = set()
        self._changed = threading.Condition()

    @property
    def held_bytes(self) -> int:
        """How much is kept."""
        return self._held_bytes

    def block(self, key: Hashable) -> bytes | None:
        """Return a block, None when it is not kept."""
        with self._changed:
            block = self._kept.get((_BLOCK, key))
            if block is None:
                return None
            self._kept.move_to_end((_BLOCK, key))
            return cast("bytes", block)

    def keep_block(self, key: Hashable, block: bytes) -> None:
        """Keep a block."""
        with self._changed:
            self._keep((_BLOCK, key), block)

    def block_or_make(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return a block, made by one thread and kept when it is not there."""
        block = self.block(key)
        if block is not None:
            return block
        with self.claim(key):
            block = self.block(key)
            if block is None:
                block = make()
                self.keep_block(key, block)
            return block

    def take_unpacker(self, key: Hashable) -> Unpacker | None:
        """Return an unpacker, which is the caller's alone from now on; None when none is kept."""
        with self._changed:
            return cast("Unpacker | None", self._drop((_UNPACKER, key)))

    def keep_unpacker(self, key: Hashable, unpacker: Unpacker) -> None:
        """Keep an unpacker, which the caller does not use any more."""
        with self._changed:
            self._keep((_UNPACKER, key), unpacker)

    @contextmanager
    def claim(self, key: Hashable) -> Iterator[None]:
        """Wait until no other thread has this claim, then have it."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._claimed)
            self._claimed.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._claimed.discard(key)
                self._changed.notify_all()

    def _keep(self, key: Hashable, value: bytes | Unpacker) -> None:
        self._drop(key)
        self._kept[key] = value
        self._held_bytes += _memory_bytes(value)
        while self._held_bytes > self._capacity:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> bytes | Unpacker | None:
        value = self._kept.pop(key, None)
        self._held_bytes -= 0 if value is None else _memory_bytes(value)
        return value


def _memory_bytes(value: bytes | Unpacker) -> int:
    return _OVERHEAD_BYTES + (len(value) if isinstance(value, bytes) else value.memory_bytes)
