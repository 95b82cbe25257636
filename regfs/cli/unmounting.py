"""``regfs umount``."""

from __future__ import annotations

import click

from regfs.cli.completion import directories
from regfs.cli.ending import fail, warn
from regfs.mount.unmounting import MountFailed, unmount
from regfs.util.places import default_state_dir


@click.command()
@click.argument("directory", shell_complete=directories)
@click.option("-l", "--lazy", is_flag=True, help="Unmount at once, even if the mount is busy, and do not wait.")
def umount(directory: str, lazy: bool) -> None:
    """Unmount DIRECTORY, and return when all its written files are pushed.

    If the mount is busy, umount names the processes that use it. If the same mount is also in another place, as a bind
    or in another mount namespace, it continues there, and umount does not wait for it. The exit status is 1 if a push
    failed.

    \b
    regfs umount /mnt/reg
    """
    try:
        goes_on = unmount(directory, default_state_dir(), lazy)
    except MountFailed as error:
        fail(error)
    if goes_on:
        warn(goes_on)
