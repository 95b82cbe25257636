"""The journal is shared by all of a user's mounts and commands: none takes another one's file for a killed one's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regfs.write.staging import Journal, Target

FILES = 3000
TARGET = Target("a", "v1", ("file",))
LOOKING = """
import sys
from pathlib import Path
from regfs.write.staging import Journal
told = False
while True:
    list(Journal(Path(sys.argv[1]), "localhost").pending())
    told = told or print(flush=True) or True
"""


@contextmanager
def others_looking(directory: Path) -> Iterator[None]:
    """Another process does, again and again, what each mount and command does when it starts."""
    command = [sys.executable, "-c", LOOKING, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == b"\n"
        try:
            yield
        finally:
            looking.kill()


def test_a_mount_that_starts_leaves_the_files_alone_that_others_begin_to_write(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", "localhost")
    with others_looking(journal.directory):
        for _ in range(FILES):
            file = journal.stage(TARGET)
            file.write(b"abc", 0)
            file.discard()
            file.close()
    assert list(journal.directory.iterdir()) == []
