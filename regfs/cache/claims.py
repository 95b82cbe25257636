"""Chunks that other processes fetch: their claims count as long as they bring chunks.

A process that is stopped keeps its claims, which the kernel takes back only when it ends.
"""

from __future__ import annotations

from time import monotonic

from regfs.cache.storage import ChunkStorage

# Another process that brings no chunk for so long is taken for stopped.
_PATIENCE_SECONDS = 30.0


class Claims:
    """What the claims of other processes on one blob are worth. Used under the download's lock, but for :meth:`take`.

    :ivar brought: chunks that this process has brought
    """

    def __init__(self) -> None:
        self.brought = 0
        self._mean_nothing = False

    def take(self, storage: ChunkStorage, chunk: int) -> bool:
        """Claim a chunk; False while another process fetches it."""
        return storage.claim(chunk) or self._mean_nothing

    def ignore(self) -> None:
        """Take chunks whoever has claimed them."""
        self._mean_nothing = True


class Patience:
    """How long one reader has waited for other processes."""

    def __init__(self, storage: ChunkStorage, claims: Claims) -> None:
        self._storage = storage
        self._claims = claims
        self._arrived = -1
        self._since = 0.0

    def is_over(self) -> bool:
        """Look at the chunks that others have brought; whether there were none for too long."""
        arrived = self._storage.arrived() - self._claims.brought
        if arrived != self._arrived:
            self._arrived, self._since = arrived, monotonic()
        return monotonic() - self._since > _PATIENCE_SECONDS
