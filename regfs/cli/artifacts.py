"""``regfs ls``, ``get``, ``cat``, ``put``, ``rm`` and ``tag``."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

import click

from regfs.archive.errors import ArchiveError
from regfs.cli.ending import fail, leave, warn
from regfs.cli.parameters import (
    JSON,
    PLATFORM,
    AliasType,
    ReferenceType,
    connecting,
    graph_options,
    progress_bar,
)
from regfs.fs.errnos import told
from regfs.library import artifacts
from regfs.library import get as pulling
from regfs.library import put as pushing
from regfs.library import unpack as unpacking
from regfs.library.artifacts import File, NothingThere, NotPossible
from regfs.library.listing import Item, listing
from regfs.oci.errors import InvalidManifest
from regfs.oci.reference import Reference
from regfs.oci.titles import OCI
from regfs.registry.api import Denied, InsecureLogin, RegistryError, TimedOut, Unauthenticated, Unreachable
from regfs.registry.connect import explain
from regfs.session import Graph, Options, Unusable
from regfs.tree.node import Node

_REFERENCE = click.argument("reference", type=ReferenceType())
_ALIAS = click.argument("reference", type=ReferenceType(alias=True))


@contextmanager
def registry_of(reference: Reference, given: dict[str, Any]) -> Iterator[Graph]:
    """Yield the objects for the registry of *reference*; on an error, print one line and exit with status 1."""
    host = Reference(reference.host, reference.scheme)
    options = Options(whole=reference.repository is None, **graph_options(host, given))
    try:
        with Graph(options) as graph:
            yield graph
    except (Unusable, NothingThere, NotPossible) as error:
        _fail(error)
    except (Unreachable, TimedOut, Unauthenticated, Denied, InsecureLogin) as error:
        _fail(explain(error, reference.host, options.connection.trail_to(reference)))
    except BrokenPipeError:
        leave(1)  # whoever read it has enough
    except (OSError, RegistryError, InvalidManifest, ArchiveError) as error:
        _fail(f"{reference}: {told(error)}")


def _fail(message: object) -> NoReturn:
    warn(message)
    leave(1)


def _dump(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


@click.command()
@_REFERENCE
@click.argument("path", default="")
@connecting
@PLATFORM
@click.option("-l", "--long", "details", is_flag=True, help="Also print size, time, digest and media type.")
@click.option("-R", "--recursive", is_flag=True, help="List directories recursively; of a repository, all its tags.")
@JSON
def ls(
    reference: Reference, path: str, platform: str | None, details: bool, recursive: bool, as_json: bool, **given: Any
) -> None:
    """List the repositories of a registry, the tags of a repository, or the files of a tag.

    PATH is a directory or a file in the tag. The name of a directory ends in a slash; a multi-platform tag has one
    directory for each platform. ls downloads no blob: sizes and digests come from the manifest. With -l, ls reads the
    manifest of each tag of a repository.

    \b
    regfs ls localhost:5000
    regfs ls -l localhost:5000/team/model:v1
    regfs ls -R localhost:5000/team/model:v1 plots
    regfs ls --json localhost:5000/team/model:v1 | jq -r '.[].digest'
    """
    with registry_of(reference, given) as graph:
        items = listing(graph, reference, path, recursive=recursive, details=details, platform=platform)
        if as_json:
            _dump([_as_json(item) for item in items])
        else:
            click.echo("".join(f"{line}\n" for line in _lines(items, details)), nl=False)


def _as_json(item: Item) -> dict[str, Any]:
    known = {name: value for name, value in asdict(item).items() if value is not None}
    return known | ({"created": _time(item.created)} if item.created is not None else {})


def _lines(items: list[Item], details: bool) -> Iterator[str]:
    sizes = ["-" if item.size is None else str(item.size) for item in items]
    width = max(map(len, sizes), default=0)
    kind_width = max((len(_shown(item.media_type or "-")) for item in items), default=0)
    for item, size in zip(items, sizes, strict=True):
        name = _shown(item.name) + ("/" if item.kind in ("directory", "platform") else "")
        if details:
            time = _time(item.created) if item.created is not None else "-"
            kind = _shown(item.media_type or "-")
            yield f"{size:>{width}}  {time:20}  {item.digest or '-':71}  {kind:{kind_width}}  {name}"
        else:
            yield name


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(name: str) -> str:
    """Return the name; on a terminal, escape the characters that could control it."""
    if not sys.stdout.isatty():
        return name
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


@click.command()
@_ALIAS
@click.argument("files", nargs=-1, metavar="[FILE]...")
@connecting
@PLATFORM
@click.option(
    "-o", "--output", default=".", show_default="here", help="Directory or file to write; - is standard output."
)
@click.option("--keep", is_flag=True, help="Do not touch existing files.")
@click.option("--no-unpack", is_flag=True, help="Write a packed directory as the archive that it is.")
def get(
    reference: Reference,
    files: tuple[str, ...],
    platform: str | None,
    output: str,
    keep: bool,
    no_unpack: bool,
    **given: Any,
) -> None:
    """Download the files of a tag, or only the named files and directories.

    get writes them below the directory -o under their titles, as `oras pull` does, and overwrites files of the same
    names. If you name one FILE, -o may be another file name, or - for standard output. A file appears once it is
    complete and verified. On standard output, get withholds the end of a blob that does not match its digest, and
    exits with status 1. Downloaded blobs are in the cache; get does not download them again. FILE can also be a path
    in .oci, such as .oci/rootfs/etc; get writes it under its last name.

    \b
    regfs get localhost:5000/team/model:v1
    regfs get localhost:5000/team/model:v1 config.json plots -o model
    regfs get localhost:5000/team/model:v1 config.json -o - | jq .layers
    """
    with registry_of(reference, given) as graph:
        hidden = [name for name in files if OCI in artifacts.path_of(name)]
        for name in hidden:
            _get_hidden(graph, reference, name, platform, output, keep)
        if hidden and len(hidden) == len(files):
            return
        files = tuple(name for name in files if name not in hidden)
        found = artifacts.files_in(graph, reference, platform)
        if no_unpack:
            found = {path: replace(file, packed=None) for path, file in found.items()}
        wanted = [artifacts.sized(graph, file) for file in artifacts.chosen(reference, found, files)]
        single = len(files) == 1 and artifacts.path_of(files[0]) in found
        single = single and (wanted[0].packed is None or output == "-")
        if output == "-" or (single and _is_special(output)):
            _get_one(graph, reference, wanted, output)
        elif single and not output.endswith("/") and not Path(output).is_dir():
            goal = Path(os.path.realpath(output))
            _get(graph, reference, [(wanted[0], (goal.name,))], goal.parent, keep)
        else:
            _get(graph, reference, [(file, file.path) for file in wanted], Path(output), keep)


def _get_hidden(graph: Graph, reference: Reference, name: str, platform: str | None, output: str, keep: bool) -> None:
    """Write what is in the hidden directory of a tag, also inside an archive."""
    node, last = artifacts.node_at(graph, reference, name, platform), artifacts.path_of(name)[-1]
    if output == "-" or _is_special(output):
        _copy_out(node, sys.stdout.fileno() if output == "-" else os.open(output, os.O_WRONLY | os.O_CLOEXEC))
        return
    goal = Path(output)
    if not node.is_directory and not output.endswith("/") and not goal.is_dir():
        goal, last = goal.parent, goal.name
    with pulling.Destination(goal) as destination:
        is_kept = keep and destination.has((last,))
        count = 0 if is_kept else unpacking.unpack(node, destination, (last,), lambda count: None, any_link=True)
    click.echo(f"{reference}: {count} files in {goal}")


def _copy_out(node: Node, fd: int) -> None:
    unpacking.copy_node(node, fd, lambda count: None)


@click.command()
@_ALIAS
@click.argument("path")
@connecting
@PLATFORM
def cat(reference: Reference, path: str, platform: str | None, **given: Any) -> None:
    """Write a file of a tag to standard output.

    PATH is a title, a path in a packed directory, or a path in .oci. Links inside an image are followed, and do not
    lead out of it. cat reads only the part of a layer that has the file, if the layer was read before.

    \b
    regfs cat localhost:5000/team/model:v1 config.json
    regfs cat docker.io/library/debian:12 .oci/rootfs/etc/os-release --platform linux-amd64
    regfs cat localhost:5000/app:v1 .oci/layers/02/etc/app.conf
    """
    with registry_of(reference, given) as graph:
        _copy_out(artifacts.node_at(graph, reference, path, platform), sys.stdout.fileno())


def _is_special(output: str) -> bool:
    """Return whether *output* exists and cannot be replaced: a device, a pipe."""
    try:
        mode = os.stat(output).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _get_one(graph: Graph, reference: Reference, files: list[File], output: str) -> None:
    if files and files[0].packed is not None:
        raise NotPossible(f"{files[0].name} is a directory; to write its archive: --no-unpack")
    if len(files) != 1:
        raise click.UsageError(f"-o {output} takes one file, not {len(files)}; name one file")
    fd = sys.stdout.fileno() if output == "-" else os.open(output, os.O_WRONLY | os.O_CLOEXEC)
    with progress_bar(reference, files[0].blob.size) as progress:
        pulling.copy(graph, files[0], fd, progress)


def _get(graph: Graph, reference: Reference, files: list[tuple[File, tuple[str, ...]]], goal: Path, keep: bool) -> None:
    with pulling.Destination(goal) as destination:
        wanted = [(file, path) for file, path in files if not keep or not destination.has(path)]
        packed = [(file.packed, path, file.blob.size) for file, path in wanted if file.packed is not None]
        with progress_bar(reference, sum(file.blob.size for file, _ in wanted)) as progress:
            pulling.pull(graph, [(file, path) for file, path in wanted if file.packed is None], destination, progress)
            for node, path, size in packed:
                unpacking.unpack(node, destination, path, lambda count: None)
                progress(size)
    graph.fetcher.finish()
    total = sum(file.blob.size for file, _ in wanted)
    kept = f", {len(files) - len(wanted)} existed" if len(wanted) < len(files) else ""
    click.echo(f"{reference}: {len(wanted)} files, {total} bytes in {goal}{kept}")


@click.command()
@_ALIAS
@click.argument("sources", nargs=-1, required=True, metavar="FILE|DIR...")
@connecting
@click.option("-t", "--title", help="Name of the one FILE or DIR in the tag; . leaves out the name of DIR.")
@JSON
def put(reference: Reference, sources: tuple[str, ...], title: str | None, as_json: bool, **given: Any) -> None:
    """Publish files in a tag, and print the digest of the new manifest.

    put creates the tag if it does not exist. It names files as `cp -r` does: a FILE keeps its own name, and the files
    of a DIR keep the name of DIR in front. DIR/. leaves out the name of DIR. put replaces files of the same titles.
    Other files in the tag are kept. The tag changes once, when the registry has every file. If anything fails, the
    tag stays as it was.

    \b
    regfs put localhost:5000/team/model:v1 config.json weights.bin
    regfs put localhost:5000/team/model:v1 plots
    regfs put localhost:5000/team/model:v1 build/.
    regfs put localhost:5000/team/model:v1 out-17.bin --title weights.bin
    """
    if title is not None and len(sources) > 1:
        raise click.UsageError(f"--title is for one FILE or DIR, not {len(sources)}")
    try:
        artifacts.require_alias(reference)
        files = pushing.find(sources, title)
    except NotPossible as error:
        fail(error)
    with registry_of(reference, given) as graph, progress_bar(reference, pushing.size_of(files)) as progress:
        pushed = pushing.push(graph, reference, files, progress)
    if as_json:
        named = [
            {"title": "/".join(path), "digest": blob.digest, "size": blob.size, "media_type": blob.media_type}
            for path, blob in pushed.files.items()
        ]
        _dump({"reference": str(reference), "digest": pushed.digest, "files": named})
    else:
        click.echo(pushed.digest)


@click.command()
@_REFERENCE
@click.argument("files", nargs=-1, metavar="[FILE]...")
@connecting
@click.option("-r", "--recursive", is_flag=True, help="If FILE is a directory, remove all files in it.")
@click.option("-y", "--yes", is_flag=True, help="Delete a tag without asking.")
def rm(reference: Reference, files: tuple[str, ...], recursive: bool, yes: bool, **given: Any) -> None:
    """Remove FILEs from a tag, all at once; or delete the tag, and no other tag of the same manifest.

    Blobs stay until the registry garbage-collects them. You cannot remove a repository: the protocol has no request for
    it.

    \b
    regfs rm localhost:5000/team/model:v1 notes.txt
    regfs rm -r localhost:5000/team/model:v1 plots
    regfs rm localhost:5000/team/model:v1
    """
    if reference.alias is None:
        what = "a repository" if reference.repository else "a registry"
        fail(f"{reference} is {what}, which a registry's protocol cannot remove; name a tag of it")
    with registry_of(reference, given) as graph:
        if files:
            artifacts.remove_files(graph, reference, files, recursive)
        else:
            _delete(graph, reference, yes)


def _delete(graph: Graph, reference: Reference, yes: bool) -> None:
    artifacts.require_alias(reference)
    artifacts.manifest_of(graph, reference)
    if not yes and not _agreed(f"Delete {reference}?"):
        fail(f"{reference} was not deleted")
    artifacts.delete_alias(graph, reference)


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        fail("no answer to the question; to delete without it: -y")


@click.command()
@_ALIAS
@click.argument("aliases", nargs=-1, required=True, type=AliasType(), metavar="TAG...")
@connecting
@JSON
def tag(reference: Reference, aliases: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Give the manifest of REFERENCE more tags in its repository. This moves no bytes.

    REFERENCE is a tag or a digest. If a TAG exists already, it is moved. tag prints the digest.

    \b
    regfs tag localhost:5000/team/model:v1 latest stable
    regfs tag localhost:5000/team/model@$digest v1
    """
    with registry_of(reference, given) as graph:
        digest = artifacts.tag(graph, reference, aliases)
    if as_json:
        _dump({"digest": digest, "references": [str(replace(reference, alias=alias)) for alias in aliases]})
    else:
        click.echo(digest)
