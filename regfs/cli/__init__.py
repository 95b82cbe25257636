"""The commands. Each parses what the user wrote and says in one line what went wrong; none does the work itself."""

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
    "umount": "mounting",
    "status": "status",
    "ls": "artifacts",
    "get": "artifacts",
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
    """Run a command. What was wrong with it is one line on standard error; the status is 2 then, else 0 or 1."""
    signal.signal(signal.SIGINT, _interrupted)
    try:
        sys.exit(commands.main(prog_name="regfs", standalone_mode=False) or 0)
    except click.ClickException as error:
        click.echo(f"regfs: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        leave(_INTERRUPTED)


def _interrupted(number: int, frame: object) -> NoReturn:
    """Let the command clean up, but not for long, whatever it waits for."""
    ending = threading.Timer(_CLEANING, leave, (_INTERRUPTED,))
    ending.daemon = True
    ending.start()
    raise KeyboardInterrupt


@click.group(cls=LazyGroup, modules=_MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="regfs")
def commands() -> None:
    """A container registry as a filesystem.

    \b
    regfs mount localhost:5000 /mnt/reg        mount a registry
    cp model.bin /mnt/reg/team/model/v1/       publish a file
    regfs umount /mnt/reg                      unmount it

    The status is 0 when all was done, 1 when something failed, 2 when the command was written wrongly, 130 when it was
    interrupted. Each option has a variable as well: REGFS_CA_FILE for --ca-file.
    """
