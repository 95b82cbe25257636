"""``regfs completion``, and what the shell completes."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL for the commands and options of regfs.

    \b
    bash   regfs completion bash > ~/.local/share/bash-completion/completions/regfs
    zsh    regfs completion zsh > ~/.zfunc/_regfs
    fish   regfs completion fish > ~/.config/fish/completions/regfs.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    click.echo(kind(context.find_root().command, {}, "regfs", "_REGFS_COMPLETE").source())


def directories(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a directory. ``click.Path`` would read it, and it may be a mount that hangs."""
    return [CompletionItem(incomplete, type="dir")]
