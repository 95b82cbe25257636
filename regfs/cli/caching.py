"""``regfs cache``."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from regfs.cache.store import BlobStore
from regfs.cli.ending import fail
from regfs.cli.parameters import CACHE_DIR, JSON, SizeType


@click.group()
def cache() -> None:
    """Show, verify or shrink the cache."""


def caching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that names the cache, and call the command with that cache."""

    @functools.wraps(command)
    def with_cache(cache_dir: Path, **given: Any) -> None:
        try:
            command(BlobStore(Path(os.path.abspath(cache_dir))), **given)
        except OSError as error:
            fail(error.strerror)

    return CACHE_DIR(with_cache)  # type: ignore[no-any-return]


@cache.command()
@caching
@JSON
def info(blobs: BlobStore, as_json: bool) -> None:
    """Show the content of the cache."""
    usage = blobs.usage()
    if as_json:
        click.echo(json.dumps({"directory": os.fspath(blobs.directory), **asdict(usage)}))
        return
    click.echo(f"directory  {blobs.directory}")
    click.echo(f"blobs      {usage.blobs} complete, {usage.partial} partial")
    click.echo(f"size       {usage.size} bytes of at most {usage.limit}")


@cache.command()
@caching
@JSON
def check(blobs: BlobStore, as_json: bool) -> None:
    """Verify every blob, and remove those that do not match their digest. The exit status is 1 if it removed any."""
    bad = list(blobs.check())
    if as_json:
        click.echo(json.dumps({"removed": bad, "blobs": blobs.usage().blobs}))
    else:
        for name in bad:
            click.echo(f"removed {name}")
        click.echo(f"{blobs.usage().blobs} blobs match their digests")
    sys.exit(1 if bad else 0)


@cache.command()
@caching
@click.argument("size", type=SizeType())
def prune(blobs: BlobStore, size: int) -> None:
    """Remove the least recently used blobs until the cache is at most SIZE, such as 10G. Blobs in use stay."""
    blobs.make_room(size)
    click.echo(f"{blobs.usage().size} bytes are left")


@cache.command()
@caching
def clear(blobs: BlobStore) -> None:
    """Remove every blob that is not in use."""
    blobs.make_room(0)
    click.echo(f"{blobs.usage().size} bytes are left")
