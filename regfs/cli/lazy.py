"""Commands that are loaded when they are called: to say its version regfs needs none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group of commands in modules that are imported when a command of theirs is asked for.

    :param modules: a command's name → the module below ``regfs.cli`` that has it, under its name with ``_`` for ``-``
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in self.modules:
            return None
        module = import_module(f"regfs.cli.{self.modules[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        return command
