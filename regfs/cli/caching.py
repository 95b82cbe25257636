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
    """Look at the cache, verify it, shrink it."""


def caching(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that says which cache, which the command is then called with."""

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
    """Say what the cache holds."""
    usage = blobs.usage()
    if as_json:
        click.echo(json.dumps({"directory": os.fspath(blobs.directory), **asdict(usage)}))
        return
    click.echo(f"directory  {blobs.directory}")
    click.echo(f"blobs      {usage.blobs} whole, {usage.partial} in part")
    click.echo(f"size       {usage.size} bytes of at most {usage.limit}")


@cache.command()
@caching
@JSON
def check(blobs: BlobStore, as_json: bool) -> None:
    """Read every blob again and remove those that are not their digest. The status is 1 when there were any."""
    bad = list(blobs.check())
    if as_json:
        click.echo(json.dumps({"removed": bad, "blobs": blobs.usage().blobs}))
    else:
        for name in bad:
            click.echo(f"removed {name}")
        click.echo(f"{blobs.usage().blobs} blobs are what their digests say")
    sys.exit(1 if bad else 0)


@cache.command()
@caching
@click.argument("size", type=SizeType())
def prune(blobs: BlobStore, size: int) -> None:
    """Remove the least recently used blobs until SIZE, such as 10G, is left. What is being read stays."""
    blobs.make_room(size)
    click.echo(f"{blobs.usage().size} bytes are left")


@cache.command()
@caching
def clear(blobs: BlobStore) -> None:
    """Remove every blob that nobody is reading."""
    blobs.make_room(0)
    click.echo(f"{blobs.usage().size} bytes are left")
