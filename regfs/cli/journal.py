"""``regfs pending`` and ``regfs push-pending``."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from itertools import groupby
from typing import Any

import click

from regfs.cli.ending import fail
from regfs.cli.parameters import JSON, connecting, graph_options
from regfs.fs.errnos import told
from regfs.oci.errors import InvalidManifest
from regfs.oci.reference import parse_reference
from regfs.registry.api import RegistryError
from regfs.session import Graph, Options, Unusable
from regfs.util.places import default_state_dir
from regfs.write.journal import Journal, Pending


@click.command()
@JSON
def pending(as_json: bool) -> None:
    """List the files whose push failed. regfs keeps their bytes until you push or drop them.

    To push them, run `regfs push-pending`; to drop them, `regfs push-pending --drop`.
    """
    items = list(Journal(default_state_dir() / "journal", "").pending())
    if as_json:
        click.echo(json.dumps([_document(item) for item in items]))
        return
    for item in items:
        click.echo(f"{item.id}  {item.size:>12}  {_when(item).replace('T', ' ')}  {item.host}/{item.target}")


def _document(item: Pending) -> dict[str, object]:
    target = item.target
    return {
        "id": item.id,
        "size": item.size,
        "modified": _when(item),
        "registry": item.host,
        "repository": target.repository,
        "alias": target.alias,
        "title": "/".join(target.title),
    }


def _when(item: Pending) -> str:
    return datetime.fromtimestamp(item.mtime_ns / 10**9).astimezone().isoformat(timespec="seconds")


@click.command("push-pending")
@click.argument("identifiers", nargs=-1, metavar="[ID]...")
@connecting
@click.option("--drop", is_flag=True, help="Drop the files instead of pushing them, after asking.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def push_pending(identifiers: tuple[str, ...], drop: bool, yes: bool, **given: Any) -> None:
    """Push all files that `regfs pending` lists, or the named ones. The exit status is 1 if a push failed."""
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
    by_host = groupby(sorted(chosen, key=_host), _host)
    sys.exit(1 if sum(not _push_all(host, list(items), given) for host, items in by_host) else 0)


def _host(item: Pending) -> str:
    return item.host


def _push_all(host: str, items: list[Pending], given: dict[str, Any]) -> bool:
    """Push the files of one registry, each for itself; returns whether all were pushed."""
    try:
        with Graph(Options(whole=False, **graph_options(parse_reference(host), given))) as graph:
            return not sum(not _push(graph, item) for item in items)
    except Unusable as error:
        for item in items:
            _say_why(item, error)
        return False


def _push(graph: Graph, item: Pending) -> bool:
    try:
        staged = graph.journal.again(item)
        try:
            graph.publisher.publish(staged)
        finally:
            staged.close()
    except (OSError, RegistryError, InvalidManifest) as error:
        _say_why(item, error)
        return False
    click.echo(f"pushed {item.host}/{item.target}")
    return True


def _say_why(item: Pending, error: Exception) -> None:
    click.echo(f"regfs: {item.id} {item.target}: {told(error)}", err=True)
