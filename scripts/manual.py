"""Manual pages from the help of the commands, by click-man; examples keep their lines, and names their sentence."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click_man.core import generate_man_page

from regfs import __version__
from regfs.cli import commands
from regfs.cli.helper import helper

_EXAMPLE = re.compile(r"^\.PP\n[\x08]*\n((?:[^.\n].*\n)+)", re.MULTILINE)
_WIDE = 200  # characters of a one-line description


def pages() -> Iterator[tuple[str, str]]:
    """The pages: the path of the file, and what is in it."""
    yield "man8/mount.regfs.8", _page(click.Context(helper, info_name="mount.regfs"), 8)
    context = click.Context(commands, info_name="regfs")
    for name in commands.modules:  # click-man sees only what is loaded
        command = commands.get_command(context, name)
        if command is not None:
            commands.add_command(command)
    yield from _below(context)


def _below(context: click.Context) -> Iterator[tuple[str, str]]:
    yield f"man1/{context.command_path.replace(' ', '-')}.1", _page(context, 1)
    for name, command in sorted(getattr(context.command, "commands", {}).items()):
        yield from _below(click.Context(command, info_name=name, parent=context))


def _page(context: click.Context, section: int) -> str:
    text = generate_man_page(context, version=__version__, date="-")
    title = context.command_path.replace(" ", "-")
    text = re.sub(r"^\.TH .*", f'.TH "{title.upper()}" "{section}" "" "regfs {__version__}"', text, count=1)
    for command in (context.command, *getattr(context.command, "commands", {}).values()):
        text = text.replace(_roff(command.get_short_help_str(45)), _roff(_sentence(command)), 1)
    return _EXAMPLE.sub(lambda match: f".PP\n.nf\n{_roff(match[1])}.fi\n", text).rstrip("\n") + "\n"


def _sentence(command: click.Command) -> str:
    return command.get_short_help_str(_WIDE).rstrip(".")


def _roff(text: str) -> str:
    return text.replace("-", r"\-")


def main(directory: Path) -> None:
    """Write the pages, in the place of those that are there."""
    shutil.rmtree(directory, ignore_errors=True)
    for name, text in pages():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
