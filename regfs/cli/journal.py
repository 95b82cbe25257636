"""``regfs pending`` and ``regfs push-pending``."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from regfs.cli.parameters import connecting, fail, graph_options
from regfs.errnos import told
from regfs.graph import Graph, Options, Unusable, default_state_dir
from regfs.registry.exceptions import DXFError
from regfs.registry.manifest import InvalidManifest
from regfs.registry.reference import parse_reference
from regfs.staging import Journal, Pending


@click.command()
def pending() -> None:
    """List the files whose push failed: their bytes are kept until they are pushed or dropped."""
    for item in Journal(default_state_dir() / "journal", "").pending():
        when = datetime.fromtimestamp(item.mtime_ns / 10**9).astimezone().isoformat(" ", "seconds")
        click.echo(f"{item.id}  {item.size:>12}  {when}  {item.host}/{item.target}")


@click.command("push-pending")
@click.argument("identifiers", nargs=-1, metavar="[ID]...")
@connecting
@click.option("--drop", is_flag=True, help="Drop the files instead of pushing them; asks before it does.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def push_pending(identifiers: tuple[str, ...], drop: bool, yes: bool, **given: Any) -> None:
    """Push the files that `regfs pending` lists, all or those named. The status is 1 when one could not be."""
    items = list(Journal(default_state_dir() / "journal", "").pending())
    unknown = set(identifiers) - {item.id for item in items}
    if unknown:
        fail(f"{', '.join(sorted(unknown))}: not pending; see: regfs pending")
    chosen = [item for item in items if not identifiers or item.id in identifiers]
    if drop:
        if chosen and not yes:
            click.confirm(f"Drop {len(chosen)} files for ever?", abort=True, err=True)
        for item in chosen:
            item.drop()
        return
    sys.exit(1 if sum(not _push_again(item, given) for item in chosen) else 0)


def _push_again(item: Pending, given: dict[str, Any]) -> bool:
    reference = parse_reference(item.host)
    try:
        with Graph(Options(**graph_options(reference, given))) as graph:
            staged = graph.journal.again(item)
            try:
                graph.publisher.publish(staged)
            finally:
                staged.close()
    except (Unusable, OSError, DXFError, InvalidManifest) as error:
        click.echo(f"regfs: {item.id} {item.target}: {told(error)}", err=True)
        return False
    click.echo(f"pushed {item.host}/{item.target}")
    return True
