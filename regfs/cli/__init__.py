"""The commands. Each parses the command line and prints an error in one line; other rooms do the work."""

from __future__ import annotations

import signal
import sys
import threading
from typing import NoReturn

import click

from regfs import __version__
from regfs.cli.ending import leave
from regfs.cli.lazy import LazyGroup

_MODULES = {
    "mount": "mounting",
    "umount": "unmounting",
    "status": "status",
    "ls": "artifacts",
    "get": "artifacts",
    "cat": "artifacts",
    "put": "artifacts",
    "rm": "artifacts",
    "tag": "artifacts",
    "prefetch": "fetching",
    "cache": "caching",
    "pending": "journal",
    "push-pending": "journal",
    "login": "logins",
    "logout": "logins",
    "completion": "completion",
}
_INTERRUPTED = 130  # the status of a command that was interrupted
_CLEANING = 3.5  # seconds that it has to end by itself


def main() -> NoReturn:
    """Run a command. A wrong command line is one line on standard error and exit status 2; otherwise 0 or 1."""
    signal.signal(signal.SIGINT, _interrupted)
    try:
        sys.exit(commands.main(prog_name="regfs", standalone_mode=False) or 0)
    except click.ClickException as error:
        click.echo(f"regfs: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        leave(_INTERRUPTED)


def _interrupted(number: int, frame: object) -> NoReturn:
    """Let the command clean up for a few seconds, then end it."""
    ending = threading.Timer(_CLEANING, leave, (_INTERRUPTED,))
    ending.daemon = True
    ending.start()
    raise KeyboardInterrupt


@click.group(cls=LazyGroup, modules=_MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="regfs")
def commands() -> None:
    """Mount a container registry as a file system.

    \b
    regfs mount localhost:5000 /mnt/reg        mount a registry
    cp model.bin /mnt/reg/team/model/v1/       publish a file
    regfs umount /mnt/reg                      unmount it

    The exit status is 0 if the command did everything, 1 if something failed, 2 if the command line was wrong, and 130
    if it was interrupted. You can also set each option in the environment: REGFS_CA_FILE for --ca-file.
    """
