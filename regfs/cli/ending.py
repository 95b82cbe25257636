"""How a command ends when something went wrong: with one line on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from regfs.util.text import printable


def fail(message: object) -> NoReturn:
    """End with *message* as one line on standard error and status 1."""
    warn(message)
    sys.exit(1)


def warn(message: object) -> None:
    """Say *message*, in one line on standard error."""
    click.echo(f"regfs: {printable(str(message))}", err=True)


def leave(status: int) -> NoReturn:
    """End at once: threads that still wait for a registry are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)
