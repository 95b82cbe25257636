"""Which directories a program removes with everything in them: ``rm -r`` says so in its arguments alone.

The kernel passes on one unlink for each file and an rmdir at the end. Where a registry deletes no tags, the rmdir
fails, and by then the tag is empty.
"""

from __future__ import annotations

import os
from pathlib import Path

from regfs.mount.processes import mounts

_KIND = "fuse.regfs"


def removed_trees(process: int) -> tuple[tuple[str, ...], ...]:
    """Return the directories that a process removes with ``rm -r``, as paths in the mounts of regfs that they are in.

    Empty for any other program, and where that may not be known.
    """
    try:
        directory = Path("/proc") / str(process)
        # The arguments are in the program's memory. Those of a program with threads could be locked by one of them
        # that waits for the mount: only rm, which has none, is looked at further.
        if (directory / "comm").read_bytes() != b"rm\n":
            return ()
        _, *arguments = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        if not _is_recursive(arguments):
            return ()
        here = os.readlink(directory / "cwd")
        places = [mount.directory for mount in mounts(str(process)) if mount.kind == _KIND]
    except OSError:
        return ()
    named = [os.fsdecode(argument) for argument in arguments if not argument.startswith(b"-")]
    trees = [Path(os.path.normpath(os.path.join(here, name))) for name in named]
    return tuple(tree.relative_to(place).parts for tree in trees for place in places if tree.is_relative_to(place))


def _is_recursive(arguments: list[bytes]) -> bool:
    return any(
        b"--recursive".startswith(argument)
        if argument.startswith(b"--r")
        else argument.startswith(b"-") and not argument.startswith(b"--") and bool(set(b"rR") & set(argument))
        for argument in arguments
    )
