"""Several writes as one: fsspec's transactions."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fsspec.transaction import Transaction

from regfs.library.streams import WriteStream

if TYPE_CHECKING:
    from regfs.fsspec.writing import RegistryFileSystem


class RegistryTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """Writes that become one manifest for each tag, when all of them are closed and pushed."""

    fs: RegistryFileSystem
    files: deque[WriteStream]

    def complete(self, commit: bool = True) -> None:
        """Name everything that was written, or drop it.

        :raises OSError: when the registry did not take it; the bytes stay in the journal
        """
        files, self.files = list(self.files), deque()
        filesystem = self.fs
        filesystem._intrans, filesystem._transaction = False, None
        try:
            if commit:
                for file in files:
                    file.close()
                filesystem.publish(files)
        finally:
            for file in files:
                file.end(keep=commit)
