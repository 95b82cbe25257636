"""One directory of the journal: the bytes of a file, and what they are meant to be.

::

    journal/ID/data        the bytes, locked (flock) by the process that writes them
    journal/ID/meant.json  what they are meant to be; there as long as they are not what the registry has
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from regfs.oci.target import Target
from regfs.util.private import private_opener


@dataclass(frozen=True)
class Entry:
    """A directory of the journal."""

    directory: Path

    @property
    def data(self) -> Path:
        """The file of the bytes."""
        return self.directory / "data"

    @property
    def _meant(self) -> Path:
        return self.directory / "meant.json"

    @property
    def is_meant(self) -> bool:
        """Whether its bytes are meant to be something that the registry does not have."""
        return self._meant.exists()

    def open_alone(self, create: bool) -> int:
        """Open the bytes as one's own; returns a descriptor.

        :param create: whether they are new, else they have to be there
        :raises BlockingIOError: when a process has opened them as its own
        """
        fd = os.open(self.data, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def is_locked(self) -> bool:
        """Whether a process has opened the bytes as its own."""
        try:
            fd = os.open(self.data, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def write_down(self, host: str, target: Target) -> None:
        """Write down what the bytes are meant to be, at once or not at all."""
        fresh = self.directory / (self._meant.name + ".new")
        with open(fresh, "w", encoding="ascii", opener=private_opener) as file:
            file.write(json.dumps({"host": host, **asdict(target)}))
        os.replace(fresh, self._meant)

    def meant(self) -> tuple[str, Target]:
        """The host of a registry, and what the bytes are meant to be there.

        :raises OSError, ValueError, KeyError, TypeError: when that is not written down, or not whole
        """
        meant = json.loads(self._meant.read_bytes())
        return meant["host"], Target(meant["repository"], meant["alias"], tuple(meant["title"]))

    def strike_out(self) -> None:
        """Take back what the bytes are meant to be."""
        self._meant.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the bytes and everything else."""
        shutil.rmtree(self.directory, ignore_errors=True)
