"""``mount.regfs``: the program that mount(8) calls for a file system of type regfs or fuse.regfs."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from regfs.cli.mounting import mount
from regfs.util.text import printable

_USAGE, _FAILED = 1, 32  # mount(8), EXIT STATUS


def main() -> NoReturn:
    """Mount for mount(8). The exit status is that of mount(8): 0, 1 for a wrong command line, 32 if mounting failed."""
    try:
        helper.main(prog_name="mount.regfs", standalone_mode=False)
    except click.ClickException as error:
        _end(error.format_message(), _USAGE)
    except click.Abort:
        sys.exit(130)
    except SystemExit as ended:
        sys.exit(_FAILED if ended.code else 0)
    sys.exit(0)


def _end(message: str, status: int) -> NoReturn:
    click.echo(f"mount.regfs: {printable(message)}", err=True)
    sys.exit(status)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("directory")
@click.option("-o", "options", multiple=True, metavar="OPTIONS", help="Options, separated by commas.")
@click.option("-s", "sloppy", is_flag=True, help="Ignore unknown options.")
@click.option("-f", "fake", is_flag=True, help="Check the arguments and mount nothing.")
@click.option("-n", "no_mtab", is_flag=True, help="Ignored; mount(8) passes it.")
@click.option("-v", "verbose", is_flag=True, help="Print the mounted reference.")
@click.option("-t", "kind", metavar="TYPE", help="Ignored; mount(8) passes it.")
def helper(
    source: str, directory: str, options: tuple[str, ...], sloppy: bool, fake: bool, no_mtab: bool, verbose: bool,
    kind: str | None,
) -> None:  # fmt: skip
    """Mount SOURCE, a reference as for `regfs mount`, on DIRECTORY.

    mount(8) calls this program for lines of /etc/fstab such as

    \b
    registry.example.com/team/model  /mnt/model  fuse.regfs  ro,_netdev,allow_other  0 0
    """
    words = [word for value in options for word in ("-o", value)]
    with mount.make_context("mount", [*(["-s"] if sloppy else []), *words, "--", source, directory]) as context:
        if not fake:
            mount.invoke(context)
    if verbose:
        click.echo(f"mount.regfs: {source} is mounted on {directory}", err=True)
