"""The end of a mount, asked for by a command. Loads nothing of a registry."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from regfs.mount.kernel.device import helper
from regfs.mount.processes import others, users
from regfs.mount.table import Register, mount_on, without_touching

_BUSY = os.strerror(errno.EBUSY)
_NAMED = 3  # processes that an error names
_LOOK_AROUND_SECONDS = 1.0  # to wait for the end before looking for other places of the mount


class MountFailed(Exception):
    """Mounting or unmounting failed; the message is one line with the remedy."""


def unmount(named: str, state_dir: Path, lazy: bool = False) -> str | None:
    """Unmount the directory *named*, and wait until its written files are pushed.

    :param lazy: remove it from the tree at once, also while processes use it, and do not wait (umount(8), ``-l``)
    :returns: one line for the user if the same mount continues in another place; unmount does not wait for that
    :raises MountFailed: if no mount of regfs is there, it is busy, or a push failed
    """
    directory = without_touching(named)
    there = mount_on(directory)
    if there is None:
        raise MountFailed(f"{directory} is not a mount of regfs")
    register = Register(state_dir / "mounts")
    mounted = register.on(directory)
    run_fusermount("-u", *(["-z"] if lazy else []), directory=directory)
    if mounted is None or lazy:
        return None
    before = None
    while (left := register.wait(mounted, _LOOK_AROUND_SECONDS)) is None:
        elsewhere = next(others(there.device), None)
        if elsewhere is not None and before is not None:  # twice: a container that starts has everything for a moment
            return f"{directory} is unmounted; the same mount is still {elsewhere}"
        before = elsewhere
    if left:
        raise MountFailed(f"{directory} is unmounted; {count_of_files(left)} not pushed, see: regfs pending")
    return None


def run_fusermount(*arguments: str, directory: Path) -> None:
    """Run fusermount on a directory.

    :raises MountFailed: with its reason
    """
    program = helper()
    if program is None:
        raise MountFailed("fusermount is missing; install it: apt install fuse")
    command = [program, *arguments, os.fspath(directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it cannot be unmounted"])[-1].removeprefix(f"{program}: ")
        if "/etc/mtab" in reason:
            reason += "; as root, run: ln -s /proc/self/mounts /etc/mtab"
        raise MountFailed(_who(directory) if _BUSY in reason else f"{directory}: {reason}")


def _who(directory: Path) -> str:
    """Return the error of a busy mount: the processes that use it, and the remedy."""
    found = list(users(directory))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    told = ", ".join(map(str, found[:_NAMED])) or "a process of another user uses it, or a mount in it"
    return f"{directory} is busy: {told}{more}; end that, or run: regfs umount --lazy {directory}"


def count_of_files(number: int) -> str:
    """Return a number of files as the beginning of a sentence in the past."""
    return "1 file was" if number == 1 else f"{number} files were"
