"""``regfs prefetch``."""

from __future__ import annotations

from typing import Any

import click

from regfs.cli.ending import fail
from regfs.cli.parameters import PLATFORM, ReferenceType, connecting, graph_options, progress_bar
from regfs.fs.errnos import told
from regfs.library.artifacts import NothingThere
from regfs.library.prefetch import prefetch as fetch_all
from regfs.library.prefetch import wanted
from regfs.oci.errors import InvalidManifest
from regfs.oci.reference import Reference
from regfs.registry.api import RegistryError
from regfs.session import Graph, Options, Unusable


@click.command()
@click.argument("references", type=ReferenceType(), nargs=-1, required=True, metavar="REFERENCE...")
@connecting
@PLATFORM
def prefetch(references: tuple[Reference, ...], platform: str | None, **given: Any) -> None:
    """Download every blob of each REFERENCE into the cache: of a tag, or of all tags of a repository.

    prefetch does not download cached blobs again. After an interruption it continues where it stopped.

    \b
    regfs prefetch localhost:5000/team/model:v1
    """
    for reference in references:
        _prefetch(reference, platform, given)


def _prefetch(reference: Reference, platform: str | None, given: dict[str, Any]) -> None:
    try:
        with Graph(Options(**graph_options(reference, given))) as graph:
            _prefetch_from(graph, reference, platform)
    except (Unusable, NothingThere) as error:
        fail(error)
    except (OSError, RegistryError, InvalidManifest) as error:
        fail(f"{reference}: {told(error)}")


def _prefetch_from(graph: Graph, reference: Reference, platform: str | None) -> None:
    blobs = wanted(graph, reference, platform)
    total = sum(item.blob.size for item in blobs)
    with progress_bar(reference, total) as progress:
        fetch_all(graph, blobs, progress)
    click.echo(f"{reference}: {len(blobs)} blobs, {total} bytes are in the cache")
